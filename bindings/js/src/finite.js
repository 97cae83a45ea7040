// Entries whose numbers cannot be good.
import { LowrankError } from './error.js';

/** @typedef {import('./layer.js').Entry} Entry */

/** The tensors of an entry that PEFT has, too. */
export const TENSORS = /** @type {const} */ (['a', 'b', 'bias', 'bBias']);

/** @typedef {Pick<NonNullable<Entry['training']>, 'weights' | 'moments'>} State */

/**
 * Throws where a number of an entry is infinite or NaN.
 * @param {Pick<Entry, 'name' | 'a' | 'b'> & { [part in 'bias' | 'bBias']?: Float32Array | undefined } & { training?: State | undefined }} entry
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

/** An error that is not thrown, for each entry that adds nothing and can learn nothing. @param {Entry[]} entries */
export const dead = (entries) => entries.filter(isDead).map(({ name }) => new LowrankError('DeadAdapter', name));

/** Whether A and B are zero. @param {{ a: Float32Array, b: Float32Array }} entry */
export const isDead = ({ a, b }) => a.length > 0 && b.length > 0 && [a, b].every((numbers) => numbers.every((value) => value === 0));
