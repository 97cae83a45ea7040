import { LowrankError, integer } from './error.js';

/** @param {number | bigint} seed */
export function seedOf(seed) {
  if (typeof seed !== 'bigint') return BigInt(integer('seed', seed, 0, Number.MAX_SAFE_INTEGER));
  if (seed === BigInt.asUintN(64, seed)) return seed;
  throw new LowrankError('Range', 'seed', { expected: 'a bigint of 64 bits without a sign', got: `${seed}` });
}
