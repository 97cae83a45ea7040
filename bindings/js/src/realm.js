// What a value is, wherever it was made: `instanceof` knows the classes of one realm only, and a frame, node:vm and jsdom have others.

/** What the engine itself knows of a typed array, under whichever name and prototype. */
const kind = /** @type {{ get: () => string | undefined }} */ (
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)
).get;

/** The class of a typed array; `undefined` of everything else. @param {unknown} value */
export const arrayKind = (value) => kind.call(value);

/** @param {unknown} value @returns {value is Float32Array} */
export const isFloats = (value) => arrayKind(value) === 'Float32Array';

/** @param {unknown} value @returns {value is Uint8Array} */
export const isBytes = (value) => arrayKind(value) === 'Uint8Array';

/** @param {unknown} value @returns {value is ArrayBuffer} */
export const isBuffer = (value) => tagged(value, 'ArrayBuffer');

/** Whether an object says of itself that it is of a class. @param {unknown} value @param {string} name */
export const tagged = (value, name) => Object.prototype.toString.call(value) === `[object ${name}]`;
