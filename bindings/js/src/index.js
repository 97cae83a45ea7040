import { LowrankError, shown } from './error.js';
import { inflate } from './inflate.js';
import { Lowrank } from './lowrank.js';
import * as inline from './inline/small.js';

export { LowrankError } from './error.js';
export { Layer } from './layer.js';
export { Lowrank, MeanLoss, Vector } from './lowrank.js';

/** @typedef {BufferSource | WebAssembly.Module | Response} ModuleSource */

/** A module with one vector instruction. */
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
);

/** Whether this engine has the 128-bit vectors of WebAssembly. */
export const hasSimd = () => WebAssembly.validate(SIMD);

/**
 * Compiles a module and makes its memory. Without `module` that is one of the two that come along, for training with separate
 * arithmetic: nothing is loaded.
 * @param {object} [options]
 * @param {'auto' | boolean} [options.simd] default: auto, as the engine can; both give the same bits
 * @param {ModuleSource | Promise<ModuleSource>} [options.module] another module of `lowrank/wasm`
 * @returns {Promise<Lowrank>}
 */
export async function create({ simd = 'auto', module } = {}) {
  if (simd !== 'auto' && typeof simd !== 'boolean') {
    throw new LowrankError('Unknown', 'simd', { expected: "'auto', true or false", got: shown(simd) });
  }
  const source = module === undefined ? await inflate(inline, pick(simd)) : await module;
  const [compiled, bytes] = await compile(source);
  const imports = WebAssembly.Module.imports(compiled).length;
  const names = WebAssembly.Module.exports(compiled).map(({ name }) => name);
  if (imports > 0 || !names.includes('lowrank_training_open')) {
    throw new LowrankError('Format', 'module', { expected: 'a module of lowrank', got: 'another one' });
  }
  return new Lowrank(await WebAssembly.instantiate(compiled), bytes);
}

/** Which of the inlined modules. @param {'auto' | boolean} simd */
function pick(simd) {
  const able = hasSimd();
  if (simd === true && !able) throw new LowrankError('Unsupported', 'simd', { text: 'this engine has no vectors' });
  return simd === false || !able ? 1 : 0;
}

/**
 * @param {ModuleSource} source
 * @returns {Promise<[WebAssembly.Module, bytes: number]>}
 */
async function compile(source) {
  if (source instanceof WebAssembly.Module) return [source, 0];
  let bytes = source;
  if (typeof Response === 'function' && source instanceof Response) {
    if (!source.ok) throw new LowrankError('Format', 'module', { expected: 'a module', got: `status ${source.status}` });
    bytes = await source.arrayBuffer();
  }
  if (!(bytes instanceof ArrayBuffer || ArrayBuffer.isView(bytes))) {
    throw new LowrankError('Type', 'module', { expected: 'bytes, a WebAssembly.Module or a Response', got: shown(bytes) });
  }
  if (!WebAssembly.validate(/** @type {BufferSource} */ (bytes))) {
    throw new LowrankError('Format', 'module', { expected: 'WebAssembly that this engine has', got: `${bytes.byteLength} other bytes` });
  }
  return [await WebAssembly.compile(/** @type {BufferSource} */ (bytes)), bytes.byteLength];
}
