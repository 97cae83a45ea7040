// What was thrown in a worker, as a message, and again.
import { LowrankError, shown } from './error.js';
import { packed } from './packed.js';

const NATIVE = { AggregateError, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
/** Causes of causes that are sent. */
const DEPTH = 8;

/** @param {unknown} value */
const isError = (value) => value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';

/** Fields that an error has in any case. */
const USUAL = ['name', 'message', 'stack', 'cause'];

/** Instead of what throws where it is looked at. */
const UNREADABLE = { name: 'Error', message: 'an error was thrown whose own properties throw' };

/**
 * @param {unknown} thrown
 * @returns {any} what can be sent
 */
export function received(thrown, depth = 0) {
  try {
    return isError(thrown) ? described(thrown, depth) : { value: sendable(() => thrown, shown) };
  } catch {
    return UNREADABLE;
  }
}

/** @param {any} error @param {number} depth */
function described(error, depth) {
  const { name, message, stack, cause, errors } = error;
  // An AggregateError says no more of them where it lists its properties.
  const several = Array.isArray(errors) && !Object.prototype.propertyIsEnumerable.call(error, 'errors');
  const fields = Object.keys(error).filter((key) => !USUAL.includes(key)).flatMap((key) => {
    const value = sendable(() => error[key], () => OMITTED);
    return value === OMITTED ? [] : [[key, value]];
  });
  return {
    name: String(name), message: String(message), stack: typeof stack === 'string' ? stack : undefined, fields: Object.fromEntries(fields),
    ...cause !== undefined && depth < DEPTH && { cause: received(cause, depth + 1) },
    ...several && depth < DEPTH && { errors: Array.from(errors, (each) => received(each, depth + 1)) },
  };
}

/** What cannot be sent is left out of an error. */
const OMITTED = Symbol('omitted');

/**
 * A copy of a value, which can be sent whatever its getters and proxies do; what cannot be sent is replaced.
 * @param {() => unknown} get
 * @param {(value: unknown) => unknown} otherwise
 */
function sendable(get, otherwise) {
  let value;
  try {
    value = get();
    return structuredClone(packed(value).value);
  } catch {
    return otherwise(value);
  }
}

/** @param {any} message of `received` @returns {any} what was thrown */
export function revived(message) {
  try {
    return again(message);
  } catch {
    return again(UNREADABLE);
  }
}

/** @param {any} message @returns {any} */
function again(message) {
  if (!('message' in message)) return message.value;
  const { name, message: text, stack, fields, cause, errors } = message;
  const { code, argument } = fields ?? {};
  const isOwn = name === 'LowrankError' && typeof code === 'string' && typeof argument === 'string';
  const error = isOwn ? new LowrankError(/** @type {import('./error.js').Code} */ (code), argument, fields) : made(name, text, errors);
  const own = (/** @type {string} */ key, /** @type {unknown} */ value, enumerable = false) =>
    Object.defineProperty(error, key, { value, writable: true, enumerable, configurable: true });
  for (const [key, value] of Object.entries(fields ?? {})) own(key, value, true);
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
