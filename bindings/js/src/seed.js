import { integer, unsigned } from './error.js';

/** @param {number | bigint} seed */
export const seedOf = (seed) => (typeof seed === 'bigint' ? unsigned('seed', seed) : BigInt(integer('seed', seed, 0, Number.MAX_SAFE_INTEGER)));
