// What a layer is made of: its options, checked, and as a struct.
import * as abi from './layout.js';
import { floats } from './arrays.js';
import { LowrankError, boolean, integer, number, onlyKnown, shown } from './error.js';
import { factorOf } from './scale.js';
import { seedOf } from './seed.js';

/** @typedef {import('./heap.js').Heap} Heap */
/** @typedef {'adamw' | 'momentum' | 'sgd' | 'in-place' | 'inference'} Optimizer */

/**
 * @typedef {object} LayerOptions
 * @property {number} inputs
 * @property {number} outputs
 * @property {number} rank of the adapter
 * @property {number} tokens the most at a time
 * @property {Float32Array} weights the frozen ones, [outputs, inputs], as PyTorch stores them; they are copied
 * @property {Float32Array} [bias] [outputs]
 * @property {number} [alpha] the adapter's factor is alpha/rank; default: rank
 * @property {boolean} [rankStabilized] it is alpha/√rank instead
 * @property {number} [scale] the factor itself, in place of alpha
 * @property {Optimizer} [optimizer] default: adamw; inference: no training
 * @property {'separate' | 'fused'} [arithmetic] default: separate
 * @property {boolean} [freezeA] whether B alone is trained, without A; default: false; in place A is trained
 * @property {boolean} [trainBias] default: false; in place no bias is trained
 * @property {{ probability: number, seed?: number | bigint }} [dropout] of the adapter's input, from 0 to below 1
 * @property {boolean} [inputGrads] whether `backward` computes dx; default: false
 * @property {boolean} [packed] whether the weights rest in panels, which is faster for a few tokens; `weights` then has that order.
 *   With a full module only; default: false
 * @property {number | bigint} [seed] of the adapter, default 0
 * @property {number} [layerNumber] number of the layer, which has random numbers of its own; default: how many were made before
 * @property {import('./vector.js').Vector | Float32Array} [x] memory for x, such as the y of the layer below
 * @property {import('./vector.js').Vector | Float32Array} [dx] memory for dx, such as the dy of the layer below
 */

/**
 * What a layer needs of its module.
 * @typedef {object} Parts
 * @property {Heap} heap
 * @property {number} settings where a struct of settings has room
 * @property {import('./loss.js').Losses} losses
 * @property {readonly string[]} arithmetics
 * @property {(name: string) => boolean} has whether the module has a function
 * @property {(names: Record<string, string>, name: string, ...args: (number | bigint)[]) => void} call
 */

export const OPTIMIZERS = { adamw: abi.ADAMW, momentum: abi.MOMENTUM, sgd: abi.SGD, 'in-place': abi.IN_PLACE, inference: abi.IN_PLACE };
const BACKENDS = { separate: abi.BASELINE_SEPARATE, fused: abi.BASELINE_FUSED };
/** The largest number of a layer: each has a stream of random numbers for dropout and one for its initialisation. */
export const LAST_LAYER_NUMBER = 2 ** 30 - 1;
/** Names of all options. */
export const OPTIONS = [
  'inputs', 'outputs', 'rank', 'tokens', 'weights', 'bias', 'alpha', 'rankStabilized', 'scale', 'optimizer', 'arithmetic', 'freezeA',
  'trainBias', 'dropout', 'inputGrads', 'packed', 'seed', 'layerNumber', 'x', 'dx',
];

/**
 * @param {LayerOptions} options
 * @param {Parts} parts
 * @param {number} index
 */
export function sizesOf(options, { arithmetics, has }, index) {
  const size = (/** @type {'inputs' | 'outputs' | 'rank' | 'tokens'} */ name) => integer(name, options[name], 0, 2 ** 28);
  const [inputs, outputs, rank, tokens] = [size('inputs'), size('outputs'), size('rank'), size('tokens')];
  const { optimizer = 'adamw', arithmetic = 'separate', dropout, freezeA = false, trainBias = false, packed = false } = options;
  floats('weights', options.weights, outputs * inputs);
  if (options.bias !== undefined) floats('bias', options.bias, outputs);
  if (!Object.hasOwn(OPTIMIZERS, optimizer)) {
    throw new LowrankError('Unknown', 'optimizer', { expected: Object.keys(OPTIMIZERS).join(', '), got: shown(optimizer) });
  }
  if (optimizer === 'in-place' && !has('lowrank_layer_in_place_step')) {
    throw new LowrankError('Unsupported', 'optimizer', { text: 'only in the full modules of lowrank/wasm', got: optimizer });
  }
  if (optimizer === 'in-place' && freezeA === true) throw new LowrankError('Unexpected', 'freezeA', { text: 'in place, A is trained' });
  if (optimizer === 'in-place' && trainBias === true) throw new LowrankError('Unexpected', 'trainBias', { text: 'in place, no bias is trained' });
  if (boolean('packed', packed) && !has('lowrank_pack')) {
    throw new LowrankError('Unsupported', 'packed', { text: 'only in the full modules of lowrank/wasm' });
  }
  if (!arithmetics.includes(arithmetic)) {
    throw new LowrankError('Unsupported', 'arithmetic', { expected: arithmetics.join(', '), got: shown(arithmetic) });
  }
  const rule = ruleOf(options, rank);
  const { seed = 0, layerNumber = index, inputGrads = options.dx !== undefined } = options;
  if (!boolean('inputGrads', inputGrads) && options.dx !== undefined) {
    throw new LowrankError('Unexpected', 'dx', { text: 'inputGrads is false: no gradient of x is computed' });
  }
  return {
    inputs, outputs, rank, tokens, scale: factorOf(rule, rank), rule, optimizer, arithmetic, packed,
    trained: (boolean('freezeA', freezeA) ? 0 : abi.TRAINS_A) | (boolean('trainBias', trainBias) ? abi.TRAINS_BIAS : 0),
    inputGrads,
    seed: seedOf(seed),
    layerNumber: integer('layerNumber', layerNumber, 0, LAST_LAYER_NUMBER),
    ...dropoutOf(dropout, seed),
  };
}

/**
 * @param {LayerOptions['dropout']} dropout
 * @param {number | bigint} otherwise the seed, where it has none of its own
 */
function dropoutOf(dropout, otherwise) {
  if (dropout === undefined) return { probability: 0, dropoutSeed: seedOf(otherwise) };
  if (typeof dropout === 'number') {
    throw new LowrankError('Type', 'dropout', { expected: `an object such as { probability: ${dropout} }`, got: dropout });
  }
  onlyKnown('dropout', dropout, ['probability', 'seed']);
  const { probability, seed = otherwise } = dropout;
  return { probability: number('dropout.probability', probability), dropoutSeed: seedOf(seed) };
}

/**
 * How the factor follows, from one of `alpha` (with or without `rankStabilized`) and `scale`.
 * @param {LayerOptions} options
 * @param {number} rank
 * @returns {import('./entry.js').Scale}
 */
function ruleOf({ alpha, scale, rankStabilized = false }, rank) {
  const name = scale === undefined ? 'alpha' : 'scale';
  if (boolean('rankStabilized', rankStabilized) && scale !== undefined) {
    throw new LowrankError('Unexpected', 'rankStabilized', { text: 'scale is the factor itself, rankStabilized says how it follows from alpha' });
  }
  if (alpha !== undefined && scale !== undefined) {
    throw new LowrankError('Unexpected', 'scale', { text: 'alpha and scale were both given: scale is the factor itself, in place of alpha' });
  }
  const given = number(name, scale !== undefined ? scale : alpha !== undefined ? alpha : rank);
  const rule = /** @type {const} */ ({ mode: name === 'scale' ? 'direct' : rankStabilized ? 'rank-stabilized' : 'alpha', alpha: Math.fround(given) });
  const factor = factorOf(rule, rank);
  if (!Number.isFinite(factor)) throw new LowrankError('Range', name, { expected: 'a finite number', got: given });
  return rule;
}

/**
 * Fills in a struct.
 * @param {DataView} data
 * @param {number} at
 * @param {ReturnType<typeof sizesOf>} of
 */
export function describe(data, at, of) {
  for (let i = 0; i < abi.LAYER_BYTES; i += 4) data.setUint32(at + i, 0, true);
  const u32 = (/** @type {number} */ field, /** @type {number} */ value) => data.setUint32(at + field, value, true);
  u32(0, abi.LAYER_BYTES);
  u32(abi.LAYER_INPUTS, of.inputs);
  u32(abi.LAYER_OUTPUTS, of.outputs);
  u32(abi.LAYER_RANK, of.rank);
  u32(abi.LAYER_TOKENS, of.tokens);
  u32(abi.LAYER_OPTIMIZER, OPTIMIZERS[of.optimizer]);
  u32(abi.LAYER_TRAINED, of.trained);
  u32(abi.LAYER_BACKEND, BACKENDS[of.arithmetic]);
  data.setFloat32(at + abi.LAYER_SCALE, of.scale, true);
  u32(abi.LAYER_DROPOUT, abi.DROPOUT_BYTES);
  data.setFloat32(at + abi.LAYER_DROPOUT + abi.DROPOUT_PROBABILITY, of.probability, true);
  u32(abi.LAYER_DROPOUT + abi.DROPOUT_LAYER_NUMBER, of.layerNumber);
  data.setBigUint64(at + abi.LAYER_DROPOUT + abi.DROPOUT_SEED, of.dropoutSeed, true);
  u32(abi.LAYER_CLOCK, abi.CLOCK_BYTES);
}
