import { plain } from './arrays.js';
import { arrayKind, tagged } from './realm.js';

/**
 * A value as it is to be sent. The engine sends all of the buffer that an array is a part of, such as the memory of a module or the
 * pool of Node's buffers, and it shares a SharedArrayBuffer. Where there is such an array or buffer, the objects, arrays, maps and sets
 * around it are made again, with a copy of the part, which may move. The engine does the rest, and the value itself stays as it is.
 * @param {any} value
 * @param {Set<any>} [moved] buffers that go as a whole
 * @param {string} [argument] for errors
 * @returns {{ value: any, copies: ArrayBuffer[] }}
 */
export function packed(value, moved = new Set(), argument = 'input') {
  const parts = new Parts(moved, argument);
  /** @type {ArrayBuffer[]} */
  const copies = [];
  if (!parts.within(value)) return { value, copies };
  /** What stands for what: one array that is there twice arrives as one, and circles stay circles. @type {Map<any, any>} */
  const seen = new Map();
  const walk = (/** @type {any} */ each) => {
    if (typeof each !== 'object' || each === null) return each;
    if (seen.has(each)) return seen.get(each);
    if (ArrayBuffer.isView(each)) return keep(each, parts.has(each) ? copied(each, copies) : each);
    if (isShared(each)) return keep(each, copied(new Uint8Array(each), copies).buffer);
    if (Array.isArray(each)) return filled(each, keep(each, new Array(each.length)));
    if (tagged(each, 'Map')) {
      const map = keep(each, new Map());
      for (const [key, item] of Map.prototype.entries.call(each)) map.set(walk(key), walk(item));
      return map;
    }
    if (tagged(each, 'Set')) {
      const set = keep(each, new Set());
      for (const item of Set.prototype.values.call(each)) set.add(walk(item));
      return set;
    }
    // What Node sends in ways of its own has no such properties.
    return tagged(each, 'Object') && (isPlain(each) || parts.within(each)) ? filled(each, keep(each, {})) : each;
  };
  const keep = (/** @type {any} */ each, /** @type {any} */ stand) => {
    seen.set(each, stand);
    return stand;
  };
  const filled = (/** @type {any} */ from, /** @type {any} */ to) => {
    for (const name of Object.keys(from)) {
      Object.defineProperty(to, name, { value: walk(from[name]), writable: true, enumerable: true, configurable: true });
    }
    return to;
  };
  return { value: walk(value), copies };
}

/** @param {unknown} value */
const isShared = (value) => tagged(value, 'SharedArrayBuffer');

/**
 * Whether an array is a part of the pool of Node's buffers, which never moves: others have their bytes in it.
 * @param {any} value
 */
export function isPooled(value) {
  const { Buffer } = /** @type {any} */ (globalThis);
  if (!Buffer?.isBuffer || !ArrayBuffer.isView(value)) return false;
  const { buffer, byteLength } = memoryOf('transfer', value);
  return byteLength < buffer.byteLength && (Buffer.isBuffer(value) || buffer.byteLength === Buffer.poolSize);
}

/** Which arrays are a part of something larger. */
class Parts {
  #moved;
  #argument;

  /** @param {Set<any>} moved @param {string} argument */
  constructor(moved, argument) {
    this.#moved = moved;
    this.#argument = argument;
  }

  /** @param {ArrayBufferView} view */
  has(view) {
    const { buffer, byteLength } = memoryOf(this.#argument, view);
    return !this.#moved.has(buffer) && (byteLength < buffer.byteLength || buffer.resizable || isShared(buffer));
  }

  /**
   * Whether there is one in a value.
   * @param {any} value
   * @param {Set<any>} [seen]
   * @returns {boolean}
   */
  within(value, seen = new Set()) {
    if (typeof value !== 'object' || value === null || seen.has(value)) return false;
    seen.add(value);
    if (ArrayBuffer.isView(value)) return this.has(value);
    if (isShared(value)) return true;
    const within = (/** @type {any} */ each) => this.within(each, seen);
    if (tagged(value, 'Map')) return [...Map.prototype.entries.call(value)].flat().some(within);
    if (tagged(value, 'Set')) return [...Set.prototype.values.call(value)].some(within);
    return (Array.isArray(value) || tagged(value, 'Object')) && Object.values(value).some(within);
  }
}

/**
 * Where an array is, whatever its class says.
 * @param {string} argument
 * @param {ArrayBufferView} view
 */
export function memoryOf(argument, view) {
  const { buffer, byteOffset, byteLength } = arrayKind(view) ? plain(argument, view) : view;
  return { buffer, byteOffset, byteLength };
}

/**
 * A view with a buffer of its own.
 * @param {ArrayBufferView} view
 * @param {ArrayBuffer[]} copies
 */
function copied(view, copies) {
  const { buffer, byteOffset, byteLength } = memoryOf('input', view);
  const bytes = new Uint8Array(byteLength);
  bytes.set(new Uint8Array(buffer, byteOffset, byteLength));
  copies.push(bytes.buffer);
  const kind = arrayKind(view);
  return kind ? new /** @type {any} */ (globalThis)[kind](bytes.buffer) : new DataView(bytes.buffer);
}

/** Whether it is an object of no class. @param {object} value */
function isPlain(value) {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
