// What the user's images look like to the network, and which of them it learns from.

import { INPUTS, split, TASKS } from './scenario.js';

const SIDE = 8;
/** Ink of a full pixel in the data. */
export const FULL = 16;

/** One's own handwriting is seen as it was drawn. */
export const transformOf = (task) => (task === 'own' ? 'upright' : task);

/**
 * An image as the network sees it in a task.
 *
 * @param {string} task
 * @param {Uint8Array} pixels 64 numbers from 0 to 16, as drawn
 */
export function seen(task, pixels) {
  const source = TASKS[transformOf(task)];
  return Uint8Array.from({ length: INPUTS }, (_, i) => {
    const [row, col] = source(Math.floor(i / SIDE), i % SIDE);
    return pixels[SIDE * row + col];
  });
}

/**
 * The numbers of the images to train on and to test with. One's own are few, and are used for both; as long as there are none,
 * the prepared ones keep the network going, and there is nothing to test.
 *
 * @param {string} task
 * @param {import('./scenario.js').Digits} prepared
 * @param {import('./scenario.js').Digits} own
 */
export function imagesOf(task, prepared, own) {
  if (task !== 'own') return { digits: prepared, ...split(prepared) };
  if (own.labels.length === 0) return { digits: prepared, ...split(prepared), test: new Uint16Array() };
  const all = Uint16Array.from(own.labels.keys());
  return { digits: own, training: all, test: all };
}
