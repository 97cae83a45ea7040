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
  NoBackward: 'no backward pass came since the last step',
  NoForward: 'no forward pass of this batch came before',
  NoInputGrads: 'the gradient of the input has to come first',
  OtherOptimizer: 'planned for another optimizer, which needs less memory',
  Overflow: 'too large for the memory',
  Reversed: 'the range ends before it starts',
  Unexpected: 'given, but this call cannot fill it',
};

/**
 * The codes of the module are the variants of lowrank's `Error`, and those of its C ABI.
 * @typedef {'Length' | 'Rows' | 'Cols' | 'TooMany' | 'Stride' | 'Overflow' | 'Range' | 'NonFinite' | 'Label' | 'DeadAdapter' | 'Missing'
 *   | 'NoForward' | 'NoInputGrads' | 'ForInference' | 'AbsentAdapter' | 'OtherOptimizer' | 'Reversed' | 'Unexpected' | 'File' | 'Deviation' | 'Null' | 'Misaligned' | 'StructSize' | 'Overlap'
 *   | 'Wraps' | 'Unknown' | 'Unsupported' | 'NotUtf8' | 'NotFound' | 'NotInPlace' | 'NotSet' | 'Other'} ModuleCode
 */

/**
 * Codes of JavaScript's own: `Type` (a value of another type), `Foreign` (an array outside of the module's memory), `Detached` (an
 * array without memory: its buffer was moved or shrunk), `Freed`, `Memory` (it cannot grow), `Format` (another kind of file or
 * module), `NoBackward` (a step without a gradient), `Ended` (the worker or the connection to it has ended).
 * @typedef {'Type' | 'Foreign' | 'Detached' | 'Freed' | 'Memory' | 'Format' | 'NoBackward' | 'Ended'} OwnCode
 */

/** @typedef {ModuleCode | OwnCode} Code */

/** Why a call did not do its work. Nothing was changed then. */
export class LowrankError extends Error {
  /**
   * @param {Code} code
   * @param {string} argument
   * @param {{ expected?: number | string | undefined, got?: number | string | undefined, text?: string | undefined, cause?: unknown }} [details]
   */
  constructor(code, argument, { expected, got, text, ...rest } = {}) {
    const counted = typeof expected === 'number' ? COUNTED[code] ?? '' : '';
    const said = [
      text ?? MEANING[code],
      expected !== undefined && `expected ${expected}${counted}`,
      got !== undefined && `got ${got}`,
    ];
    super(`${argument}: ${said.filter(Boolean).join(', ') || code}`, rest);
    this.name = 'LowrankError';
    /** What kind of mistake it is. */
    this.code = code;
    /** Name of the argument or option. */
    this.argument = argument;
    this.expected = expected;
    this.got = got;
  }
}

/** What came, in few words. @param {unknown} value */
export function shown(value) {
  if (typeof value === 'string') return `'${value.length > 40 ? `${value.slice(0, 40)}…` : value}'`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'bigint') return `${value}n`;
  return value === null || typeof value !== 'object' ? String(value) : value.constructor?.name || 'object';
}

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
 * Throws unless `value` is true or false.
 * @param {string} argument
 * @param {unknown} value
 */
export function boolean(argument, value) {
  if (typeof value === 'boolean') return value;
  throw new LowrankError('Type', argument, { expected: 'true or false', got: shown(value) });
}

/**
 * Throws unless `value` is a string.
 * @param {string} argument
 * @param {unknown} value
 */
export function string(argument, value) {
  if (typeof value === 'string') return value;
  throw new LowrankError('Type', argument, { expected: 'a string', got: shown(value) });
}

/** Throws unless `value` is an object. @param {string} argument @param {unknown} value @returns {any} */
export function object(argument, value) {
  if (typeof value === 'object' && value !== null) return value;
  throw new LowrankError('Type', argument, { expected: 'an object', got: shown(value) });
}

/** Throws unless `value` is a bigint of 64 bits without a sign. @param {string} argument @param {unknown} value */
export function unsigned(argument, value) {
  if (typeof value !== 'bigint') throw new LowrankError('Type', argument, { expected: 'a bigint', got: shown(value) });
  if (value !== BigInt.asUintN(64, value)) throw new LowrankError('Range', argument, { expected: '0 to 18446744073709551615', got: `${value}` });
  return value;
}

/**
 * Throws when `options` is not an object of options, or has a name that `known` has not.
 * @param {string} argument
 * @param {object} options
 * @param {readonly string[]} known
 */
export function onlyKnown(argument, options, known) {
  if (typeof options !== 'object' || options === null || Array.isArray(options) || ArrayBuffer.isView(options)) {
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
  const code = /** @type {Code} */ (abi.STATUS[-data.getInt32(at + abi.ERROR_STATUS, true)] ?? 'Other');
  const argument = abi.ARGUMENT[u32(abi.ERROR_ARGUMENT)] ?? 'none';
  const [index, sizes] = [u32(abi.ERROR_INDEX), [u32(abi.ERROR_EXPECTED), u32(abi.ERROR_GOT)]];
  const nameOf = (/** @type {string} */ argument) => names[argument] ?? argument;
  /** @type {{ [code in Code]?: string }} */
  const words = {
    File: `${flaws[u32(abi.ERROR_FLAW)]}${index ? ` (see byte ${index})` : ''}`,
    Overlap: `shares memory with ${nameOf(abi.ARGUMENT[sizes[1]] ?? 'another argument')}`,
  };
  /** @type {{ [code in Code]?: (number | string | undefined)[] }} */
  const said = {
    Range: [range(f32(abi.ERROR_AT_LEAST), f32(abi.ERROR_AT_MOST)), f32(abi.ERROR_VALUE)],
    NonFinite: ['finite numbers', `another one at ${index}`],
    Label: [`classes below ${sizes[0]}`, sizes[1]],
    TooMany: [`at most ${sizes[0]}`, sizes[1]],
    Stride: [`at least ${sizes[0]} elements from row to row`, sizes[1]],
    // What a flaw does not say is 0.
    File: sizes.map((size) => size || undefined),
    Overlap: [],
  };
  const [expected, got] = said[code] ?? (sizes[0] || sizes[1] ? sizes : []);
  return new LowrankError(code, nameOf(argument), { expected, got, text: words[code] });
}
