// Calls from a page to a worker and back, with progress, stopping, and errors as they were thrown. Nothing is shared, so no page has
// to be cross-origin isolated. Every message names its connection, so several connections and other messages share one port.
import { LowrankError, onlyKnown, shown, string } from './error.js';
import { isPooled, memoryOf, packed } from './packed.js';
import { tagged } from './realm.js';
import { received, revived } from './thrown.js';

export { LowrankError } from './error.js';

/**
 * A worker, a port of one, or the worker's own global scope.
 * @typedef {object} Port
 * @property {(message: any, transfer: any[]) => void} postMessage
 * @property {(type: any, listener: (event: any) => void) => void} [addEventListener]
 * @property {(type: any, listener: (event: any) => void) => void} [removeEventListener]
 * @property {(type: any, listener: (message: any) => void) => any} [on] in Node
 * @property {(type: any, listener: (message: any) => void) => any} [off] in Node
 * @property {() => void} [start] of a MessagePort
 */

/**
 * What a handler gets beside its input.
 * @typedef {object} Context
 * @property {AbortSignal} signal aborted when the caller wants no more
 * @property {(value?: unknown) => void} progress sends something on the way
 * @property {() => Promise<void>} pause lets messages in: without it, `signal` cannot change
 */

/** @typedef {(input: any, context: Context) => unknown} Handler */
/** @typedef {Record<string, Handler>} Handlers */

/**
 * @typedef {object} CallOptions
 * @property {((value: any) => void) | undefined} [progress] is called with what the handler reports
 * @property {AbortSignal | undefined} [signal] aborting it tells the handler to stop; the call ends as the handler does. One that is
 *   aborted before the call rejects it
 * @property {readonly any[] | undefined} [transfer] buffers, or arrays with their buffers, that move to the worker and are empty
 *   afterwards
 */

/**
 * What of handlers can be called: the functions, whether H is an interface, a class or the type of an object.
 * @template {object} H
 * @typedef {{ [N in keyof H & string]: H[N] extends Handler ? N : never }[keyof H & string]} Names
 */

/**
 * @template {object} H
 * @typedef {object} Connection
 * @property {<N extends Names<H>>(name: N, ...rest: Rest<H[N]>) => Promise<Result<H[N]>>} call calls a handler.
 *   The input is copied, and of an array that is a part of something larger only the part: what is not in `transfer` is whole
 *   afterwards
 * @property {() => void} close ends the connection: what is pending is stopped and rejected with `Ended`. The worker goes on
 * @property {() => void} terminate ends the connection and the worker
 */

/**
 * The arguments of a call behind its name; the input may be left out where the handler takes none.
 * @template F
 * @typedef {F extends (...args: any[]) => unknown ? undefined extends Parameters<F>[0]
 *   ? [input?: Parameters<F>[0], options?: CallOptions] : [input: Parameters<F>[0], options?: CallOptions] : never} Rest
 */

/**
 * What a call comes to.
 * @template F
 * @typedef {F extends (...args: any[]) => infer R ? Awaited<R> : never} Result
 */

/** @typedef {{ [type: string]: (event: any) => void }} Listeners */

/** @param {Port} port @param {Listeners} listeners @returns {() => void} takes them away again */
function listen(port, listeners) {
  if (typeof port?.postMessage !== 'function' || !(port.addEventListener ?? port.on)) {
    const expected = 'a worker or a port (in a worker of Node serve(handlers, parentPort), with parentPort of node:worker_threads)';
    throw new LowrankError('Type', 'port', { expected, got: shown(port) });
  }
  const [on, off] = port.addEventListener ? [port.addEventListener, port.removeEventListener] : [port.on, port.off];
  const { message, ...rest } = listeners;
  // Node's emitters hand over what was sent, without an event around it.
  const all = Object.entries({ ...rest, message: port.addEventListener ? (/** @type {any} */ { data }) => message(data) : message });
  for (const [type, listener] of all) on?.call(port, type, listener);
  // A MessagePort holds its messages back until it is started.
  port.start?.();
  return () => {
    for (const [type, listener] of all) off?.call(port, type, listener);
  };
}

/** What moves where this is named. @param {any} each */
function bufferOf(each) {
  const buffer = ArrayBuffer.isView(each) ? memoryOf('transfer', each).buffer : each;
  if (tagged(buffer, 'SharedArrayBuffer')) throw new LowrankError('Type', 'transfer', { text: 'shared memory cannot move: it is copied' });
  return buffer;
}

/** Whether Node says that a port was closed before anyone listened: such a port keeps nothing alive. @param {any} port */
function isClosed(port) {
  const { process, MessagePort } = /** @type {any} */ (globalThis);
  // Other runtimes that have these methods may answer something else.
  const known = process?.release?.name === 'node' && !('Deno' in globalThis || 'Bun' in globalThis);
  if (!known || !(port instanceof MessagePort) || typeof (/** @type {any} */ (port).hasRef) !== 'function') return false;
  const { hasRef, ref, unref } = /** @type {any} */ (port);
  if (hasRef.call(port)) return false;
  ref.call(port);
  const closed = !hasRef.call(port);
  unref.call(port);
  return closed;
}

/**
 * @param {Port} port
 * @param {any} message
 * @param {string} argument what is in it, for errors
 * @param {readonly any[]} [transfer]
 */
function send(port, message, argument, transfer = []) {
  try {
    const moved = new Set(transfer.filter((each) => !isPooled(each)).map(bufferOf));
    const { value, copies } = packed(message, moved, argument);
    port.postMessage(value, [...moved, ...copies]);
  } catch (cause) {
    if (cause instanceof LowrankError) throw cause;
    throw new LowrankError('Type', argument, { text: `this cannot be sent: ${/** @type {any} */ (cause)?.message}`, cause });
  }
}

/** Resolves when the messages that are there have been looked at, without the 4 ms that browsers put before a timer. */
function pauses() {
  /** @type {(() => void)[]} */
  const waiting = [];
  const next = () => waiting.shift()?.();
  const immediate = /** @type {any} */ (globalThis).setImmediate;
  // In Node a channel to oneself would be served many times before another port is.
  if (immediate) return () => new Promise((/** @type {(value: void) => void} */ done) => immediate(done));
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = next;
  return () => new Promise((/** @type {(value: void) => void} */ done) => {
    waiting.push(done);
    port2.postMessage(0);
  });
}

/** Names of an object and of its classes, without what every object and every class has. @param {object} handlers */
function namesOf(handlers) {
  const names = Object.getOwnPropertyNames(handlers);
  for (let at = Object.getPrototypeOf(handlers); at && Object.getPrototypeOf(at); at = Object.getPrototypeOf(at)) {
    names.push(...Object.getOwnPropertyNames(at).filter((name) => name !== 'constructor'));
  }
  return names;
}

/** @type {WeakSet<object>} */
const served = new WeakSet();

/**
 * In the worker: answers calls. What a handler returns or reports is copied, and stays whole here.
 * @template {object} H
 * @param {Handlers | (H & { [N in keyof H]: Handler })} handlers by name; they may be the methods of a class
 * @param {Port} [port] default: the worker's global scope; in Node parentPort
 */
export function serve(handlers, port = /** @type {any} */ (globalThis)) {
  if (typeof handlers !== 'object' || handlers === null) {
    throw new LowrankError('Type', 'handlers', { expected: 'an object of functions', got: shown(handlers) });
  }
  if (served.has(port)) throw new LowrankError('Unexpected', 'port', { text: 'it is served already' });
  /** Of each call that runs. @type {Map<string, AbortController>} */
  const running = new Map();
  const pause = pauses();
  /** @param {any} message */
  async function answer({ lowrank, id, name, input }) {
    const controller = new AbortController();
    const key = `${lowrank} ${id}`;
    running.set(key, controller);
    const progress = (/** @type {unknown} */ value) => send(port, { lowrank, id, kind: 'progress', value }, 'progress');
    try {
      const all = /** @type {Handlers} */ (handlers);
      const names = namesOf(all);
      if (!names.includes(name) || typeof all[name] !== 'function') {
        const functions = names.filter((each) => typeof all[each] === 'function');
        throw new LowrankError('Unknown', 'name', { expected: functions.join(', '), got: shown(name) });
      }
      const value = await all[name](input, { signal: controller.signal, pause, progress });
      send(port, { lowrank, id, kind: 'result', value }, 'result');
    } catch (error) {
      send(port, { lowrank, id, kind: 'error', value: received(error) }, 'error');
    } finally {
      running.delete(key);
    }
  }
  listen(port, {
    message(message) {
      if (typeof message?.lowrank !== 'string') return;
      if (message.kind === 'call') answer(message);
      if (message.kind === 'stop') running.get(`${message.lowrank} ${message.id}`)?.abort();
    },
    // Which call that was is not to be known.
    messageerror: () => send(port, { lowrank: '', kind: 'lost' }, 'message'),
    close() {
      for (const controller of running.values()) controller.abort();
    },
  });
  served.add(port);
}

/** @typedef {() => LowrankError} Why */

let connections = 0;

/**
 * On the page: a way to call the handlers of a worker. Connect right after the worker was made: a worker that could not be loaded says
 * so once.
 * @template {object} [H=Handlers] the handlers: an interface, a class, or the type of what is served
 * @param {Port} worker
 * @returns {Connection<H>}
 */
export function connect(worker) {
  // A worker may have connections from several pages, or copies of this file.
  const lowrank = `${++connections} ${Math.random()}`;
  /** @type {Map<number, (kind: string, value: any) => void>} */
  const waiting = new Map();
  let [last, answered] = [0, false];
  /** Why there are no more calls. Each of them makes an error of its own, which has the lines of its caller. @type {Why | undefined} */
  let ended;

  const rejectAll = (/** @type {Why} */ why) => {
    for (const settle of [...waiting.values()]) settle('failed', why);
  };
  /** @type {(text: string, cause: unknown) => Why} */
  const failed = (text, cause) => () => new LowrankError('Ended', 'worker', { text, ...cause !== undefined && { cause } });
  const end = (/** @type {string} */ text, /** @type {unknown} */ cause) => {
    ended ??= failed(text, cause);
    rejectAll(ended);
  };
  const unlisten = listen(worker, {
    message(message) {
      if (message?.lowrank === '' && message.kind === 'lost') rejectAll(lost);
      if (message?.lowrank !== lowrank) return;
      answered = true;
      waiting.get(message.id)?.(message.kind, message.value);
    },
    messageerror: () => rejectAll(lost),
    error(event) {
      const cause = event instanceof Error ? event : event?.error ?? undefined;
      const text = `it has failed: ${event?.message || 'it could not be loaded'}`;
      // A browser's worker goes on after an error; one that has never answered was not loaded. Node's has ended.
      if (worker.addEventListener && answered) rejectAll(failed(text, cause));
      else end(text, cause);
    },
    exit: (code) => end(`it has exited with code ${code}`, undefined),
    close: () => end('its port is closed', undefined),
  });
  if (/** @type {any} */ (worker).threadId === -1) end('it has exited', undefined);
  if (isClosed(worker)) end('its port is closed', undefined);

  const close = () => {
    end('the connection is closed', undefined);
    unlisten();
  };
  return /** @type {Connection<any>} */ ({
    async call(/** @type {string} */ name, /** @type {any[]} */ ...[input, options = {}]) {
      string('name', name);
      const { progress, signal, transfer } = checked(options);
      if (signal?.aborted) throw signal.reason;
      if (ended) throw ended();
      const id = ++last;
      /** @type {Why | undefined} */
      let why;
      const stop = () => worker.postMessage({ lowrank, id, kind: 'stop' }, []);
      try {
        return await new Promise((resolve, reject) => {
          waiting.set(id, (kind, value) => {
            try {
              if (kind === 'progress') return progress?.(value);
            } catch (error) {
              stop();
              return reject(error);
            }
            if (kind === 'result') return resolve(value);
            if (kind === 'failed') {
              why = value;
              stop();
            }
            reject(kind === 'error' ? revived(value) : undefined);
          });
          send(worker, { lowrank, id, kind: 'call', name, input }, 'input', transfer);
          signal?.addEventListener('abort', stop);
        });
      } catch (error) {
        // Behind the await, where the stack has those that wait for this call.
        throw why ? why() : error;
      } finally {
        waiting.delete(id);
        signal?.removeEventListener('abort', stop);
      }
    },
    close,
    terminate() {
      close();
      const { terminate, close: closePort } = /** @type {any} */ (worker);
      (terminate ?? closePort)?.call(worker);
    },
  });
}

const lost = () => new LowrankError('Type', 'message', { text: 'a message could not be read on the other side' });

/** @param {CallOptions} options */
function checked(options) {
  onlyKnown('options', options, ['progress', 'signal', 'transfer']);
  const { progress, signal, transfer } = options;
  const refuse = (/** @type {string} */ name, /** @type {string} */ expected, /** @type {unknown} */ got) => {
    throw new LowrankError('Type', name, { expected, got: shown(got) });
  };
  if (progress !== undefined && typeof progress !== 'function') refuse('progress', 'a function', progress);
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') refuse('signal', 'an AbortSignal', signal);
  if (transfer !== undefined && !Array.isArray(transfer)) refuse('transfer', 'an array', transfer);
  return options;
}
