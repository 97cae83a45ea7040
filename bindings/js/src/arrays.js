// The elements of an array, not what its class makes of them: a subclass may override `slice`, `length` and `buffer`, and the `slice`
// of Node's Buffer makes no copy.
import { LowrankError, shown } from './error.js';
import { arrayKind } from './realm.js';

const PROTOTYPE = Object.getPrototypeOf(Uint8Array.prototype);

/** @param {string} name @returns {(view: unknown) => any} */
function slot(name) {
  const { get } = /** @type {any} */ (Object.getOwnPropertyDescriptor(PROTOTYPE, name));
  return (view) => get.call(view);
}

const [bufferOf, offsetOf, lengthOf] = ['buffer', 'byteOffset', 'length'].map(slot);

/**
 * The same elements, in the same memory, as an array of this realm and of no other class than `kind`.
 * @param {string} argument
 * @param {any} view a typed array
 * @returns {any}
 */
export function plain(argument, view) {
  try {
    // Throws where the buffer was moved, or has shrunk below the view: both look like arrays without elements.
    PROTOTYPE.at.call(view, 0);
  } catch {
    throw new LowrankError('Detached', argument, { text: 'the memory of this array is gone: its buffer was moved or has shrunk' });
  }
  const Kind = /** @type {any} */ (globalThis)[/** @type {string} */ (arrayKind(view))];
  return new Kind(bufferOf(view), offsetOf(view), lengthOf(view));
}

/**
 * A Float32Array, as above; of `length` elements where that is given.
 * @param {string} argument
 * @param {unknown} value
 * @param {number} [length]
 * @returns {Float32Array}
 */
export function floats(argument, value, length) {
  if (arrayKind(value) !== 'Float32Array') throw new LowrankError('Type', argument, { expected: 'a Float32Array', got: shown(value) });
  const view = plain(argument, value);
  if (length !== undefined && view.length !== length) {
    throw new LowrankError('Length', argument, { expected: length, got: view.length });
  }
  return view;
}
