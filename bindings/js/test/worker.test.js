import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { BlockList } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel, Worker } from 'node:worker_threads';
import { LowrankError, create } from 'lowrank';
import { parse } from 'lowrank/files';
import { connect, serve } from 'lowrank/worker';
import { Rng, refused, rejected } from './support.js';

const PACKAGE = new URL('../dist/worker.js', import.meta.url);
const SOURCE = `
import { parentPort } from 'node:worker_threads';
import { LowrankError, serve } from '${PACKAGE}';
import { handlers } from '${new URL('../examples/worker.js', import.meta.url)}';
let alive = 0;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
serve({
  ...handlers,
  async forever(_, { signal, pause, progress }) {
    let rounds = 0;
    alive++;
    while (!signal.aborted) { progress(++rounds); await pause(); }
    alive--;
    return rounds;
  },
  alive: () => alive,
  room: ({ buffer }) => buffer.byteLength,
  part: () => new Float32Array(new ArrayBuffer(1 << 20), 16, 4).fill(3),
  echo: (input) => input,
  slow: async (input) => { await sleep(50); return 'slow ' + input; },
  report(values, { progress }) { for (const value of values) progress(value); progress(); return 'done'; },
  late(_, { progress }) { setTimeout(() => progress('late'), 5); return 'early'; },
  fails(what) {
    const cause = new TypeError('cause', { cause: new LowrankError('Length', 'x', { expected: 4, got: 5 }) });
    throw {
      range: new RangeError('out of luck', { cause }), lowrank: new LowrankError('Range', 'rate', { expected: '0 to 1', got: 2, cause }),
      text: 'text', nothing: undefined, number: 5, object: { code: 'Length', message: 'no error' }, function: () => 1,
      all: new AggregateError([new RangeError('one'), 'two'], 'several'), abort: new DOMException('stop', 'AbortError'),
      named: Object.assign(new Error('named'), { name: 'Own', code: 'EOWN' }), circle: Object.assign(new Error('circle'), {}),
      fields: Object.assign(Object.defineProperty(new Error('fields'), 'thrower', { enumerable: true, get() { throw new Error('no'); } }), {
        code: 'E1', errno: -2, extra: { deep: [1, new Date(5)] }, numbers: new Float32Array(new ArrayBuffer(64), 8, 2).fill(3), nothing: undefined,
        act: () => 1, nested: { act() {} }, symbol: Symbol('x'), errors: [{ path: 'a' }],
        proxy: new Proxy({}, { ownKeys() { throw new Error('no'); } }), [Symbol('key')]: 1,
      }),
      more: Object.assign(new LowrankError('Range', 'rate', { expected: 1, got: 2 }), { hint: 'less', retry: false }),
      hostile: Object.defineProperty(new Error('hostile'), 'message', { get() { throw new Error('no'); } }),
      fake: Object.assign(new Error('fake'), { name: 'LowrankError', code: () => 1 }),
    }[what];
  },
  circular() { const error = new Error('around'); error.cause = error; throw error; },
  async aborts(_, { signal, pause }) { for (;;) { signal.throwIfAborted(); await pause(); } },
  uncloneable: () => () => 1,
  symbol: () => ({ deep: [Symbol('no')] }),
  badReport(_, { progress }) { progress(() => 1); },
  shares: () => new SharedArrayBuffer(4),
  gone() { const array = new Float32Array(4); structuredClone(array, { transfer: [array.buffer] }); return { array }; },
  exit: () => process.exit(3),
  crash() { setTimeout(() => { throw new RangeError('crashed'); }); return sleep(1e6); },
  hang: () => sleep(1e6),
  notAFunction: 5,
}, parentPort);
`;
const make = (source = SOURCE) => new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { type: 'module' });
const thread = make();
const worker = connect(thread);
after(() => thread.terminate());

const input = () => ({
  inputs: 8, outputs: 3, weights: new Rng(1).floats(24), x: new Rng(2).floats(32), labels: Uint32Array.of(0, 1, 2, 1), steps: 50,
});

/** What a promise comes to, within a second. */
const soon = (promise) => Promise.race([
  promise, new Promise((_, reject) => { setTimeout(() => reject(new Error('no answer')), 1000).unref(); }),
]);

test('trains in a worker, and reports on the way', async () => {
  const [data, seen] = [input(), []];
  const { steps, file } = await worker.call('train', data, { progress: (report) => seen.push(report) });
  assert.deepEqual(data, input());
  assert.equal(steps, 50);
  assert.deepEqual(seen.map(({ step }) => step), [0, 10, 20, 30, 40]);
  assert.ok(seen.at(-1).loss < seen[0].loss);
  assert.equal((await parse(file)).entries[0].rank, 4);
});

/** What is handed over: numbers from 1 to 4 in memory of every kind. */
const four = (Kind, ...where) => {
  const array = new Kind(...where);
  array.set([1, 2, 3, 4]);
  return array;
};
const lowrank = await create();
const vector = lowrank.array(4);
class Record {
  constructor(array) { this.array = array; }
  method() {}
}
const HANDED = {
  'its own buffer': () => four(Float32Array, 4),
  'a part of a buffer': () => four(Float32Array, new ArrayBuffer(100), 8, 4),
  "Node's pool": () => Buffer.from([1, 2, 3, 4]),
  'a large Buffer': () => Buffer.alloc(1 << 16, 7),
  'shared memory': () => four(Uint8Array, new SharedArrayBuffer(4)),
  'a part of shared memory': () => four(Uint8Array, new SharedArrayBuffer(10), 2, 4),
  'the memory of a module': () => { vector.view.set([1, 2, 3, 4]); return vector.view; },
  'a buffer that can be resized': () => four(Float32Array, new ArrayBuffer(16, { maxByteLength: 64 })),
  'a DataView of a part': () => new DataView(Uint8Array.of(9, 1, 2, 3, 4, 9).buffer, 1, 4),
  'no elements': () => new Float32Array(),
  'a part without elements': () => new Float32Array(new ArrayBuffer(8), 4, 0),
  'big integers': () => four(class extends BigInt64Array { set(from) { super.set(from.map(BigInt)); } }, 4),
};
const numbersOf = (view) => [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)];
const AROUND = {
  itself: [(it) => it, (it) => it],
  'an array': [(it) => [0, it], ([, it]) => it],
  'an object': [(it) => ({ deep: { it } }), ({ deep: { it } }) => it],
  'a map': [(it) => new Map([['key', it]]), (map) => map.get('key')],
  'a key of a map': [(it) => new Map([[it, 1]]), (map) => [...map.keys()][0]],
  'a set': [(it) => new Set([it]), (set) => [...set][0]],
  'an object of a class': [(it) => new Record(it), ({ array }) => array],
  'an object without a prototype': [(it) => Object.assign(Object.create(null), { it }), ({ it }) => it],
};

for (const [memory, make] of Object.entries(HANDED)) {
  test(`what is handed over in ${memory} is whole afterwards`, async () => {
    for (const [around, [put, get]] of Object.entries(AROUND)) {
      const array = make();
      const before = numbersOf(array);
      const [value, buffer] = [put(array), array.buffer];
      for (let time = 0; time < 2; time++) {
        const pending = worker.call('echo', value);
        assert.deepEqual(numbersOf(array), before, `${around}, at once`);
        const got = get(await pending);
        assert.deepEqual(numbersOf(got), before, around);
        assert.ok(got.buffer instanceof ArrayBuffer && !got.buffer.resizable, 'its memory is of another kind');
        assert.ok(got.buffer.byteLength <= Math.max(array.byteLength, 1 << 16), `${got.buffer.byteLength} bytes came`);
        assert.deepEqual([numbersOf(array), array.buffer], [before, buffer], around);
        assert.equal(get(value), array);
      }
    }
  });
}

test('nothing beside a part arrives', async () => {
  const secret = Buffer.from('secret');
  const part = Buffer.from('part');
  assert.equal(secret.buffer, part.buffer, 'there is no pool');
  assert.equal(Buffer.from((await worker.call('echo', { part })).part.buffer).toString(), 'part');
  assert.deepEqual([await worker.call('part').then((part) => [...part, part.buffer.byteLength])], [[3, 3, 3, 3, 16]]);
});

test('shared memory itself is copied, too', async () => {
  for (const [around, [put, get]] of Object.entries(AROUND)) {
    const shared = new SharedArrayBuffer(8);
    new Uint8Array(shared).set([1, 2, 3]);
    const value = put(shared);
    const pending = worker.call('echo', value);
    new Uint8Array(shared).fill(9);
    const got = get(await pending);
    assert.deepEqual([got.constructor, [...new Uint8Array(got)]], [ArrayBuffer, [1, 2, 3, 0, 0, 0, 0, 0]], around);
    assert.equal(get(value), shared);
  }
  const shared = new SharedArrayBuffer(4);
  const both = await worker.call('echo', { shared, again: [shared], view: new Uint8Array(shared) });
  assert.equal(both.shared, both.again[0]);
  for (const moved of [shared, new Uint8Array(shared)]) await rejected(worker.call('echo', shared, { transfer: [moved] }), 'Type', 'transfer');
  assert.equal((await worker.call('shares')).constructor, ArrayBuffer);
});

test("a part of Node's pool in transfer is copied, and the pool stays whole and unseen", async () => {
  const secret = Buffer.from('secret');
  const views = [(part) => part, (part) => new Uint8Array(part.buffer, part.byteOffset, part.length)];
  for (const view of views) {
    const part = view(Buffer.from('part'));
    assert.equal(part.buffer, secret.buffer, 'there is no pool');
    const got = await worker.call('echo', { part }, { transfer: [part] });
    assert.equal(Buffer.from(got.part.buffer).toString(), 'part');
    assert.deepEqual([`${secret}`, part.length], ['secret', 4]);
  }
  const whole = Buffer.from(new ArrayBuffer(16));
  assert.equal((await worker.call('echo', whole, { transfer: [whole] })).length, 16);
  assert.equal(whole.length, 0);
});

test('an array that is there twice, and circles, arrive as they are', async () => {
  const part = new Float32Array(new ArrayBuffer(64), 0, 4).fill(2);
  const value = { part, again: part, list: [part], date: new Date(5), nothing: null, undefined, big: 5n, text: 'x', sparse: [1, , 3] };
  value.self = value;
  value.map = new Map([[value, value.list]]);
  const got = await worker.call('echo', value);
  assert.equal(got.part, got.again);
  assert.equal(got.list[0], got.part);
  assert.equal(got.self, got);
  assert.equal(got.map.get(got), got.list);
  assert.deepEqual([got.date, got.nothing, got.big, got.text, 1 in got.sparse, 'undefined' in got], [new Date(5), null, 5n, 'x', false, true]);
  assert.equal(value.part, part);
  const key = JSON.parse('{"__proto__": 5}');
  assert.deepEqual(Object.entries(await worker.call('echo', { key, part }).then(({ key }) => key)), [['__proto__', 5]]);
});

test('what Node sends in ways of its own arrives, beside a part', async () => {
  const list = new BlockList();
  list.addAddress('10.0.0.1');
  const got = await worker.call('echo', { list, part: Buffer.from('part') });
  assert.deepEqual([got.list.check('10.0.0.1'), got.list.check('10.0.0.2'), `${Buffer.from(got.part)}`], [true, false, 'part']);
});

test('what is named in transfer moves, and nothing else', async () => {
  const [moved, stays, part] = [new Float32Array(4).fill(1), new Float32Array(4).fill(2), new Float32Array(new ArrayBuffer(64), 16, 4).fill(3)];
  const got = await worker.call('echo', { moved, stays, part }, { transfer: [moved, part] });
  assert.deepEqual([got.moved[0], got.stays[0], got.part[0]], [1, 2, 3]);
  assert.deepEqual([moved.length, stays.length, part.length, part.buffer.byteLength], [0, 4, 0, 0]);
  await rejected(worker.call('echo', moved), 'Detached', 'input');
  await rejected(worker.call('echo', 1, { transfer: [moved] }), 'Detached', 'transfer');
  const large = new Float32Array(new ArrayBuffer(64), 16, 4);
  assert.deepEqual([await worker.call('room', large), await worker.call('room', large, { transfer: [large.buffer] }), large.length], [16, 64, 0]);
  const raw = new ArrayBuffer(8);
  assert.equal((await worker.call('echo', raw)).byteLength + raw.byteLength, 16);
});

test('errors arrive as they were thrown', async () => {
  await rejected(worker.call('train', { ...input(), outputs: 4 }), 'Length', 'weights');
  await rejected(worker.call('trane'), 'Unknown', 'name');
  await rejected(worker.call('toString'), 'Unknown', 'name');
  await rejected(worker.call('notAFunction'), 'Unknown', 'name');
  const thrown = (what) => worker.call('fails', what).then(() => assert.fail('no error'), (error) => error);
  const range = await thrown('range');
  assert.ok(range instanceof RangeError && range.cause instanceof TypeError && range.cause.cause instanceof LowrankError);
  assert.deepEqual([range.message, range.cause.message, range.cause.cause.expected, range.cause.cause.got], ['out of luck', 'cause', 4, 5]);
  assert.match(range.stack, /fails/);
  const own = await thrown('lowrank');
  assert.deepEqual({ ...own, message: own.message }, { name: 'LowrankError', code: 'Range', argument: 'rate', expected: '0 to 1', got: 2, message: 'rate: expected 0 to 1, got 2' });
  assert.equal(own.cause.message, 'cause');
  for (const [what, value] of [['text', 'text'], ['nothing', undefined], ['number', 5], ['function', 'a function']]) assert.equal(await thrown(what), value);
  assert.deepEqual(await thrown('object'), { code: 'Length', message: 'no error' });
  const all = await thrown('all');
  assert.ok(all instanceof AggregateError && all.errors[0] instanceof RangeError);
  assert.deepEqual([all.message, all.errors[0].message, all.errors[1]], ['several', 'one', 'two']);
  for (const [what, name, message] of [['abort', 'AbortError', 'stop'], ['named', 'Own', 'named']]) {
    const error = await thrown(what);
    assert.deepEqual([error instanceof Error, error instanceof LowrankError, error.name, error.message], [true, false, name, message]);
  }
  assert.equal((await thrown('fake')).message, 'fake');
  assert.equal((await worker.call('circular').catch((error) => error)).message, 'around');
});

test('own fields of errors arrive, where they can be sent', async () => {
  const thrown = (what) => soon(worker.call('fails', what)).then(() => assert.fail('no error'), (error) => error);
  const fields = await thrown('fields');
  assert.deepEqual({ ...fields }, {
    code: 'E1', errno: -2, extra: { deep: [1, new Date(5)] }, numbers: Float32Array.of(3, 3), nothing: undefined, errors: [{ path: 'a' }],
  });
  assert.deepEqual([fields.constructor, fields.message, fields.numbers.buffer.byteLength], [Error, 'fields', 8]);
  const more = await thrown('more');
  assert.ok(more instanceof LowrankError);
  assert.deepEqual({ ...more }, { name: 'LowrankError', code: 'Range', argument: 'rate', expected: 1, got: 2, hint: 'less', retry: false });
  assert.equal((await thrown('named')).code, 'EOWN');
  assert.ok(await thrown('hostile') instanceof Error);
});

test('errors that cannot be read reject the call, too', async () => {
  const fail = () => { throw 1; };
  const wordless = Object.create(null);
  const getter = (error, name) => Object.defineProperty(error, name, { get: fail });
  const errors = {
    'a message without words': Object.assign(new Error('x'), { message: wordless }),
    'a symbol as message': Object.assign(new Error('x'), { message: Symbol('no') }),
    'a name that throws': Object.assign(new Error('x'), { name: { toString: fail } }),
    'a stack that throws': getter(new Error('x'), 'stack'),
    'a cause that throws': getter(new Error('x'), 'cause'),
    'a proxy that throws': new Proxy({}, { get() { throw 7; } }),
    'a proxy of an error': new Proxy(new Error('x'), { get() { throw 7; }, getPrototypeOf: fail }),
    'a revoked proxy': (({ proxy, revoke }) => { revoke(); return proxy; })(Proxy.revocable({}, {})),
    'an object whose class throws': getter({ call: fail }, 'constructor'),
    ...Object.fromEntries([1, 2, 3, 4].map((times) => {
      let reads = 0;
      return [`a value that can be read ${times} times`, { call: { get part() { return reads++ < times ? 1 : fail; } } }];
    })),
    'errors that become functions': Object.defineProperty(new Error('x'), 'errors', { value: Object.assign([1], { map: () => fail }) }),
    'an argument without words': Object.assign(new LowrankError('Range', 'x'), { argument: { toString: 1, valueOf: 1 } }),
    'an expectation without words': Object.assign(new LowrankError('Range', 'x'), { expected: { toString: 1, valueOf: 1 } }),
  };
  const { port1, port2 } = new MessageChannel();
  const signals = [];
  serve({ fails(what, { signal }) { signals.push(signal); throw errors[what]; } }, port1);
  const connection = connect(port2);
  for (const what of Object.keys(errors)) {
    const late = sleep(1000, 'pending', { ref: false });
    const got = await Promise.race([connection.call('fails', what).then(() => 'resolved', (error) => ({ error })), late]);
    assert.ok(got.error !== undefined, `${what}: ${got}`);
    if (got.error instanceof Error) assert.ok(typeof got.error.name === 'string' && got.error.message !== '', what);
  }
  const caused = await connection.call('fails', 'a message without words').catch((error) => error);
  assert.ok(caused instanceof Error && /own properties throw/.test(caused.message));
  errors.deep = new RangeError('around', { cause: errors['a name that throws'] });
  const around = await connection.call('fails', 'deep').catch((error) => error);
  assert.ok(around instanceof RangeError && around.message === 'around' && /own properties throw/.test(around.cause.message));
  connection.terminate();
  await once(port1, 'close');
  // Closing stops what runs; these calls have ended.
  assert.deepEqual(signals.filter(({ aborted }) => aborted), []);
});

test('what cannot be sent is refused on its side', async () => {
  await rejected(worker.call('echo', () => 1), 'Type', 'input');
  await rejected(worker.call('echo', { deep: [Symbol('no')] }), 'Type', 'input');
  await rejected(worker.call('uncloneable'), 'Type', 'result');
  await rejected(worker.call('symbol'), 'Type', 'result');
  await rejected(worker.call('badReport'), 'Type', 'progress');
  await rejected(worker.call('gone'), 'Detached', 'result');
  assert.equal(await worker.call('echo', 5), 5);
});

test('wrong use of a call is refused', async () => {
  for (const [args, code, argument] of [
    [[5], 'Type', 'name'], [[undefined], 'Type', 'name'], [['echo', 1, null], 'Type', 'options'], [['echo', 1, { signl: 1 }], 'Unknown', 'signl'],
    [['echo', 1, { signal: {} }], 'Type', 'signal'], [['echo', 1, { signal: null }], 'Type', 'signal'], [['echo', 1, { progress: 5 }], 'Type', 'progress'],
    [['echo', 1, { transfer: 5 }], 'Type', 'transfer'], [['echo', 1, { transfer: new Set() }], 'Type', 'transfer'],
  ]) await rejected(worker.call(...args), code, argument);
  for (const port of [undefined, null, {}, { postMessage() {} }]) refused(() => connect(port), 'Type', 'port');
  refused(() => serve({}), 'Type', 'port');
  for (const port of [[], [null]]) assert.throws(() => serve({}, ...port), /^LowrankError: port: .*serve\(handlers, parentPort\)/);
  refused(() => serve(null, new MessageChannel().port1), 'Type', 'handlers');
});

test('every report arrives, whatever it is, and none ends the call', async () => {
  const values = [undefined, null, 0, false, '', { result: 1, error: 2, kind: 'result' }, [1]];
  const seen = [];
  assert.equal(await worker.call('report', values, { progress: (value) => seen.push(value) }), 'done');
  assert.deepEqual(seen, [...values, undefined]);
  assert.equal(await worker.call('report', values), 'done');
  let late = 0;
  assert.equal(await worker.call('late', undefined, { progress: () => { late++; } }), 'early');
  await worker.call('slow', 1);
  assert.equal(late, 0, 'a report after the end was heard');
  const progress = () => { throw new RangeError('mine'); };
  await assert.rejects(worker.call('forever', undefined, { progress }), RangeError);
});

test('a call stops when it is told to, and leaves no listener', async () => {
  const controller = new AbortController();
  let last = 0;
  const progress = (rounds) => {
    last = rounds;
    if (rounds === 5) controller.abort();
  };
  const { signal } = controller;
  for (let i = 0; i < 20; i++) await worker.call('echo', 1, { signal });
  await assert.rejects(worker.call('fails', 'range', { signal }));
  await rejected(worker.call('echo', () => 1, { signal }), 'Type', 'input');
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  const rounds = await worker.call('forever', undefined, { progress, signal });
  assert.ok(rounds >= 5 && last === rounds, `${rounds} rounds`);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  const other = new AbortController();
  const aborted = worker.call('aborts', undefined, { signal: other.signal });
  other.abort();
  await assert.rejects(aborted, { name: 'AbortError' });
});

test('a signal that is aborted before', async () => {
  await assert.rejects(worker.call('exit', undefined, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  await assert.rejects(worker.call('exit', undefined, { signal: AbortSignal.abort('mine') }), (reason) => reason === 'mine');
  assert.equal(await worker.call('echo', 1), 1);
});

test('connections and messages of others do not meet', async () => {
  const others = Array.from({ length: 3 }, () => connect(thread));
  const all = await Promise.all(others.flatMap((each, i) => [each.call('slow', i), each.call('echo', i)]));
  assert.deepEqual(all, ['slow 0', 0, 'slow 1', 1, 'slow 2', 2]);
  const pending = others[0].call('slow', 1);
  const strays = [undefined, null, 5, 'text', {}, { id: 1, result: 'wrong' }, { lowrank: 5, id: 1, kind: 'result' }, { lowrank: 'x', id: 1, kind: 'result' }];
  for (const stray of strays) {
    thread.postMessage(stray);
    thread.emit('message', stray);
  }
  assert.equal(await pending, 'slow 1');
  for (const each of others) each.close();
  assert.equal(await worker.call('echo', 2), 2);
});

test('a closed connection rejects what is pending and what comes, and stops the handlers', async () => {
  const own = connect(thread);
  const before = thread.listenerCount('message');
  const [pending, rounds] = [own.call('hang'), []];
  const running = own.call('forever', undefined, { progress: (n) => rounds.push(n) });
  while (rounds.length < 3) await new Promise((done) => setTimeout(done, 1));
  own.close();
  own.close();
  for (const call of [pending, running, own.call('echo', 1)]) await rejected(call, 'Ended', 'worker');
  assert.equal(thread.listenerCount('message'), before - 1);
  const count = rounds.length;
  await worker.call('slow', 1);
  assert.deepEqual([rounds.length, await worker.call('alive')], [count, 0]);
});

test('a worker that ends rejects its calls, those that are pending and those that come', async () => {
  const ends = {
    'exits by itself': [(it) => it.call('exit'), /exited with code 3/],
    crashes: [(it) => it.call('crash'), /crashed/],
    'is terminated': [(it, thread) => (setTimeout(() => thread.terminate(), 20), it.call('hang')), /exited with code [01]/],
    'is terminated by the connection': [(it) => (setTimeout(() => it.terminate(), 20), it.call('hang')), /closed/],
  };
  for (const [how, [act, message]] of Object.entries(ends)) {
    const thread = make();
    const own = connect(thread);
    const [hanging, acting] = [own.call('hang'), act(own, thread)];
    for (const call of [hanging, acting]) {
      await assert.rejects(soon(call), (error) => error instanceof LowrankError && error.code === 'Ended' && message.test(error.message), how);
    }
    await rejected(soon(own.call('echo', 1)), 'Ended', 'worker');
    if (thread.threadId !== -1) await once(thread, 'exit');
    await rejected(soon(connect(thread).call('echo', 1)), 'Ended', 'worker');
    if (how === 'crashes') assert.ok((await own.call('echo').catch(({ cause }) => cause)) instanceof RangeError);
  }
});

test('an error without a line of its own has that of the call', async () => {
  async function lineOfTheCaller(own) {
    await own.call('hang');
  }
  for (const end of [(own) => own.terminate(), (_, thread) => thread.terminate(), (_, thread) => thread.emit('messageerror', new Error('x'))]) {
    const thread = make();
    const own = connect(thread);
    const pending = [lineOfTheCaller(own), lineOfTheCaller(own)];
    setTimeout(() => end(own, thread));
    const errors = await Promise.all(pending.map((each) => soon(each).catch((error) => error)));
    assert.notEqual(errors[0], errors[1]);
    own.close();
    errors.push(await lineOfTheCaller(own).catch((error) => error));
    for (const error of errors) assert.match(error.stack, /lineOfTheCaller.*worker\.test\.js/);
    await thread.terminate();
  }
});

test('handlers may be methods of a class, and nothing else of it is served', async () => {
  class Base { inherited() { return this.count(); } }
  class Served extends Base {
    #count = 0;
    own = (x) => x;
    count() { return ++this.#count; }
  }
  const { port1, port2 } = new MessageChannel();
  serve(new Served(), port1);
  const own = connect(port2);
  assert.deepEqual([await own.call('count'), await own.call('inherited'), await own.call('own', 7)], [1, 2, 7]);
  for (const name of ['constructor', 'toString', 'hasOwnProperty', '__proto__', '__defineGetter__', 'no']) await rejected(own.call(name), 'Unknown', 'name');
  await assert.rejects(own.call('no'), /expected own, count, inherited/);
  own.terminate();
});

test('a worker that could not be loaded, or serves nothing, rejects', async () => {
  for (const source of ['import "./nowhere.js";', 'syntax error', 'throw new Error("at the top");', '']) {
    const own = connect(make(source));
    await assert.rejects(soon(own.call('echo', 1)), ({ code }) => code === 'Ended', source);
  }
});

test('ports are started, serve both sides, and end with the other one', async () => {
  const { port1, port2 } = new MessageChannel();
  let stopped, ended;
  serve({ double: (x, { signal }) => { ended = signal; return 2 * x; }, hang: (_, { signal }) => new Promise(() => { signal.onabort = () => { stopped = true; }; }) }, port1);
  refused(() => serve({}, port1), 'Unexpected', 'port');
  const own = connect(port2);
  assert.equal(await own.call('double', 4), 8);
  const pending = own.call('hang');
  await own.call('double', 1);
  port1.close();
  await rejected(soon(pending), 'Ended', 'worker');
  assert.ok(stopped || await new Promise((done) => setTimeout(() => done(stopped), 50)), 'the handler goes on');
  assert.ok(!ended.aborted, 'a handler that has ended is told to stop');
});

/** A port as browsers have it: it holds its messages back until it is started, and clones what is sent. */
class BrowserPort extends EventTarget {
  #queue = [];
  other;
  postMessage(message, transfer) {
    const { other } = this;
    if (!Array.isArray(transfer)) throw new TypeError('no list');
    other.#queue.push(structuredClone(message, { transfer }));
    other.#deliver();
  }
  start() {
    this.started = true;
    this.#deliver();
  }
  #deliver() {
    while (this.started && this.#queue.length) {
      const data = this.#queue.shift();
      setTimeout(() => this.dispatchEvent(Object.assign(new Event('message'), { data })));
    }
  }
  fail(message, type = 'error') { this.dispatchEvent(Object.assign(new Event(type), { message })); }
}

function browser(handlers) {
  const [page, scope] = [new BrowserPort(), new BrowserPort()];
  [page.other, scope.other] = [scope, page];
  if (handlers) serve(handlers, scope);
  return { page, scope };
}

test("a browser's ports and events", async () => {
  const { page, scope } = browser({ echo: (x) => x, hang: () => new Promise(() => {}) });
  const own = connect(page);
  assert.equal(await own.call('echo', 3), 3);
  // An error that no handler catches: what is pending may never end, and the worker goes on.
  const pending = own.call('hang');
  page.fail('oops');
  await assert.rejects(soon(pending), { code: 'Ended', message: /oops/ });
  assert.equal(await own.call('echo', 4), 4);
  for (const port of [page, scope]) {
    const lost = own.call('hang');
    await own.call('echo', 5);
    port.fail('', 'messageerror');
    await rejected(soon(lost), 'Type', 'message');
  }
  // A script that could not be loaded says so once, with an event without words.
  const dead = browser();
  const none = connect(dead.page);
  const first = none.call('echo', 1);
  dead.page.fail(undefined);
  await assert.rejects(soon(first), { code: 'Ended', message: /could not be loaded/ });
  await rejected(soon(none.call('echo', 1)), 'Ended', 'worker');
});

test('pause lets messages in, and costs no timer', async () => {
  const source = `
    import { parentPort } from 'node:worker_threads';
    import { serve } from '${PACKAGE}';
    globalThis.setTimeout = () => { throw new Error('a timer'); };
    serve({ async many(n, { pause, signal }) { let i = 0; while (i < n && !signal.aborted) { await pause(); i++; } return i; } }, parentPort);
  `;
  for (const text of [source, `delete globalThis.setImmediate; ${source}`]) {
    const thread = make(text);
    const own = connect(thread);
    const begun = performance.now();
    assert.equal(await own.call('many', 1000), 1000);
    assert.ok(performance.now() - begun < 2000);
    const controller = new AbortController();
    const endless = own.call('many', Infinity, { signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    assert.ok(await soon(endless) > 0);
    await thread.terminate();
  }
});

test('what is served and has ended keeps no process alive', () => {
  const script = `
    import { MessageChannel } from 'node:worker_threads';
    import { connect, serve } from '${PACKAGE}';
    const { port1, port2 } = new MessageChannel();
    serve({ async many(n, { pause }) { for (let i = 0; i < n; i++) await pause(); return n; } }, port1);
    const own = connect(port2);
    console.log(await own.call('many', 10));
    own.terminate();
  `;
  const text = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 20_000 });
  assert.equal(text, '10\n');
});

test('a port whose other end was closed before rejects, and one that was let go does not', async () => {
  const late = () => sleep(1000, 'pending', { ref: false });
  for (const end of ['port1', 'port2']) {
    const channel = new MessageChannel();
    channel[end].close();
    await sleep(20);
    await rejected(Promise.race([connect(channel.port2).call('echo', 1), late()]), 'Ended', 'worker');
  }
  const { port1, port2 } = new MessageChannel();
  serve({ echo: (input) => input }, port1);
  port2.on('message', () => {});
  port2.unref();
  const connection = connect(port2);
  assert.equal(port2.hasRef(), false);
  assert.equal(await Promise.race([connection.call('echo', 1), sleep(1000, 'pending')]), 1);
  connection.terminate();
});
