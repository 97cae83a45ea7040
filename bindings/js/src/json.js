// What JSON.parse and JSON.stringify lose: the order of keys that look like integers, how a number was written, the sign of a zero.
import { LowrankError, shown } from './error.js';

/** Objects and lists inside of each other. */
const DEEPEST = 100;

const tooDeep = `at most ${DEEPEST} objects and lists inside of each other`;

const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]/g;

/**
 * Throws where an object has a key twice: every reader takes another value of the two.
 * @param {string} argument
 * @param {string} text JSON
 */
export function refuseTwice(argument, text) {
  /** The keys of each open object; none of a list. @type {Set<string>[]} */
  const open = [];
  let last = '';
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '{' || token === '[') open.push(new Set());
    else if (token === '}' || token === ']') open.pop();
    else if (token === ':') {
      const keys = /** @type {Set<string>} */ (open.at(-1));
      if (keys.size === keys.add(JSON.parse(last)).size) throw new LowrankError('Format', argument, { text: 'a key is there twice', got: last });
    } else if (token !== ',') last = token;
  }
}

/**
 * The members of an object, in the order of the text: each key with the text of its value. Of equal keys, the last value is in the
 * place of the first, as it is in Python.
 * @param {string} argument
 * @param {string} text JSON that holds an object
 */
export function members(argument, text) {
  /** @type {Map<string, string>} */
  const found = new Map();
  let [depth, key, start] = [0, /** @type {string | undefined} */ (undefined), 0];
  for (const { 0: token, index } of text.matchAll(TOKENS)) {
    if (token === '}' || token === ']') depth--;
    if (depth === 1 && key === undefined && token.startsWith('"')) key = JSON.parse(token);
    else if (depth === 1 && token === ':') start = index + 1;
    if (key !== undefined && (depth === 0 || (depth === 1 && token === ','))) {
      found.set(key, text.slice(start, index).trim());
      key = undefined;
    }
    if (token === '{' || token === '[') depth++;
    if (depth > DEEPEST) throw new LowrankError('Format', argument, { expected: tooDeep });
  }
  return found;
}

/**
 * JSON in lines, every number to the bit. A Map is an object whose order is kept.
 * @param {string} argument
 * @param {unknown} value
 * @param {string} [indent]
 * @returns {string}
 */
export function stringify(argument, value, indent = '') {
  if (typeof value === 'number' && Number.isFinite(value)) return numberText(value);
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value);
  if (indent.length > 2 * DEEPEST) throw new LowrankError('Type', argument, { expected: tooDeep });
  const inner = `${indent}  `;
  const lines = (/** @type {string[]} */ parts, /** @type {string} */ [open, close]) =>
    (parts.length === 0 ? open + close : `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${indent}${close}`);
  if (Array.isArray(value)) return lines(value.map((each, i) => stringify(`${argument}[${i}]`, each, inner)), '[]');
  if (!isPlain(value)) throw new LowrankError('Type', argument, { expected: 'what JSON can hold', got: shown(value) });
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  const given = entries.filter(([, each]) => each !== undefined);
  return lines(given.map(([key, each]) => `${JSON.stringify(String(key))}: ${stringify(`${argument}.${key}`, each, inner)}`), '{}');
}

/** Whether a value is a Map, or an object of no class. @param {unknown} value @returns {value is object} */
function isPlain(value) {
  if (typeof value !== 'object' || value === null) return false;
  const tag = Object.prototype.toString.call(value);
  return tag === '[object Object]' || tag === '[object Map]';
}

/**
 * A number as both JavaScript and Python read it. A whole number without a point is an integer in Python, which has all of its digits:
 * those beyond 2⁵³ are written as what they are here.
 * @param {number} value
 */
export function numberText(value) {
  if (Object.is(value, -0)) return '-0.0';
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? value.toExponential() : String(value);
}
