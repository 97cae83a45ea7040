// An entry of a file, checked before anything of a layer is changed or of a file is written.
import { floats } from './arrays.js';
import { LowrankError, integer, number, object, shown, unsigned } from './error.js';
import { checkFinite } from './finite.js';
import { factorOf } from './scale.js';

/**
 * How the factor of an adapter follows: alpha/rank, alpha/√rank, or alpha itself.
 * @typedef {{ mode: 'alpha' | 'rank-stabilized' | 'direct', alpha: number }} Scale
 */

/**
 * An entry: what an adapter file holds of one layer, outside of the module's memory.
 * @typedef {object} Entry
 * @property {string} name
 * @property {number} [id] tells entries of one name apart
 * @property {number} rank
 * @property {number} inputs
 * @property {number} outputs
 * @property {Scale} scale
 * @property {Float32Array} a [rank, inputs]
 * @property {Float32Array} b [outputs, rank]
 * @property {Float32Array} [bias] [outputs], in place of the base's
 * @property {Float32Array} [bBias] [outputs], of B
 * @property {boolean} [fanInFanOut] whether the base is stored as [inputs, outputs] where it comes from
 * @property {{ seed: bigint, step: number, layerNumber: number, dropout: number }} [random]
 * @property {{ optimizer: number, trained: number, steps: bigint, weights: number[], moments: Float32Array[] }} [training] codes and
 *   state of the optimizer
 */

const MODES = ['alpha', 'rank-stabilized', 'direct'];

/**
 * The parts of an entry, each of the type and length that it has to have, and finite.
 * @param {Entry} entry
 * @param {{ inputs: number, outputs: number, rank: number }} [shape] that the entry has to have
 */
export function checked(entry, shape) {
  const [inputs, outputs, rank] = /** @type {const} */ (['inputs', 'outputs', 'rank']).map((name) => {
    const size = integer(name, entry[name]);
    if (shape && size !== shape[name]) throw new LowrankError('Length', name, { expected: shape[name], got: size });
    return size;
  });
  const optional = (/** @type {'bias' | 'bBias'} */ name) => (entry[name] === undefined ? undefined : floats(name, entry[name], outputs));
  const parts = {
    name: entry.name, a: floats('a', entry.a, rank * inputs), b: floats('b', entry.b, outputs * rank),
    bias: optional('bias'), bBias: optional('bBias'),
    scale: scaleOf(entry.scale, rank), random: randomOf(entry.random), training: trainingOf(entry.training),
  };
  checkFinite(parts);
  return parts;
}

/** @param {unknown} given @param {number} rank @returns {Scale} */
function scaleOf(given, rank) {
  const { mode, alpha } = object('scale', given);
  if (!MODES.includes(mode)) throw new LowrankError('Unknown', 'scale.mode', { expected: MODES.join(', '), got: shown(mode) });
  const factor = factorOf({ mode, alpha: number('scale.alpha', alpha) }, rank);
  if (!Number.isFinite(factor)) throw new LowrankError('Range', 'scale', { expected: 'a finite number', got: factor });
  return { mode, alpha };
}

/** @param {unknown} given */
function randomOf(given) {
  if (given === undefined) return undefined;
  const { seed, step, layerNumber, dropout } = object('random', given);
  if (!(number('random.dropout', dropout) >= 0 && Math.fround(dropout) < 1)) {
    throw new LowrankError('Range', 'random.dropout', { expected: '0 to below 1', got: dropout });
  }
  return {
    seed: unsigned('random.seed', seed), step: integer('random.step', step), layerNumber: integer('random.layerNumber', layerNumber), dropout,
  };
}

/** @param {unknown} given */
function trainingOf(given) {
  if (given === undefined) return undefined;
  const { optimizer, trained, steps, weights, moments } = object('training', given);
  return {
    optimizer: integer('training.optimizer', optimizer), trained: integer('training.trained', trained),
    steps: unsigned('training.steps', steps),
    weights: list('training.weights', weights, 2).map((weight) => number('training.weights', weight)),
    moments: list('training.moments', moments, 6).map((moment) => floats('training.moments', moment)),
  };
}

/** @param {string} name @param {unknown} value @param {number} length @returns {unknown[]} */
function list(name, value, length) {
  if (Array.isArray(value) && value.length === length) return value;
  throw new LowrankError('Type', name, { expected: `an array of ${length}`, got: shown(value) });
}
