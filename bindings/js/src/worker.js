// Calls from a page to a worker and back, with progress, stopping, errors as LowrankError, and buffers that move instead of being
// copied. Nothing is shared, so no page has to be cross-origin isolated.
import { LowrankError } from './error.js';
import { arrayKind } from './realm.js';

export { LowrankError } from './error.js';

/**
 * A worker, a port of one, or the worker's own global scope.
 * @typedef {object} Port
 * @property {(message: any, transfer: any[]) => void} postMessage
 * @property {(type: 'message', listener: (event: any) => void) => void} [addEventListener]
 * @property {(type: any, listener: (message: any) => void) => any} [on] in Node
 */

/**
 * What a handler gets beside its input.
 * @typedef {object} Context
 * @property {AbortSignal} signal aborted when the caller wants no more
 * @property {(value: unknown) => void} progress sends something on the way
 * @property {() => Promise<void>} pause lets messages in: without it, `signal` cannot change
 */

/** @param {Port} port @param {(message: any) => void} listener @param {(error: any) => void} [failed] */
function listen(port, listener, failed) {
  if (port.addEventListener) port.addEventListener('message', (event) => listener(event.data));
  else port.on?.('message', listener);
  if (!failed) return;
  const on = /** @type {any} */ (port);
  for (const name of ['error', 'messageerror']) (on.addEventListener ?? on.on).call(port, name, failed);
}

/**
 * A value whose arrays can be moved: those that are a part of something larger, such as the memory of a module, are copied first.
 * @param {any} value
 * @param {Set<ArrayBuffer>} transfer
 * @returns {any}
 */
function movable(value, transfer) {
  if (arrayKind(value)) {
    const array = /** @type {any} */ (value);
    const whole = array.byteLength === array.buffer.byteLength ? array : array.slice();
    if (whole.byteLength > 0) transfer.add(whole.buffer);
    return whole;
  }
  if (Array.isArray(value)) return value.map((each) => movable(each, transfer));
  if (value && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, movable(each, transfer)]));
  }
  return value;
}

/** @param {Port} port @param {any} message */
function send(port, message) {
  /** @type {Set<ArrayBuffer>} */
  const transfer = new Set();
  const value = movable(message, transfer);
  port.postMessage(value, [...transfer]);
}

/**
 * In the worker: answers calls. Arrays that a handler returns or reports are moved; those of a module's memory are copied before.
 * @param {Record<string, (input: any, context: Context) => unknown>} handlers by name
 * @param {Port} [port] default: the worker's global scope; in Node parentPort
 */
export function serve(handlers, port = /** @type {any} */ (globalThis)) {
  /** @type {Map<number, AbortController>} */
  const running = new Map();
  const pause = () => new Promise((/** @type {(value?: any) => void} */ done) => setTimeout(done, 0));
  listen(port, async ({ id, name, input, stop }) => {
    if (stop) return running.get(id)?.abort();
    const controller = new AbortController();
    running.set(id, controller);
    const context = { signal: controller.signal, pause, progress: (/** @type {unknown} */ value) => send(port, { id, progress: value }) };
    try {
      if (!Object.hasOwn(handlers, name)) {
        throw new LowrankError('Unknown', 'name', { expected: Object.keys(handlers).join(', '), got: String(name) });
      }
      send(port, { id, result: await handlers[name](input, context) });
    } catch (error) {
      const { message, code, argument, expected, got } = /** @type {any} */ (error ?? {});
      send(port, { id, error: { message: message ?? String(error), code, argument, expected, got } });
    }
    running.delete(id);
  });
}

/**
 * On the page: a way to call the handlers of a worker.
 * @param {Port} worker
 */
export function connect(worker) {
  let last = 0;
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: unknown) => void, progress?: (value: any) => void }>} */
  const waiting = new Map();
  listen(worker, ({ id, progress, result, error }) => {
    const call = waiting.get(id);
    if (!call) return;
    if (progress !== undefined) return call.progress?.(progress);
    waiting.delete(id);
    if (error) call.reject(revived(error));
    else call.resolve(result);
  }, (failure) => {
    const error = new Error(failure?.message ?? 'the worker has failed');
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  });
  return {
    /**
     * Calls a handler. Arrays of the input that have a buffer of their own move to the worker and are empty here afterwards.
     * @param {string} name
     * @param {unknown} [input]
     * @param {{ progress?: (value: any) => void, signal?: AbortSignal }} [options]
     * @returns {Promise<any>}
     */
    call(name, input, { progress, signal } = {}) {
      const id = ++last;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject, progress });
        send(worker, { id, name, input });
        const stop = () => worker.postMessage({ id, stop: true }, []);
        if (signal?.aborted) stop();
        else signal?.addEventListener('abort', stop, { once: true });
      });
    },
  };
}

/** @param {any} error */
function revived({ message, code, argument, expected, got }) {
  const error = code ? new LowrankError(code, argument, { expected, got }) : new Error(message);
  error.message = message;
  return error;
}
