// An adapter from outside, checked before anything of a layer is changed.
import { floats } from './arrays.js';
import { LowrankError, integer, number, shown } from './error.js';
import { factorOf } from './options.js';
import { seedOf } from './seed.js';

/**
 * How the factor of an adapter follows: alpha/rank, alpha/√rank, or alpha itself.
 * @typedef {{ mode: 'alpha' | 'rslora' | 'direct', alpha: number }} Scale
 */

/**
 * An adapter outside of the module's memory.
 * @typedef {object} Adapter
 * @property {string} name
 * @property {number} [id] tells layers of one name apart
 * @property {number} rank
 * @property {number} inputs
 * @property {number} outputs
 * @property {Scale} scale
 * @property {Float32Array} a [rank, inputs]
 * @property {Float32Array} b [outputs, rank]
 * @property {Float32Array} [bias] [outputs], in place of the base's
 * @property {Float32Array} [bBias] [outputs], of B
 * @property {boolean} [fanInFanOut] whether the base is stored as [inputs, outputs] where it comes from
 * @property {{ seed: bigint, step: number, stream: number, dropout: number }} [random]
 * @property {{ optimizer: number, trained: number, steps: bigint, weights: number[], moments: Float32Array[] }} [training] codes and
 *   state of the optimizer
 */

const MODES = ['alpha', 'rslora', 'direct'];

/** @param {string} name @param {unknown} value @returns {any} */
function object(name, value) {
  if (typeof value === 'object' && value !== null) return value;
  throw new LowrankError('Type', name, { expected: 'an object', got: shown(value) });
}

/**
 * The parts of an adapter for a layer of this shape, each of the type that it has to have.
 * @param {Adapter} adapter
 * @param {{ inputs: number, outputs: number, rank: number }} shape
 */
export function checked(adapter, shape) {
  object('adapter', adapter);
  for (const name of /** @type {const} */ (['inputs', 'outputs', 'rank'])) {
    const size = integer(name, adapter[name]);
    if (size !== shape[name]) throw new LowrankError('Length', name, { expected: shape[name], got: size });
  }
  const { inputs, outputs, rank } = shape;
  const [a, b] = [floats('a', adapter.a, rank * inputs), floats('b', adapter.b, outputs * rank)];
  const bias = adapter.bias === undefined ? undefined : floats('bias', adapter.bias, outputs);
  if (adapter.bBias !== undefined) throw new LowrankError('Unexpected', 'bBias', { text: 'layers here have no bias of B' });
  return { a, b, bias, scale: scaleOf(adapter.scale, rank), random: randomOf(adapter.random), training: trainingOf(adapter.training) };
}

/** @param {unknown} given @param {number} rank @returns {Scale} */
function scaleOf(given, rank) {
  const { mode, alpha } = object('scale', given);
  if (!MODES.includes(mode)) throw new LowrankError('Unknown', 'scale.mode', { expected: MODES.join(', '), got: shown(mode) });
  const factor = factorOf({ mode, alpha: number('scale.alpha', alpha) }, rank);
  if (!Number.isFinite(Math.fround(factor))) throw new LowrankError('Range', 'scale', { expected: 'a finite number', got: factor });
  return { mode, alpha };
}

/** @param {unknown} given */
function randomOf(given) {
  if (given === undefined) return undefined;
  const { seed, step, stream, dropout } = object('random', given);
  const rate = number('random.dropout', dropout);
  if (!(rate >= 0 && Math.fround(rate) < 1)) throw new LowrankError('Range', 'random.dropout', { expected: '0 to below 1', got: rate });
  return { seed: seedOf(seed), step: integer('random.step', step), stream: integer('random.stream', stream), rate };
}

/** @param {unknown} given */
function trainingOf(given) {
  if (given === undefined) return undefined;
  const { optimizer, trained, steps, weights, moments } = object('training', given);
  if (typeof steps !== 'bigint' || steps !== BigInt.asUintN(64, steps)) {
    throw new LowrankError('Type', 'training.steps', { expected: 'a bigint of 64 bits without a sign', got: shown(steps) });
  }
  if (!Array.isArray(weights) || weights.length !== 2) {
    throw new LowrankError('Type', 'training.weights', { expected: '2 numbers', got: shown(weights) });
  }
  if (!Array.isArray(moments) || moments.length !== 6) {
    throw new LowrankError('Type', 'training.moments', { expected: '6 arrays', got: shown(moments) });
  }
  return {
    optimizer: integer('training.optimizer', optimizer), trained: integer('training.trained', trained), steps,
    weights: weights.map((weight) => number('training.weights', weight)),
    moments: moments.map((moment) => floats('training.moments', moment)),
  };
}
