import * as abi from './layout.js';

/** What is counted where sizes disagree. @type {Record<string, string>} */
const COUNTED = { Length: ' elements', Rows: ' rows', Cols: ' columns' };

/** What is said where nothing else is. @type {Record<string, string>} */
const MEANING = {
  DeadAdapter: 'A and B are both zero: the adapter can never learn',
  Freed: 'used after it was freed',
  AbsentAdapter: 'an earlier pass of this batch ran with a scale of 0: run forward again',
  ForInference: 'made for inference, a backward pass needs memory for training',
  Missing: 'needed here, but not given',
  NoForward: 'no forward pass of this batch came before',
  NoInputGrads: 'the gradient of the input has to come first',
  OtherOptimizer: 'planned for another optimizer, which needs less memory',
  Overflow: 'too large for the memory',
  Reversed: 'the range ends before it starts',
  Unexpected: 'given, but this call cannot fill it',
};

/**
 * Why a call did not do its work. Nothing was changed then.
 *
 * `code` is the name of a variant of lowrank's `Error` (`Length`, `Rows`, `Range`, `Missing`, ...), or one of JavaScript's own:
 * `Type` (not what it has to be at all), `Unknown` (no such option), `Foreign` (an array outside the module's memory),
 * `Detached` (a view from before the memory grew), `Freed`, `Memory` (the engine gives no more), `Format` (not that kind of file
 * or module).
 */
export class LowrankError extends Error {
  /**
   * @param {string} code
   * @param {string} argument
   * @param {{ expected?: number | string, got?: number | string, text?: string }} [details]
   */
  constructor(code, argument, { expected, got, text } = {}) {
    const counted = typeof expected === 'number' ? COUNTED[code] ?? '' : '';
    const said = [
      text ?? MEANING[code],
      expected !== undefined && `expected ${expected}${counted}`,
      got !== undefined && `got ${got}`,
    ];
    super(`${argument}: ${said.filter(Boolean).join(', ') || code}`);
    this.name = 'LowrankError';
    this.code = code;
    this.argument = argument;
    this.expected = expected;
    this.got = got;
  }
}

/** What came, in few words. @param {unknown} value */
export const shown = (value) => (value === null || typeof value !== 'object' ? String(value) : value.constructor?.name ?? 'object');

/**
 * Throws unless `value` is an integer from `least` to `most`.
 * @param {string} argument
 * @param {unknown} value
 */
export function integer(argument, value, least = 0, most = 2 ** 32 - 1) {
  if (Number.isInteger(value) && /** @type {number} */ (value) >= least && /** @type {number} */ (value) <= most) {
    return /** @type {number} */ (value);
  }
  throw new LowrankError('Range', argument, { expected: `an integer from ${least} to ${most}`, got: shown(value) });
}

/**
 * Throws unless `value` is a number. Its range is checked by the module.
 * @param {string} argument
 * @param {unknown} value
 */
export function number(argument, value) {
  if (typeof value === 'number') return value;
  throw new LowrankError('Type', argument, { expected: 'a number', got: shown(value) });
}

/**
 * Throws when `options` is not an object, or has a name that `known` has not.
 * @param {string} argument
 * @param {object} options
 * @param {readonly string[]} known
 */
export function onlyKnown(argument, options, known) {
  if (typeof options !== 'object' || options === null) {
    throw new LowrankError('Type', argument, { expected: 'an object', got: shown(options) });
  }
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new LowrankError('Unknown', name, { expected: `one of ${known.join(', ')}` });
  }
}

/** In words; the largest number of 32 bits is no bound. @param {number} least @param {number} most */
const range = (least, most) => (most > 3e38 ? (least < -3e38 ? 'a finite number' : `at least ${least}`) : `${least} to ${most}`);

/**
 * What a struct of an error says.
 * @param {DataView} data
 * @param {number} at
 * @param {Record<string, string>} names of arguments, where they are others than in the ABI
 * @param {Record<number, string>} [flaws] of files
 */
export function failure(data, at, names, flaws = {}) {
  const u32 = (/** @type {number} */ field) => data.getUint32(at + field, true);
  const f32 = (/** @type {number} */ field) => data.getFloat32(at + field, true);
  const code = abi.STATUS[-data.getInt32(at + abi.ERROR_STATUS, true)] ?? 'Other';
  const argument = abi.ARGUMENT[u32(abi.ERROR_ARGUMENT)] ?? 'none';
  const [index, sizes] = [u32(abi.ERROR_INDEX), [u32(abi.ERROR_EXPECTED), u32(abi.ERROR_GOT)]];
  const text = code === 'File' ? `${flaws[u32(abi.ERROR_FLAW)]} at byte ${index}` : undefined;
  const [expected, got] = {
    Range: [range(f32(abi.ERROR_AT_LEAST), f32(abi.ERROR_AT_MOST)), f32(abi.ERROR_VALUE)],
    NonFinite: ['finite numbers', `another one at ${index}`],
    Label: [`classes below ${sizes[0]}`, sizes[1]],
    TooMany: [`at most ${sizes[0]}`, sizes[1]],
    Stride: [`at least ${sizes[0]} elements from row to row`, sizes[1]],
    // What a flaw does not say is 0.
    File: sizes.map((size) => size || undefined),
  }[code] ?? (sizes[0] || sizes[1] ? sizes : []);
  return new LowrankError(code, names[argument] ?? argument, { expected, got, text });
}
