import { LowrankError } from './error.js';
import { refuseTwice } from './json.js';
import { refuseOther } from './other-files.js';
import { byBytes, decode } from './text.js';

/** @typedef {{ dtype: string, shape: number[], bytes: Uint8Array }} Tensor */

/** The name of the file. */
export const TENSOR_FILE = 'adapter_model.safetensors';

/** A header of 16 MiB describes about 100,000 tensors. */
const LONGEST_HEADER = 16 << 20;
const LENGTH_BYTES = 8;
const ALIGN = 8;

/** Bytes of a number. @type {Record<string, number>} */
const SIZES = {
  BOOL: 1, U8: 1, I8: 1, F8_E5M2: 1, F8_E4M3: 1, I16: 2, U16: 2, F16: 2, BF16: 2, I32: 4, U32: 4, F32: 4, F64: 8, I64: 8, U64: 8,
};

/**
 * @param {string} text
 * @param {{ expected?: number | string, got?: number | string }} [sizes]
 */
const damaged = (text, sizes) => new LowrankError('Format', TENSOR_FILE, { text, ...sizes });

/**
 * The tensors of a file, in the order of their names. They stay where they are.
 * @param {Uint8Array} file
 * @returns {Map<string, Tensor>}
 */
export function readTensors(file) {
  refuseOther(TENSOR_FILE, file);
  if (file.length < LENGTH_BYTES) throw damaged('the file ends in its header', { expected: LENGTH_BYTES, got: file.length });
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  if (length > LONGEST_HEADER) throw damaged('no safetensors file', { expected: `a header of at most ${LONGEST_HEADER} bytes`, got: length });
  if (LENGTH_BYTES + length > file.length) {
    throw damaged('the file ends in its header', { expected: LENGTH_BYTES + length, got: file.length });
  }
  const data = file.subarray(LENGTH_BYTES + length);
  const found = entries(file.subarray(LENGTH_BYTES, LENGTH_BYTES + length)).map(([name, info]) => place(name, info, data));
  let end = 0;
  for (const { name, from, to } of [...found].sort((a, b) => a.from - b.from || a.to - b.to)) {
    if (from !== end) throw damaged(`tensor ${name}: the bytes before it belong to none, or to two`, { expected: end, got: from });
    end = to;
  }
  if (end !== data.length) throw damaged('the header describes another length', { expected: end, got: data.length });
  found.sort((a, b) => byBytes(a.name, b.name));
  return new Map(found.map(({ name, tensor }) => [name, tensor]));
}

/**
 * @param {Uint8Array} json
 * @returns {[string, any][]}
 */
function entries(json) {
  let [text, header] = ['', /** @type {unknown} */ (undefined)];
  try {
    text = decode(json);
    header = JSON.parse(text);
  } catch {
    throw damaged('the header is damaged');
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) throw damaged('the header is damaged');
  refuseTwice(TENSOR_FILE, text);
  // Not 2.0, nor 2e0: sizes are integers in every reader but that of JavaScript.
  const [odd] = text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"/g, '').match(/-?\d+(?:[.eE][\d.eE+-]*)|-\d+/) ?? [];
  if (odd !== undefined) throw damaged('a number of the header is no size', { expected: 'whole numbers', got: odd });
  const found = Object.entries(header).filter(([name]) => name !== '__metadata__');
  const broken = found.find(([name]) => /\p{Surrogate}/u.test(name));
  if (broken) throw damaged(`the name of a tensor has half of a surrogate pair: ${JSON.stringify(broken[0])}`);
  return found;
}

/**
 * @param {string} name
 * @param {any} info
 * @param {Uint8Array} data
 */
function place(name, info, data) {
  const { dtype, shape, data_offsets: offsets } = info ?? {};
  const counts = (/** @type {unknown} */ list) => Array.isArray(list) && list.every((n) => Number.isSafeInteger(n) && n >= 0);
  if (!Object.hasOwn(SIZES, dtype) || !counts(shape) || !counts(offsets) || offsets.length !== 2) {
    throw damaged(`tensor ${name}: expected dtype, shape and data_offsets`);
  }
  const [from, to] = offsets;
  const bytes = shape.reduce((/** @type {number} */ product, /** @type {number} */ n) => product * n, SIZES[dtype]);
  if (to - from !== bytes) throw damaged(`tensor ${name}: not as long as its shape`, { expected: bytes, got: to - from });
  if (to > data.length) throw damaged(`tensor ${name}: the file ends in it`, { expected: to, got: data.length });
  return { name, from, to, tensor: { dtype, shape, bytes: data.subarray(from, to) } };
}

/**
 * The bytes of a file with these tensors in 32 bits.
 * @param {[name: string, shape: number[], numbers: Float32Array][]} tensors
 */
export function writeTensors(tensors) {
  const sorted = [...tensors].sort(([a], [b]) => byBytes(a, b));
  let end = 0;
  /** @type {Record<string, unknown>} */
  const header = { __metadata__: { format: 'pt' } };
  for (const [name, shape, numbers] of sorted) {
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + numbers.byteLength] };
    end += numbers.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(json.length / ALIGN) * ALIGN;
  if (length > LONGEST_HEADER) throw damaged('the header would be too long', { expected: `at most ${LONGEST_HEADER} bytes`, got: length });
  const file = new Uint8Array(LENGTH_BYTES + length + end).fill(0x20, LENGTH_BYTES, LENGTH_BYTES + length);
  const view = new DataView(file.buffer);
  view.setBigUint64(0, BigInt(length), true);
  file.set(json, LENGTH_BYTES);
  let at = LENGTH_BYTES + length;
  for (const [, , numbers] of sorted) {
    for (const value of numbers) {
      view.setFloat32(at, value, true);
      at += 4;
    }
  }
  return file;
}
