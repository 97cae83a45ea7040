// Adapters whose numbers cannot be good.
import { LowrankError } from './error.js';

/** @typedef {import('./layer.js').Adapter} Adapter */

/** The tensors of a layer that PEFT has, too. */
export const TENSORS = /** @type {const} */ (['a', 'b', 'bias', 'bBias']);

/** Throws where a number of a layer is infinite or NaN. @param {Adapter} adapter */
export function checkFinite(adapter) {
  const moments = (adapter.training?.moments ?? []).map((moment) => /** @type {const} */ (['training.moments', moment]));
  for (const [part, numbers] of [...TENSORS.map((part) => /** @type {const} */ ([part, adapter[part]])), ...moments]) {
    const at = numbers?.findIndex((value) => !Number.isFinite(value)) ?? -1;
    if (at < 0) continue;
    throw new LowrankError('NonFinite', part, { text: `layer ${adapter.name}`, expected: 'finite numbers', got: `${numbers?.[at]} at ${at}` });
  }
}

/** An error that is not thrown, for each layer that adds nothing and can learn nothing. @param {Adapter[]} layers */
export const dead = (layers) => layers.filter(isDead).map(({ name }) => new LowrankError('DeadAdapter', name));

/** Whether A and B are zero. @param {Adapter} adapter */
export const isDead = ({ a, b }) => a.length > 0 && b.length > 0 && [a, b].every((numbers) => numbers.every((value) => value === 0));
