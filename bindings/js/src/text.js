// Names and texts, carried to the byte.
import { LowrankError, shown } from './error.js';
import { arrayKind, isBuffer, tagged } from './realm.js';

/**
 * The bytes of a file, wherever they come from. They stay where they are, except for those of a SharedArrayBuffer.
 * @param {string} argument
 * @param {unknown} source
 * @param {string} [expected] what it may be
 */
export function bytesOf(argument, source, expected = 'bytes: a Uint8Array, a DataView or an ArrayBuffer') {
  const isView = arrayKind(source) === 'Uint8Array' || (ArrayBuffer.isView(source) && arrayKind(source) === undefined);
  if (!isView && !isBuffer(source) && !tagged(source, 'SharedArrayBuffer')) {
    throw new LowrankError('Type', argument, { expected, got: shown(source) });
  }
  try {
    const { buffer, byteOffset = 0, byteLength } = /** @type {Partial<ArrayBufferView>} */ (isView ? source : { buffer: source });
    const view = new Uint8Array(/** @type {ArrayBuffer} */ (buffer), byteOffset, byteLength);
    return isBuffer(buffer) ? view : view.slice();
  } catch {
    throw new LowrankError('Detached', argument, { text: 'its memory is gone: the buffer was moved or has shrunk' });
  }
}

/** What UTF-8 says; a byte order mark in front is a part of it. @param {Uint8Array} bytes @throws {TypeError} where it is none */
export const decode = (bytes) => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);

/**
 * Throws unless `value` is a string that UTF-8 can hold.
 * @param {string} argument
 * @param {unknown} value
 */
export function textOf(argument, value) {
  if (typeof value !== 'string') throw new LowrankError('Type', argument, { expected: 'a string', got: shown(value) });
  if (/\p{Surrogate}/u.test(value)) {
    throw new LowrankError('NotUtf8', argument, { text: 'half of a surrogate pair is no character', got: JSON.stringify(value) });
  }
  return value;
}

/** The order of the bytes of UTF-8, which is that of the code points. @param {string} a @param {string} b */
export function byBytes(a, b) {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return (a.codePointAt(i) ?? -1) - (b.codePointAt(i) ?? -1);
}
