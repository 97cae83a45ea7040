// What another realm has made (a frame, jsdom, node:vm) is taken as one's own is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { create } from 'lowrank';
import { emit, loadAll, parse, saveAll, setModule } from 'lowrank/files';
import { readPeft, writePeft } from 'lowrank/peft';
import { bytes } from 'lowrank/wasm';
import { read, refused } from './support.js';

const there = runInNewContext('globalThis');
const floats = (...numbers) => there.Float32Array.from(numbers);
const copy = (array) => new there[array.constructor.name](array);
const bufferOf = (array) => copy(array).buffer;

test('the arrays of these tests are of another realm', () => {
  for (const kind of [Float32Array, Uint8Array, Uint32Array]) assert.ok(!(copy(new kind(1)) instanceof kind), kind.name);
  assert.ok(!(bufferOf(new Uint8Array(1)) instanceof ArrayBuffer));
});

/** What calls give with arrays that `of` has made. */
const CALLS = {
  weights: (lr, of) => lr.layer({ ...SHAPE, weights: of(WEIGHTS) }).weights,
  bias: (lr, of) => lr.layer({ ...SHAPE, weights: WEIGHTS, bias: of(Float32Array.of(1, 2, 3)) }).bias,
  'forward, x': (lr, of) => lr.layer({ ...SHAPE, weights: WEIGHTS }).forward(2, of(INPUT)),
  'backward, dy': (lr, of) => {
    const layer = lr.layer({ ...SHAPE, weights: WEIGHTS });
    layer.forward(2, INPUT);
    layer.backward(2, { dy: of(new Float32Array(6).fill(0.5)) });
    return layer.db;
  },
  labels: (lr, of) => {
    const layer = lr.layer({ ...SHAPE, weights: WEIGHTS });
    layer.forward(undefined, INPUT);
    return Float32Array.of(lr.softmaxCrossEntropy(layer.y, of(Uint32Array.of(2, 1)), layer.dy));
  },
  targets: (lr, of) => {
    const layer = lr.layer({ ...SHAPE, weights: WEIGHTS });
    layer.forward(undefined, INPUT);
    return Float32Array.of(lr.meanSquaredError(layer.y, of(new Float32Array(6).fill(3)), layer.dy, { tokens: 2 }));
  },
  'shuffle, items': (lr, of) => Float32Array.from(lr.shuffle(of(Uint16Array.from({ length: 99 }, (_, i) => i)), { seed: 3 })),
  'resume, a and b': (lr, of) => {
    const layer = lr.layer({ ...SHAPE, weights: WEIGHTS });
    const adapter = layer.entry();
    layer.resume({ ...adapter, a: of(Float32Array.of(1, 2)), b: of(Float32Array.of(3, 4, 5)) });
    return layer.merge();
  },
};
const SHAPE = { inputs: 2, outputs: 3, rank: 1, tokens: 2 };
const WEIGHTS = Float32Array.of(1, 0, 0, 1, 1, 1);
const INPUT = Float32Array.of(1, 2, 3, 4);

for (const [name, call] of Object.entries(CALLS)) {
  test(`the same bits: ${name}`, async () => {
    assert.deepEqual(call(await create(), copy), call(await create(), (array) => array.slice()));
  });
}

test('other arrays of another realm are refused as one\'s own are', async () => {
  const lr = await create();
  const pretended = { length: 6, [Symbol.toStringTag]: 'Float32Array' };
  for (const weights of [new there.Float64Array(6), new there.DataView(new there.ArrayBuffer(24)), there.Array.from(WEIGHTS), pretended]) {
    refused(() => lr.layer({ ...SHAPE, weights }), 'Type', 'weights');
  }
  refused(() => lr.layer({ ...SHAPE, weights: floats(1, 2) }), 'Length', 'weights');
  refused(() => lr.shuffle(new there.DataView(new there.ArrayBuffer(8))), 'Type', 'items');
});

test('modules, in every way, of both realms', async () => {
  const small = await bytes('small-scalar');
  const part = (realm, buffer) => {
    const whole = new realm.Uint8Array(new realm[buffer](small.length + 8));
    whole.set(small, 5);
    return whole.subarray(5, small.length + 5);
  };
  for (const realm of [globalThis, there]) {
    const buffer = part(realm, 'ArrayBuffer').slice().buffer;
    const views = [part(realm, 'ArrayBuffer'), part(realm, 'SharedArrayBuffer'), new realm.DataView(buffer)];
    for (const module of [buffer, ...views, new realm.WebAssembly.Module(small), realm.WebAssembly.compile(small)]) {
      assert.equal((await create({ module })).flavour, 'scalar');
    }
  }
});

test('adapter files, and the module for them, of another realm', async () => {
  const lr = await create();
  const layer = lr.layer({ ...SHAPE, weights: WEIGHTS });
  await setModule(bufferOf(new Uint8Array(await read('bindings/js/dist/files.wasm'))));
  const file = await saveAll({ layer });
  assert.equal((await parse(copy(file))).entries[0].name, 'layer');
  await layer.load(copy(file));
  await loadAll(copy(file), { layer });
  const adapter = layer.entry('layer');
  assert.deepEqual(await emit([{ ...adapter, a: copy(adapter.a), b: copy(adapter.b) }]), file);
});

test('PEFT adapters of another realm', async () => {
  const lr = await create();
  const { config, tensors } = writePeft([lr.layer({ ...SHAPE, weights: WEIGHTS }).entry('net.layer')]);
  const utf8 = new TextEncoder().encode(config);
  const expected = readPeft({ config, tensors }).entries;
  for (const files of [{ config: copy(utf8), tensors: copy(tensors) }, { config: bufferOf(utf8), tensors: bufferOf(tensors) }]) {
    assert.deepEqual(readPeft(files).entries, expected);
  }
});
