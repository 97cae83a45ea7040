// The settings of a step: each has its documented default, and each counts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from 'lowrank';
import { bytes } from 'lowrank/wasm';
import { Rng } from './support.js';

const lowrank = await create({ module: bytes('full-simd128') });

/** Of each optimizer: the default of each setting, and another value. */
const SETTINGS = {
  adamw: { learningRate: [1e-3, 1e-2], bRate: [1, 16], beta1: [0.9, 0.5], beta2: [0.999, 0.9], epsilon: [1e-8, 1e-2], weightDecay: [0.01, 0.5] },
  momentum: { learningRate: [1e-3, 1e-2], bRate: [1, 16], momentum: [0.9, 0.5], dampening: [0, 0.5], nesterov: [false, true], weightDecay: [0, 0.5] },
  sgd: { learningRate: [1e-3, 1e-2], bRate: [1, 16], momentum: [0, 0], dampening: [0, 0], nesterov: [false, false], weightDecay: [0, 0.5] },
  'in-place': { learningRate: [1e-3, 1e-2], bRate: [1, 16], maxNorm: [1e30, 1e-3], tokens: [4, 4] },
};

/** What three steps make of an adapter. */
function after(optimizer, settings) {
  const layer = lowrank.layer({ inputs: 5, outputs: 3, rank: 2, tokens: 4, weights: new Rng(1).floats(15), optimizer, seed: 3, layerNumber: 0 });
  layer.b.set(new Rng(4).floats(6));
  for (let step = 0; step < 3; step++) {
    layer.forward(undefined, new Rng(step + 5).floats(20));
    layer.meanSquaredError(new Float32Array(12));
    if (optimizer !== 'in-place') layer.backward();
    layer.step(settings);
  }
  const { a, b } = layer.entry();
  layer.free();
  return [a, b];
}

for (const [optimizer, settings] of Object.entries(SETTINGS)) {
  test(`settings of ${optimizer}`, () => {
    const right = after(optimizer, {});
    const all = Object.fromEntries(Object.entries(settings).map(([name, [value]]) => [name, value]));
    assert.deepEqual(after(optimizer, all), right);
    for (const [name, [value, other]] of Object.entries(settings)) {
      assert.deepEqual(after(optimizer, { [name]: value }), right, name);
      assert.deepEqual(after(optimizer, { [name]: undefined }), right, name);
      if (other !== value) assert.notDeepEqual(after(optimizer, { [name]: other }), right, name);
    }
  });
}

test('the rate of B is that of B alone', () => {
  for (const optimizer of Object.keys(SETTINGS)) {
    const [[a, b], [otherA, otherB]] = [after(optimizer, {}), after(optimizer, { bRate: 0 })];
    const start = new Rng(4).floats(6);
    assert.deepEqual(otherB, start, optimizer);
    assert.notDeepEqual([b, a], [start, otherA]);
  }
});

test('seeds and streams', () => {
  const made = (more) => lowrank.layer({ inputs: 5, outputs: 3, rank: 2, tokens: 4, weights: new Float32Array(15), ...more }).a;
  const right = made({ seed: 3, layerNumber: 7 });
  assert.deepEqual(made({ seed: 3n, layerNumber: 7 }), right);
  for (const more of [{ seed: 4, layerNumber: 7 }, { seed: 3, layerNumber: 8 }, { seed: 3n + 2n ** 40n, layerNumber: 7 }]) assert.notDeepEqual(made(more), right);
  // Each layer of a module has a stream of its own, in the order in which they were made.
  assert.notDeepEqual(made({ seed: 3 }), made({ seed: 3 }));
  const layer = lowrank.layer({ inputs: 5, outputs: 3, rank: 2, tokens: 4, weights: new Float32Array(15), seed: 1, layerNumber: 7 });
  layer.init(3);
  assert.deepEqual(layer.a, right);
  layer.a.fill(0);
  layer.init();
  assert.deepEqual(layer.a, right);
  assert.equal(lowrank.layer({ inputs: 5, outputs: 3, rank: 2, tokens: 4, weights: new Float32Array(15), layerNumber: 2 ** 30 - 1 }).a.length, 10);
});

test('dropout goes on from step to step, from token to token, and from its own seed', () => {
  const of = (more, dropout) => lowrank.layer({
    inputs: 40, outputs: 3, rank: 2, tokens: 4, weights: new Float32Array(120), layerNumber: 5, seed: 1, dropout: { probability: 0.5, ...dropout }, optimizer: 'sgd', ...more,
  });
  /** The gradient of A after a pass, with B all 1 and x all 1: which inputs were kept. */
  const kept = (layer, tokens = 1) => {
    layer.b.fill(1);
    layer.x.fill(1);
    layer.forward(tokens);
    layer.dy.fill(1);
    layer.backward();
    return layer.da.slice();
  };
  const right = kept(of());
  assert.deepEqual(kept(of()), right);
  assert.deepEqual(kept(of({}, { seed: 1 })), right);
  assert.deepEqual(kept(of({ seed: 9 }, { seed: 1 })), right);
  for (const layer of [of({}, { seed: 2 }), of({ layerNumber: 6 })]) assert.notDeepEqual(kept(layer), right);
  const layer = of();
  const first = kept(layer);
  const second = kept(layer);
  assert.notDeepEqual(second, first, 'the next token of a batch has the dropout of the one before');
  layer.step({ learningRate: 0 });
  const next = kept(layer);
  assert.notDeepEqual(next, first, 'the next step has the dropout of the one before');
  layer.init();
  assert.deepEqual(kept(layer), first);
  // Step 1, token 0, in another layer that skipped the second micro-batch.
  const other = of();
  kept(other);
  other.step({ learningRate: 0 });
  assert.deepEqual(kept(other), next, 'a step does not begin with its first token');
  const resumed = of({ seed: 8, layerNumber: 3 }, { probability: 0.25 });
  const fresh = of();
  kept(fresh);
  fresh.step({ learningRate: 0 });
  resumed.resume(fresh.entry());
  assert.equal(resumed.dropout, 0.5);
  assert.deepEqual(kept(resumed), next);
  const plain = of();
  kept(plain);
  plain.step({ learningRate: 0 });
  const { random, training, ...adapter } = fresh.entry();
  plain.resume(adapter);
  assert.deepEqual(kept(plain), first, 'an adapter without a state begins with the first step');
});

test('what is trained is what was asked for', () => {
  for (const optimizer of ['adamw', 'momentum', 'sgd']) {
    for (const [trainA, trainBias] of [[true, true], [true, false], [false, true], [false, false]]) {
      const layer = lowrank.layer({
        inputs: 5, outputs: 3, rank: 2, tokens: 4, weights: new Rng(1).floats(15), bias: new Rng(2).floats(3), optimizer,
        freezeA: !trainA, trainBias,
      });
      layer.b.set(new Rng(4).floats(6));
      const parts = () => [layer.a, layer.b, layer.bias, layer.weights].map((part) => part.slice());
      const before = parts();
      layer.forward(undefined, new Rng(5).floats(20));
      layer.meanSquaredError(new Float32Array(12));
      layer.backward();
      layer.step({ learningRate: 0.1 });
      const changed = parts().map((part, i) => part.some((value, j) => value !== before[i][j]));
      assert.deepEqual(changed, [trainA, true, trainBias, false], optimizer);
      assert.deepEqual([layer.da.length, layer.dbias.length], [trainA ? 10 : 0, trainBias ? 3 : 0]);
    }
  }
});
