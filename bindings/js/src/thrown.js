// What was thrown in a worker, as a message, and again.
import { LowrankError, shown } from './error.js';
import { packed } from './packed.js';

const NATIVE = { AggregateError, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
/** Causes of causes that are sent. */
const DEPTH = 8;

/** @param {unknown} value */
const isError = (value) => value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';

/**
 * @param {unknown} thrown
 * @returns {any} what can be sent
 */
export function received(thrown, depth = 0) {
  if (!isError(thrown)) return { value: sendable(thrown) };
  const { name, message, stack, cause, errors, code, argument, expected, got } = /** @type {any} */ (thrown);
  const own = name === 'LowrankError' && { lowrank: sendable({ code, argument, expected, got }) };
  return {
    name: String(name), message: String(message), stack: typeof stack === 'string' ? stack : undefined, ...own,
    ...cause !== undefined && depth < DEPTH && { cause: received(cause, depth + 1) },
    ...Array.isArray(errors) && depth < DEPTH && { errors: errors.map((each) => received(each, depth + 1)) },
  };
}

/** A value that is no error; what cannot be sent becomes words. @param {unknown} value */
function sendable(value) {
  try {
    structuredClone(packed(value).value);
    return value;
  } catch {
    return shown(value);
  }
}

/** @param {any} message of `received` @returns {any} what was thrown */
export function revived(message) {
  if (!('message' in message)) return message.value;
  const { name, message: text, stack, lowrank, cause, errors } = message;
  const error = typeof lowrank === 'object' ? new LowrankError(lowrank.code, lowrank.argument, lowrank) : made(name, text, errors);
  const own = (/** @type {string} */ key, /** @type {unknown} */ value) => Object.defineProperty(error, key, { value, writable: true, configurable: true });
  own('message', text);
  if (error.name !== name) own('name', name);
  if (stack) own('stack', stack);
  if (cause) own('cause', revived(cause));
  return error;
}

/** @param {string} name @param {string} text @param {any[]} [errors] @returns {Error} */
function made(name, text, errors) {
  if (errors) return new AggregateError(errors.map(revived), text);
  const Native = Object.hasOwn(NATIVE, name) && name !== 'AggregateError' ? NATIVE[/** @type {'TypeError'} */ (name)] : Error;
  return new Native(text);
}
