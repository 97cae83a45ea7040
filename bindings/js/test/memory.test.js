import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from 'lowrank';
import { bytes, url } from 'lowrank/wasm';
import { MODULES, Rng, refused } from './support.js';

const SHAPE = { inputs: 64, outputs: 48, rank: 4, tokens: 8 };
const VIEWS = ['x', 'y', 'dy', 'dx', 'weights', 'bias', 'a', 'b', 'da', 'db'];

const layerOf = (lowrank, options = {}) => lowrank.layer({
  ...SHAPE, weights: new Rng(1).floats(64 * 48), bias: new Float32Array(48), inputGrads: true, ...options,
});

for (const [name, load] of Object.entries(MODULES)) {
  test(`${name}: 10,000 steps take no memory, and views stay what they are`, async () => {
    const lowrank = await load();
    const layer = layerOf(lowrank);
    layer.x.set(new Rng(2).floats(8 * 64));
    const labels = Uint32Array.from({ length: 8 }, (_, i) => i);
    const order = Uint16Array.from({ length: 1437 }, (_, i) => i);
    const views = VIEWS.map((view) => layer[view]);
    const [buffer, length] = [lowrank.memory.buffer, lowrank.memory.buffer.byteLength];
    for (let step = 0; step < 10_000; step++) {
      layer.forward();
      layer.softmaxCrossEntropy(labels);
      layer.backward();
      lowrank.clip([layer], 1);
      layer.step({ learningRate: 1e-3 });
      lowrank.shuffle(order, { step });
    }
    assert.equal(layer.steps, 10_000);
    assert.equal(lowrank.memory.buffer, buffer);
    assert.equal(lowrank.memory.buffer.byteLength, length);
    VIEWS.forEach((view, i) => assert.equal(layer[view], views[i], view));
  });
}

test('modules import nothing, and export their memory', async () => {
  for (const name of Object.keys(url)) {
    const module = await WebAssembly.compile(await bytes(name));
    assert.deepEqual(WebAssembly.Module.imports(module), [], name);
    const exports = WebAssembly.Module.exports(module);
    assert.ok(exports.some(({ name, kind }) => name === 'memory' && kind === 'memory'), name);
    if (name.startsWith('full')) assert.ok(exports.filter(({ kind }) => kind === 'function').length >= 54, name);
  }
});

test('memory that was given back is used again', async () => {
  const lowrank = await create({ memory: 0 });
  for (let i = 0; i < 3; i++) layerOf(lowrank).free();
  const bytes = lowrank.memory.buffer.byteLength;
  for (let i = 0; i < 200; i++) {
    const [layer, vector, other] = [layerOf(lowrank), lowrank.array(500 + i), layerOf(lowrank, { rank: 1 + i % 8 })];
    for (const each of i % 2 ? [layer, other, vector] : [vector, other, layer]) each.free();
  }
  assert.ok(lowrank.memory.buffer.byteLength <= bytes + 65536);
});

test('what was given back in pieces is one piece again', async () => {
  const lowrank = await create({ memory: 2 ** 20 });
  const bytes = lowrank.memory.buffer.byteLength;
  const orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]];
  for (const order of orders) {
    const parts = order.map(() => lowrank.array(2 ** 16));
    for (const i of order) parts[i].free();
    lowrank.array(2 ** 18).free();
  }
  assert.equal(lowrank.memory.buffer.byteLength, bytes);
});

test('a piece that fits to the byte is taken, and the last page is used before the memory grows', async () => {
  const lowrank = await create({ memory: 0 });
  const sizes = () => lowrank.memory.buffer.byteLength;
  const first = lowrank.array(2 ** 18);
  lowrank.array(4);
  const bytes = sizes();
  first.free();
  lowrank.array(2 ** 18);
  assert.equal(sizes(), bytes);
  // The open end of the memory counts.
  const reserved = await create({ memory: 2 ** 20 });
  const end = reserved.memory.buffer.byteLength;
  reserved.array(2 ** 18 + 2 ** 15);
  assert.ok(reserved.memory.buffer.byteLength <= end + 2 ** 17, 'more than is missing');
  // More than is left, less than a page more.
  let grew = 0;
  for (let i = 0; i < 64; i++) {
    const before = sizes();
    lowrank.array(10_000);
    grew += sizes() > before;
  }
  assert.ok(sizes() - bytes <= 64 * 40_000 + 65536, `${sizes() - bytes} bytes in ${grew} times`);
});

test('room for more and more labels and items is one room', async () => {
  const lowrank = await create({ memory: 0 });
  const bytes = lowrank.memory.buffer.byteLength;
  for (let pages = 1; pages <= 64; pages++) lowrank.shuffle(new Uint8Array(4096 * pages));
  assert.ok(lowrank.memory.buffer.byteLength <= bytes + 4 * 2 ** 20);
});

test('nothing of what is refused, and nothing that is freed, stays', async () => {
  const lowrank = await create({ memory: 0 });
  const endless = { inputs: 0, outputs: 0, rank: 2 ** 28, tokens: 2 ** 28, weights: new Float32Array(), bias: undefined };
  const acts = [
    () => refused(() => layerOf(lowrank, endless), 'Overflow', 'arena'),
    () => refused(() => layerOf(lowrank, { alpha: Infinity }), 'Range', 'alpha'),
    () => refused(() => layerOf(lowrank, { dropout: { probability: 0.5 } }), 'Unsupported', 'dropout.probability'),
    () => refused(() => layerOf(lowrank, { tokens: 2 ** 25, inputGrads: false }), 'Overflow', 'options'),
    () => refused(() => lowrank.array(2 ** 30), 'Memory', 'length'),
    () => layerOf(lowrank).free(),
    () => lowrank.array(100).free(),
  ];
  for (const act of acts) act();
  const layer = layerOf(lowrank);
  layer.merge();
  const bytes = lowrank.memory.buffer.byteLength;
  for (const act of [...acts, () => layer.merge(), () => lowrank.shuffle(new Uint8Array(5000))]) {
    const [first, ...rest] = Array.from({ length: 1000 }, () => (act(), lowrank.memory.buffer.byteLength));
    assert.ok(rest.every((now) => now === first) && first <= bytes + 65536, `${act}`);
  }
});

test('a new vector is zero', async () => {
  const lowrank = await create();
  const first = lowrank.array(100);
  first.view.fill(7);
  first.free();
  assert.ok(lowrank.array(100).view.every((value) => value === 0));
});

test('two layers share memory without copies', async () => {
  const lowrank = await create();
  const below = layerOf(lowrank);
  const above = lowrank.layer({
    inputs: 48, outputs: 10, rank: 2, tokens: 8, weights: new Rng(5).floats(480), x: below.y, dx: below.dy,
  });
  below.forward(undefined, new Rng(6).floats(8 * 64));
  assert.equal(above.x.byteOffset, below.y.byteOffset);
  above.forward();
  above.dy.fill(1);
  above.backward();
  assert.equal(above.dx.byteOffset, below.dy.byteOffset);
  assert.ok(below.dy.some((value) => value !== 0));
  below.free();
  refused(() => above.forward(), 'Freed', 'x');
});

test('what lies in the memory is read and written where it is', async () => {
  const lowrank = await create();
  const inside = lowrank.array(100_000);
  inside.view.forEach((_, i, view) => { view[i] = i; });
  const copy = inside.view.slice();
  const shuffled = lowrank.shuffle(inside.view, { seed: 5 });
  assert.equal(shuffled, inside.view);
  assert.deepEqual(shuffled, (await create()).shuffle(copy, { seed: 5 }));

  const wide = { inputs: 512, outputs: 512, rank: 1, tokens: 1 };
  const first = lowrank.layer({ ...wide, weights: new Rng(1).floats(512 * 512), bias: new Rng(2).floats(512) });
  const second = lowrank.layer({ ...wide, weights: first.weights, bias: first.bias });
  assert.deepEqual(second.weights, first.weights);
  assert.deepEqual(second.bias, first.bias);
});
