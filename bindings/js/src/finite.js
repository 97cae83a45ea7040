// Adapters whose numbers cannot be good.
import { LowrankError } from './error.js';

/** @typedef {import('./layer.js').Adapter} Adapter */

/** The tensors of a layer that PEFT has, too. */
export const TENSORS = /** @type {const} */ (['a', 'b', 'bias', 'bBias']);

/** @typedef {Pick<NonNullable<Adapter['training']>, 'weights' | 'moments'>} State */

/**
 * Throws where a number of a layer is infinite or NaN.
 * @param {Pick<Adapter, 'name' | 'a' | 'b'> & { [part in 'bias' | 'bBias']?: Float32Array | undefined } & { training?: State | undefined }} adapter
 */
export function checkFinite({ name, training, ...tensors }) {
  const state = training ? [['training.weights', training.weights], ...training.moments.map((moment) => ['training.moments', moment])] : [];
  const all = /** @type {[string, ArrayLike<number> | undefined][]} */ ([...TENSORS.map((part) => [part, tensors[part]]), ...state]);
  for (const [part, numbers = []] of all) finite(part, numbers, name === undefined ? undefined : `layer ${name}`);
}

/**
 * Throws where a number is infinite or NaN.
 * @param {string} argument
 * @param {ArrayLike<number>} numbers
 * @param {string} [text] where they are
 */
export function finite(argument, numbers, text) {
  const at = Array.prototype.findIndex.call(numbers, (value) => !Number.isFinite(value));
  if (at >= 0) throw new LowrankError('NonFinite', argument, { text, expected: 'finite numbers', got: `${numbers[at]} at ${at}` });
}

/** An error that is not thrown, for each layer that adds nothing and can learn nothing. @param {Adapter[]} layers */
export const dead = (layers) => layers.filter(isDead).map(({ name }) => new LowrankError('DeadAdapter', name));

/** Whether A and B are zero. @param {{ a: Float32Array, b: Float32Array }} adapter */
export const isDead = ({ a, b }) => a.length > 0 && b.length > 0 && [a, b].every((numbers) => numbers.every((value) => value === 0));
