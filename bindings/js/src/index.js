import { LowrankError, integer, onlyKnown, shown } from './error.js';
import { inflate } from './inflate.js';
import * as inline from './inline/small.js';
import { Lowrank } from './lowrank.js';
import { compile } from './module.js';

export { LowrankError } from './error.js';
export { Layer } from './layer.js';
export { MeanLoss } from './loss.js';
export { Lowrank } from './lowrank.js';
export { Vector } from './vector.js';

/** @typedef {import('./module.js').ModuleSource} ModuleSource */
/** @typedef {import('./error.js').Code} Code */
/** @typedef {import('./entry.js').Entry} Entry */
/** @typedef {import('./entry.js').Scale} Scale */
/** @typedef {import('./loss.js').Labels} Labels */
/** @typedef {import('./lowrank.js').Shufflable} Shufflable */
/** @typedef {import('./options.js').LayerOptions} LayerOptions */
/** @typedef {import('./options.js').Optimizer} Optimizer */
/** @typedef {import('./steps.js').StepOptions} StepOptions */

/** A module with one vector instruction. */
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
);

/** Whether this engine has the 128-bit vectors of WebAssembly. */
export const hasSimd = () => WebAssembly.validate(SIMD);

/**
 * @typedef {object} CreateOptions
 * @property {'auto' | boolean | undefined} [simd] default: auto, as the engine can; both give the same bits
 * @property {ModuleSource | Promise<ModuleSource> | undefined} [module] another module of `lowrank/wasm`
 * @property {number | undefined} [memory] bytes to reserve for layers and arrays. Beyond them the memory grows, which empties views in
 *   engines without `toResizableBuffer`: there growing is refused (`Memory`) while views are in use. Default: 64 MiB in those engines,
 *   0 in the others
 */

/**
 * Compiles a module and makes its memory. Without `module` that is one of the two that come along, for training with separate
 * arithmetic: nothing is loaded.
 * @param {CreateOptions} [options]
 * @returns {Promise<Lowrank>}
 */
export async function create(options = {}) {
  onlyKnown('options', options, ['simd', 'module', 'memory']);
  const { simd = 'auto', module, memory } = options;
  if (simd !== 'auto' && typeof simd !== 'boolean') {
    throw new LowrankError('Unknown', 'simd', { expected: "'auto', true or false", got: shown(simd) });
  }
  if (memory !== undefined) integer('memory', memory);
  const source = module === undefined ? await inflate(inline, pick(simd)) : await module;
  const [compiled, bytes] = await compile(source, 'lowrank_layer_init');
  return new Lowrank(await WebAssembly.instantiate(compiled), bytes, memory);
}

/** Which of the inlined modules. @param {'auto' | boolean} simd */
function pick(simd) {
  const able = hasSimd();
  if (simd === true && !able) throw new LowrankError('Unsupported', 'simd', { text: 'this engine has no vectors' });
  return simd === false || !able ? 0 : 1;
}
