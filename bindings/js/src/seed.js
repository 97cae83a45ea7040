import { integer } from './error.js';

/** @param {number | bigint} seed */
export function seedOf(seed) {
  return typeof seed === 'bigint' ? BigInt.asUintN(64, seed) : BigInt(integer('seed', seed, 0, Number.MAX_SAFE_INTEGER));
}
