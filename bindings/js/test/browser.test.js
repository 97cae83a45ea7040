// In Chromium: what Node has otherwise, or not at all.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { test } from 'node:test';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ARGUMENTS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'];
const TYPES = { '.js': 'text/javascript', '.wasm': 'application/wasm' };

const WORKER = `
import { serve } from './dist/worker.js';
const handlers = {
  echo: (input) => input,
  async many(n, { pause, signal }) { let i = 0; while (i < n && !signal.aborted) { await pause(); i++; } return i; },
  hang: () => new Promise(() => {}),
  oops() { setTimeout(() => { throw new RangeError('oops'); }); return new Promise(() => {}); },
  uncloneable: () => () => 1,
  port(port) { serve(handlers, port); },
};
serve(handlers);
`;

/** Runs in the page: each check by its name. */
const CHECKS = `
import { LowrankError, create } from './dist/index.js';
import { parse, saveAll } from './dist/files.js';
import { connect } from './dist/worker.js';

const make = (file = './worker.js') => new Worker(file, { type: 'module' });
const code = (promise) => promise.then((value) => ['resolved', value], (error) => [error instanceof LowrankError && error.code, error.message]);

const checks = {
  async views() {
    const lowrank = await create({ simd: true });
    const layer = lowrank.layer({ inputs: 2, outputs: 2, rank: 1, tokens: 1, weights: Float32Array.of(1, 0, 0, 1) });
    const { x } = layer;
    const before = lowrank.memory.buffer.byteLength;
    lowrank.array(2 ** 22);
    const grew = lowrank.memory.buffer.byteLength > before;
    x.set([3, 4]);
    return { grew, length: x.length, y: [...layer.forward()] };
  },
  async files() {
    const lowrank = await create();
    const layer = lowrank.layer({ inputs: 2, outputs: 2, rank: 1, tokens: 1, weights: new Float32Array(4) });
    const { entries, metadata } = await parse(await saveAll({ name: layer }, { metadata: 'words' }));
    await layer.load(await layer.save());
    return [entries[0].name, metadata];
  },
  async arrays() {
    const own = connect(make());
    const part = new Float32Array(new ArrayBuffer(64), 16, 2).fill(2);
    const whole = new Float32Array(4).fill(1);
    const got = await own.call('echo', { part, whole });
    const [moved] = await own.call('echo', [whole], { transfer: [whole] });
    return [got.part.buffer.byteLength, part[1], moved.length, whole.length];
  },
  async ports() {
    const own = connect(make());
    const { port1, port2 } = new MessageChannel();
    await own.call('port', port2, { transfer: [port2] });
    const [one, two] = [connect(port1), connect(port1)];
    return Promise.all([one.call('echo', 'one'), two.call('echo', 'two')]);
  },
  async failures() {
    const own = connect(make());
    await own.call('echo', 1);
    const uncloneable = await code(own.call('uncloneable'));
    const oops = await code(own.call('oops'));
    const after = await own.call('echo', 2);
    const pending = code(own.call('hang'));
    own.terminate();
    return { uncloneable: uncloneable[0], oops, after, pending: (await pending)[0], later: (await code(own.call('echo', 3)))[0] };
  },
  async loading() {
    const all = [];
    for (const file of ['./nowhere.js', './broken.js', './throws.js']) all.push((await code(connect(make(file)).call('echo', 1)))[0]);
    return all;
  },
  async pauses() {
    const own = connect(make());
    await own.call('many', 100);
    const begun = performance.now();
    await own.call('many', 1000);
    const each = (performance.now() - begun) / 1000;
    const controller = new AbortController();
    const endless = own.call('many', Infinity, { signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    return { each, stopped: await endless > 0 };
  },
};

const results = {};
for (const [name, check] of Object.entries(checks)) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error('no answer')), 10_000));
  results[name] = await Promise.race([check(), late]).catch((error) => String(error?.stack ?? error));
}
await fetch('/results', { method: 'POST', body: JSON.stringify(results) });
`;

const PAGES = {
  '/': ['text/html', '<!doctype html><script type="module" src="./checks.js"></script>'],
  '/checks.js': ['text/javascript', CHECKS],
  '/worker.js': ['text/javascript', WORKER],
  '/broken.js': ['text/javascript', 'this is no script'],
  '/throws.js': ['text/javascript', 'throw new Error("at the top");'],
};

/** What the page has found out. */
async function results() {
  const folder = mkdtempSync(join(tmpdir(), 'lowrank-browser-'));
  let arrived;
  const found = new Promise((resolve) => { arrived = resolve; });
  const server = createServer(async (request, response) => {
    if (request.method === 'POST') {
      let text = '';
      for await (const chunk of request) text += chunk;
      response.end();
      return arrived(JSON.parse(text));
    }
    const [type, text] = PAGES[request.url] ?? [TYPES[extname(request.url)], undefined];
    const body = text ?? await readFile(new URL(`..${request.url}`, import.meta.url)).catch(() => undefined);
    response.statusCode = body === undefined ? 404 : 200;
    response.setHeader('content-type', type ?? 'text/plain');
    response.end(body);
  });
  await new Promise((ready) => { server.listen(0, '127.0.0.1', ready); });
  const address = `http://127.0.0.1:${server.address().port}/`;
  const browser = spawn(CHROMIUM, [...ARGUMENTS, `--user-data-dir=${folder}`, address], { stdio: 'ignore' });
  const ended = new Promise((_, reject) => { browser.once('exit', (status) => reject(new Error(`Chromium has ended with ${status}`))); });
  try {
    return await Promise.race([found, ended]);
  } finally {
    ended.catch(() => {});
    browser.kill();
    await new Promise((done) => { browser.exitCode === null && browser.signalCode === null ? browser.once('exit', done) : done(); });
    server.close();
    server.closeAllConnections();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

test('in Chromium', { skip: !existsSync(CHROMIUM) && 'no Chromium: scripts/setup web', timeout: 90_000 }, async (context) => {
  const { views, files, arrays, ports, failures, loading, pauses } = await results();
  await context.test('views live on when the memory grows', () => assert.deepEqual(views, { grew: true, length: 2, y: [3, 4] }));
  await context.test('files are written and read', () => assert.deepEqual(files, ['name', 'words']));
  await context.test('parts are copied, and what is named moves', () => assert.deepEqual(arrays, [8, 2, 4, 0]));
  await context.test('a port of a worker is started, for two connections', () => assert.deepEqual(ports, ['one', 'two']));
  await context.test('failures reject', () => {
    assert.match(failures.oops?.[1], /oops/);
    assert.deepEqual({ ...failures, oops: failures.oops[0] }, { uncloneable: 'Type', oops: 'Ended', after: 2, pending: 'Ended', later: 'Ended' });
  });
  await context.test('a worker that cannot be loaded rejects', () => assert.deepEqual(loading, ['Ended', 'Ended', 'Ended']));
  await context.test('pauses are far below the 4 ms of a timer', (sub) => {
    sub.diagnostic(`${pauses.each} ms`);
    assert.ok(pauses.each < 2 && pauses.stopped, JSON.stringify(pauses));
  });
});
