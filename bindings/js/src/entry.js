// Adapters on their way into a file.
import { LowrankError, integer, number, shown } from './error.js';
import { TENSORS, checkFinite } from './finite.js';
import { arrayKind } from './realm.js';
import { factorOf } from './scale.js';
import { textOf } from './text.js';

/** @typedef {import('./layer.js').Adapter} Adapter */

/**
 * Throws unless this is an adapter that a file can hold: of the right types and lengths, with a name, and finite.
 * @param {Adapter} adapter
 */
export function checkEntry(adapter) {
  object('layers', adapter);
  const name = textOf('name', adapter.name);
  const [rank, inputs, outputs] = [integer('rank', adapter.rank), integer('inputs', adapter.inputs), integer('outputs', adapter.outputs)];
  const lengths = { a: rank * inputs, b: outputs * rank, bias: outputs, bBias: outputs };
  for (const part of TENSORS) {
    if (adapter[part] !== undefined || part === 'a' || part === 'b') floats(part, adapter[part], lengths[part]);
  }
  const { mode, alpha } = object('scale', adapter.scale);
  if (!['alpha', 'rslora', 'direct'].includes(mode)) {
    throw new LowrankError('Unknown', 'scale.mode', { expected: 'alpha, rslora or direct', got: shown(mode) });
  }
  if (!Number.isFinite(factorOf({ mode, alpha: number('scale.alpha', alpha) }, rank))) {
    throw new LowrankError('Range', 'scale', { text: `layer ${name}`, expected: 'a finite number', got: alpha });
  }
  if (adapter.fanInFanOut !== undefined && typeof adapter.fanInFanOut !== 'boolean') {
    throw new LowrankError('Type', 'fanInFanOut', { expected: 'true or false', got: shown(adapter.fanInFanOut) });
  }
  checkState(adapter);
  checkFinite(adapter);
}

/** @param {Adapter} adapter */
function checkState({ random, training }) {
  if (random !== undefined) {
    const { seed, step, stream, dropout } = object('random', random);
    unsigned('random.seed', seed);
    integer('random.step', step);
    integer('random.stream', stream);
    number('random.dropout', dropout);
  }
  if (training === undefined) return;
  const { optimizer, trained, steps, weights, moments } = object('training', training);
  integer('training.optimizer', optimizer);
  integer('training.trained', trained);
  unsigned('training.steps', steps);
  list('training.weights', weights, 2).forEach((weight) => number('training.weights', weight));
  list('training.moments', moments, 6).forEach((moment) => floats('training.moments', moment));
}

/** @param {string} name @param {unknown} value @returns {any} */
function object(name, value) {
  if (typeof value === 'object' && value !== null) return value;
  throw new LowrankError('Type', name, { expected: 'an object', got: shown(value) });
}

/** @param {string} name @param {unknown} value @param {number} length @returns {unknown[]} */
function list(name, value, length) {
  if (Array.isArray(value) && value.length === length) return value;
  throw new LowrankError('Type', name, { expected: `an array of ${length}`, got: shown(value) });
}

/** @param {string} name @param {unknown} value @param {number} [length] */
function floats(name, value, length) {
  if (arrayKind(value) !== 'Float32Array') throw new LowrankError('Type', name, { expected: 'a Float32Array', got: shown(value) });
  const got = /** @type {Float32Array} */ (value).length;
  if (length !== undefined && got !== length) throw new LowrankError('Length', name, { expected: length, got });
}

/** Throws unless a value is a bigint of 64 bits without a sign. @param {string} name @param {unknown} value */
export function unsigned(name, value) {
  if (typeof value !== 'bigint') throw new LowrankError('Type', name, { expected: 'a bigint', got: shown(value) });
  if (value !== BigInt.asUintN(64, value)) throw new LowrankError('Range', name, { expected: '0 to 18446744073709551615', got: `${value}` });
  return value;
}
