// A view that was handed out keeps its memory, or what would take it away is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LowrankError, create } from 'lowrank';
import { Rng, refused } from './support.js';

const PROTOTYPE = WebAssembly.Memory.prototype;
const VIEWS = ['x', 'y', 'dy', 'dx', 'weights', 'bias', 'a', 'b', 'da', 'db', 'dbias'];
const SHAPE = { inputs: 6, outputs: 5, rank: 2, tokens: 4 };

/** A module in an engine whose views do not outlive growth, as they do not in Node before 26. */
async function older(memory) {
  const { toResizableBuffer } = PROTOTYPE;
  delete PROTOTYPE.toResizableBuffer;
  try {
    return await create({ memory });
  } finally {
    if (toResizableBuffer) PROTOTYPE.toResizableBuffer = toResizableBuffer;
  }
}

/** The engine as it is, and one without `toResizableBuffer`, both without a reserve. */
const ENGINES = { 'this engine': () => create({ memory: 0 }), 'an older engine': () => older(0) };

const layerOf = (lowrank, more = {}) => lowrank.layer({
  ...SHAPE, weights: new Rng(1).floats(30), bias: new Rng(2).floats(5), inputGrads: true, trainBias: true, ...more,
});

/** What takes memory that is not there. */
const GROWTH = {
  layer: (lowrank) => lowrank.layer({ inputs: 512, outputs: 512, rank: 1, tokens: 1, weights: new Float32Array(512 * 512) }),
  'layer above': (lowrank, { layer }) => lowrank.layer({
    inputs: 5, outputs: 2 ** 16, rank: 1, tokens: 4, weights: new Float32Array(5 * 2 ** 16), x: layer.y, dx: layer.dy,
  }),
  array: (lowrank) => lowrank.array(2 ** 20),
  merge: (lowrank, { wide }) => wide.merge(),
  labels: (lowrank, { long }) => long.softmaxCrossEntropy(new Uint32Array(2 ** 17)),
  targets: (lowrank, { long }) => long.meanSquaredError(new Float32Array(2 ** 17)),
  'items of shuffle': (lowrank) => lowrank.shuffle(new Uint8Array(2 ** 20)),
};

/** Takes what is free, so that what follows has to grow the memory. */
function fill(lowrank) {
  for (let length = 2 ** 25; length >= 1; length >>= 1) {
    for (;;) {
      const before = lowrank.memory.buffer.byteLength;
      const vector = lowrank.array(length);
      if (lowrank.memory.buffer.byteLength === before) continue;
      vector.free();
      break;
    }
  }
}

for (const [engine, load] of Object.entries(ENGINES)) {
  for (const [what, grow] of Object.entries(GROWTH)) {
    test(`${engine}: views and ${what}`, async () => {
      const lowrank = await load();
      const layer = layerOf(lowrank);
      const wide = lowrank.layer({ inputs: 512, outputs: 256, rank: 1, tokens: 1, weights: new Float32Array(512 * 256) });
      const long = lowrank.layer({ inputs: 0, outputs: 1, rank: 0, tokens: 2 ** 17, weights: new Float32Array() });
      const vector = lowrank.array(3);
      if (what !== 'array') fill(lowrank);
      const views = VIEWS.map((name) => layer[name]);
      const [numbers, bytes] = [vector.view, lowrank.memory.buffer.byteLength];
      long.forward();
      let error;
      try {
        grow(lowrank, { layer, wide, long });
      } catch (thrown) {
        error = thrown;
      }
      const [grew, keeps] = [lowrank.memory.buffer.byteLength > bytes, engine === 'this engine' && PROTOTYPE.toResizableBuffer];
      assert.equal(grew, Boolean(keeps), 'the memory has to grow where views live on, and nowhere else');
      if (!keeps) assert.deepEqual([error instanceof LowrankError, error?.code], [true, 'Memory'], `${error}`);
      VIEWS.forEach((name, i) => {
        assert.ok(views[i].length > 0, name);
        views[i].fill(i + 1);
        assert.equal(layer[name], views[i], name);
        assert.ok(layer.entry() && layer[name].every((value) => value === i + 1), name);
      });
      numbers[2] = 7;
      assert.deepEqual([...vector.view], [0, 0, 7]);
      // Numbers that are written are the numbers that count: 2·3 for x = 1, W = 5, bias = 6, A = B = 0.
      views[0].fill(1);
      for (const name of ['a', 'b']) views[VIEWS.indexOf(name)].fill(0);
      assert.ok(layer.forward().every((value) => value === 5 * 6 + 6), 'forward has read something else');
    });
  }
}

test('where growing is refused, the message says how much to reserve', async () => {
  const lowrank = await older(0);
  const { x } = layerOf(lowrank);
  let memory;
  assert.throws(() => lowrank.array(2 ** 21), ({ code, argument, message }) => {
    memory = Number(/create\({ memory: (\d+) }\)/.exec(message)[1]);
    const words = /^length: the memory would have to grow by \d+ bytes, which empties the views in use: reserve it with create\({ memory: \d+ }\)$/;
    assert.match(message, words);
    return code === 'Memory' && argument === 'length';
  });
  const reserved = await older(memory);
  const held = layerOf(reserved).x;
  reserved.array(2 ** 21);
  assert.deepEqual([held.length, x.length], [24, 24]);
});

test('without a view in use the memory grows everywhere', async () => {
  const lowrank = await older(0);
  const below = lowrank.layer({ ...SHAPE, weights: new Float32Array(30) });
  for (let i = 0; i < 10; i++) lowrank.array(2 ** 18);
  assert.ok(below.merge().every((value) => value === 0));
  assert.equal(below.x.length, 24);
  refused(() => lowrank.array(2 ** 20), 'Memory', 'length');
  below.free();
  assert.equal(lowrank.array(2 ** 20).view.length, 2 ** 20);
});

test('a view of memory that a layer shares is one of its owner', async () => {
  const lowrank = await older(0);
  const vector = lowrank.array(24);
  const layer = lowrank.layer({ ...SHAPE, weights: new Float32Array(30), x: vector });
  const { x } = layer;
  layer.free();
  refused(() => lowrank.array(2 ** 20), 'Memory', 'length');
  x[0] = 5;
  assert.deepEqual([x.length, vector.view[0]], [24, 5]);
});

test('64 MiB are there from the start, and not more is taken than is used', async () => {
  const [before, modules] = [process.memoryUsage().rss, []];
  for (let i = 0; i < 8; i++) modules.push(await older());
  assert.ok(process.memoryUsage().rss - before < 64 * 2 ** 20, 'what is reserved was filled');
  for (const lowrank of modules) {
    const { x } = layerOf(lowrank);
    lowrank.array(2 ** 23);
    assert.equal(x.length, 24);
  }
});

test('a merge has its memory from the layer on', async () => {
  const lowrank = await older(0);
  const layer = lowrank.layer({ inputs: 512, outputs: 512, rank: 1, tokens: 64, weights: new Rng(1).floats(512 * 512) });
  const { x } = layer;
  layer.forward();
  layer.meanSquaredError(new Float32Array(64 * 512));
  assert.deepEqual([layer.merge(), x.length], [layer.weights.slice(), 64 * 512]);
});

test('memory that is grown from outside is found at the next call', async () => {
  const lowrank = await older();
  const [layer, other, vector] = [layerOf(lowrank), layerOf(lowrank), lowrank.array(20)];
  const { x, y } = layer;
  const { view } = vector;
  lowrank.memory.grow(1);
  x[0] = 1;
  assert.equal(x.length + y.length + view.length, 0);
  for (const call of [
    () => layer.forward(), () => layer.softmaxCrossEntropy([0, 0, 0, 0]), () => layer.meanSquaredError(new Float32Array(20)),
    () => layer.backward(), () => layer.step(), () => layer.merge(), () => layer.entry(),
  ]) refused(call, 'Detached', 'x');
  layer.x.fill(1);
  refused(() => layer.forward(), 'Detached', 'y');
  assert.equal(layer.y.length, 20);
  assert.ok(layer.forward().every((value) => Number.isFinite(value)));
  other.forward();
  refused(() => lowrank.softmaxCrossEntropy(vector, [0, 0, 0, 0], other.dy, { classes: 5 }), 'Detached', 'logits');
  assert.equal(vector.view.length, 20);
  assert.ok(lowrank.softmaxCrossEntropy(vector, [0, 0, 0, 0], other.dy, { classes: 5 }) > 0);
});

test('views are the same objects, of every length', async () => {
  const lowrank = await create();
  const layer = layerOf(lowrank);
  const [two, all] = [layer.forward(2), layer.forward()];
  assert.deepEqual([two.length, all.length, all === layer.y, two === layer.forward(2)], [10, 20, true, true]);
});
