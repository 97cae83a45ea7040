/** @typedef {import('./layer.js').Scale} Scale */

/**
 * The factor s of a layer, rounded once.
 * @param {Scale} scale
 * @param {number} rank
 */
export function factorOf({ mode, alpha }, rank) {
  if (mode === 'direct') return Math.fround(alpha);
  return rank === 0 ? 0 : Math.fround(alpha / (mode === 'rank-stabilized' ? Math.sqrt(rank) : rank));
}

/**
 * The same factor from numbers of 32 bits: an alpha that is none becomes the factor itself.
 * @param {Scale} scale
 * @param {number} rank
 * @returns {Scale}
 */
export const inSingle = (scale, rank) =>
  (Math.fround(scale.alpha) === scale.alpha ? scale : { mode: 'direct', alpha: factorOf(scale, rank) });
