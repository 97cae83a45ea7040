// What hosts lack, and what is said of it. The hosts themselves are in test/environments.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { create } from 'lowrank';
import { emit, parse, setModule } from 'lowrank/files';
import { bytes, url } from 'lowrank/wasm';
import { read, rejected } from './support.js';

const cwd = fileURLToPath(new URL('..', import.meta.url));

/** What a program prints that runs in a realm of Node of its own. */
const said = (program) => execFileSync(process.execPath, ['--input-type=module', '-e', program], { cwd, encoding: 'utf8' }).trim();
const IMPORTS = `const { create } = await import("lowrank"); const { emit, setModule } = await import("lowrank/files");
  const { bytes } = await import("lowrank/wasm"); const { readFile } = await import("node:fs/promises");`;
const CAUGHT = '.then(() => console.log("done"), (error) => console.log(error.name, error.code, error.argument))';

test('nothing but DecompressionStream and atob is needed to begin', () => {
  const gone = ['Blob', 'Response', 'fetch', 'TextEncoder', 'TextDecoder', 'process', 'Buffer', 'navigator', 'performance', 'structuredClone'];
  assert.equal(said(`const { log } = console; for (const name of ${JSON.stringify(gone)}) delete globalThis[name];
    const { create } = await import('lowrank'); log((await create()).flavour);`), 'simd128');
});

test('without DecompressionStream a module has to be given, and can be', () => {
  const start = `delete globalThis.DecompressionStream; ${IMPORTS}`;
  assert.equal(said(`${start} await create()${CAUGHT}`), 'LowrankError Unsupported DecompressionStream');
  assert.equal(said(`${start} await emit([])${CAUGHT}`), 'LowrankError Unsupported DecompressionStream');
  assert.equal(said(`${start} await create({ module: bytes("small-simd128") })${CAUGHT}`), 'done');
  assert.equal(said(`${start} await setModule(readFile("dist/files.wasm")); await emit([])${CAUGHT}`), 'done');
});

test('where bytes cannot be compiled, a compiled module is needed, and is enough', () => {
  const start = `${IMPORTS}
    const compiled = async (name) => new WebAssembly.Module(await readFile("dist/" + name + ".wasm"));
    const [small, files] = [await compiled("small-scalar"), await compiled("files")];
    WebAssembly.compile = async () => { throw new WebAssembly.CompileError("disallowed by embedder"); };`;
  assert.equal(said(`${start} await create()${CAUGHT}`), 'LowrankError Unsupported module');
  assert.equal(said(`${start} await emit([])${CAUGHT}`), 'LowrankError Unsupported module');
  assert.equal(said(`${start} await create({ module: small })${CAUGHT}`), 'done');
  assert.equal(said(`${start} await emit([]).catch(() => {}); await setModule(files); await emit([])${CAUGHT}`), 'done');
});

test('setModule takes the module for files, and nothing else', async () => {
  const before = await emit([]);
  await rejected(setModule(bytes('small-simd128')), 'Format', 'module');
  await rejected(setModule(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)), 'Format', 'module');
  await rejected(setModule(Uint8Array.of(1, 2, 3)), 'Format', 'module');
  await rejected(setModule('lowrank/files.wasm'), 'Type', 'module');
  await rejected(setModule(undefined), 'Type', 'module');
  await rejected(setModule(new Response('', { status: 404 })), 'Format', 'module');
  await rejected(create({ module: read('bindings/js/dist/files.wasm') }), 'Format', 'module');
  assert.deepEqual(await emit([]), before);
  const files = await read('bindings/js/dist/files.wasm');
  for (const source of [files, Promise.resolve(files), WebAssembly.compile(files), new Response(files)]) {
    await setModule(source);
    assert.deepEqual(await emit([]), before);
    assert.equal((await parse(before)).entries.length, 0);
  }
});

test('lowrank/wasm says what is not beside it, and where else it is', async (t) => {
  const page = () => new Response('<!doctype html>', { status: 200 });
  const answers = { 'a page': page, 'an error': () => new Response('', { status: 404 }), nothing: () => { throw new TypeError('fetch failed'); } };
  for (const [what, answer] of Object.entries(answers)) {
    t.mock.method(globalThis, 'fetch', async () => answer());
    t.mock.getter(url, 'full-scalar', () => new URL('https://example.org/app/full-scalar.wasm'));
    await assert.rejects(bytes('full-scalar'), (error) => {
      assert.deepEqual([error.name, error.code, error.argument], ['LowrankError', 'NotFound', 'name'], what);
      assert.match(error.message, /'lowrank\/full-scalar\.wasm'$/);
      return true;
    });
    t.mock.restoreAll();
  }
  const others = ['medium', 'constructor', '__proto__', 'toString', '', 'files', null, undefined, 7];
  for (const name of others) await rejected(bytes(name), 'Unknown', 'name');
});
