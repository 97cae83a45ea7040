// Shapes come from the layer: a loss never reads y as rows of another length.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from 'lowrank';
import { bytes } from 'lowrank/wasm';
import { Rng, refused } from './support.js';

const lowrank = await create({ module: bytes('full-simd128') });
const small = await create();

/** Batches of a layer [outputs, tokens], and shorter ones: those of which the lengths divide are the ones that were taken for others. */
const SHAPES = [[3, 4], [10, 32], [6, 4], [1, 5], [12, 12], [2, 6]];
const OPTIMIZERS = ['adamw', 'momentum', 'sgd', 'in-place', 'inference'];

const layerOf = ([outputs, tokens], more = {}) => {
  const options = { inputs: 5, outputs, rank: 2, tokens, weights: new Rng(1).floats(5 * outputs), seed: 7, layerNumber: 0, ...more };
  const layer = lowrank.layer(options);
  layer.b.set(new Rng(3).floats(layer.b.length));
  return layer;
};

/** Loss and gradient in 64 bits. */
function expected(y, outputs, labels) {
  const gradient = [];
  let loss = 0;
  labels.forEach((label, token) => {
    const row = [...y.subarray(token * outputs, (token + 1) * outputs)];
    const sum = row.reduce((sum, z) => sum + Math.exp(z), 0);
    loss += Math.log(sum) - row[label];
    gradient.push(...row.map((z, i) => (Math.exp(z) / sum - (i === label)) / labels.length));
  });
  return { loss: loss / labels.length, gradient };
}

const close = (got, right) => right.forEach((value, i) => assert.ok(Math.abs(got[i] - value) < 1e-5, `${got[i]} for ${value} at ${i}`));

for (const shape of SHAPES) {
  const [outputs, tokens] = shape;
  const labelsOf = (n) => Array.from({ length: n }, (_, i) => (i * 7 + 1) % outputs);

  test(`${tokens} tokens of ${outputs} outputs: a shorter batch is that of a layer made for it`, () => {
    for (const optimizer of OPTIMIZERS) {
      for (let n = 0; n <= tokens; n++) {
        const x = new Rng(n + 2).floats(n * 5);
        const results = [tokens, n].map((most) => {
          const layer = layerOf([outputs, most], { optimizer });
          layer.dy.fill(9);
          layer.forward(n, x);
          const loss = layer.softmaxCrossEntropy(labelsOf(n));
          const y = layer.y.slice(0, n * outputs);
          const { loss: right, gradient } = expected(y, outputs, labelsOf(n));
          if (n > 0) close([loss, ...layer.dy], [right, ...gradient]);
          assert.ok(layer.dy.subarray(n * outputs).every((value) => value === 9), 'more of dy was written');
          if (!['in-place', 'inference'].includes(optimizer)) layer.backward();
          if (optimizer !== 'inference') layer.step({ learningRate: 0.1 });
          const all = [loss, y, layer.dy.slice(0, n * outputs), layer.a.slice(), layer.b.slice()];
          layer.free();
          return all;
        });
        assert.deepEqual(results[0], results[1], `${optimizer}, ${n} tokens`);
      }
    }
  });

  test(`${tokens} tokens of ${outputs} outputs: other numbers of labels and targets are refused, everywhere`, () => {
    const layer = layerOf(shape);
    for (let n = 1; n <= tokens; n++) {
      const y = layer.forward(n, new Rng(n).floats(n * 5));
      layer.dy.fill(9);
      const untouched = () => assert.ok(layer.dy.every((value) => value === 9));
      for (let wrong = 0; wrong <= 2 * tokens * outputs; wrong += tokens * outputs > 100 ? 5 : 1) {
        if (wrong !== n) refused(() => layer.softmaxCrossEntropy(new Uint8Array(wrong)), 'Length', 'labels');
        if (wrong !== n) refused(() => lowrank.softmaxCrossEntropy(y, new Uint8Array(wrong), layer.dy.subarray(0, y.length)), 'Length', 'labels');
        if (wrong !== n * outputs) refused(() => layer.meanSquaredError(new Float32Array(wrong)), 'Length', 'targets');
        if (wrong !== n * outputs) refused(() => lowrank.meanSquaredError(y, new Float32Array(wrong), layer.dy.subarray(0, y.length)), 'Length', 'targets');
        if (wrong !== outputs) refused(() => lowrank.softmaxCrossEntropy(y, labelsOf(n), layer.dy.subarray(0, y.length), { classes: wrong }), 'Cols', 'classes');
        if (wrong !== n && wrong !== 0) refused(() => lowrank.meanSquaredError(y, y, layer.dy.subarray(0, y.length), { tokens: wrong }), 'Cols', 'tokens');
      }
      // All of y, when the last pass wrote a part of it.
      if (n < tokens) refused(() => lowrank.softmaxCrossEntropy(layer.y, labelsOf(tokens), layer.dy), 'TooMany', 'logits');
      if (n < tokens) refused(() => lowrank.meanSquaredError(layer.y, layer.y, layer.dy), 'TooMany', 'prediction');
      if (outputs > 1) refused(() => lowrank.softmaxCrossEntropy(y.subarray(1), [], layer.dy.subarray(1, y.length)), 'Length', 'logits');
      untouched();
      for (const other of [n - 1, n + 1]) {
        if (other <= tokens) refused(() => layer.backward(other), 'Rows', 'dy');
        if (other <= tokens) refused(() => layer.backward(other, { dy: new Float32Array(other * outputs) }), 'Rows', 'dy');
        refused(() => layer.backward(undefined, { dy: new Float32Array(other * outputs) }), 'Length', 'dy');
      }
      untouched();
    }
    layer.free();
  });
}

test('rows that the last pass did not write, and rows that begin within others, are refused', () => {
  const layer = layerOf([3, 4]);
  const part = (from, to) => [layer.y.subarray(from, to), layer.dy.subarray(from, to)];
  layer.forward();
  layer.forward(2);
  layer.dy.fill(9);
  const calls = (from, to, n) => {
    const [y, dy] = part(from, to);
    return [() => lowrank.softmaxCrossEntropy(y, new Uint8Array(n), dy), () => lowrank.meanSquaredError(y, new Float32Array(to - from), dy)];
  };
  for (const [from, to, n, code] of [[3, 9, 2, 'TooMany'], [6, 12, 2, 'TooMany'], [9, 12, 1, 'TooMany'], [1, 4, 1, 'Misaligned'], [2, 5, 1, 'Misaligned']]) {
    const [cross, squared] = calls(from, to, n);
    refused(cross, code, 'logits');
    refused(squared, code, 'prediction');
  }
  assert.ok(layer.dy.every((value) => value === 9));
  for (const call of [...calls(0, 3, 1), ...calls(3, 6, 1), ...calls(0, 6, 2)]) call();
});

test('a gradient goes where the shape and the tokens are its own, and nowhere else in a layer', () => {
  const [layer, other, wide] = [layerOf([3, 8], { inputGrads: true }), layerOf([3, 8]), layerOf([8, 3])];
  for (const each of [layer, other, wide]) each.forward(undefined, new Rng(4).floats(each.x.length));
  const vector = lowrank.array(24);
  const all = (view, from, to) => view.subarray(from, to);
  const parts = ['x', 'y', 'dy', 'dx', 'weights', 'a', 'b', 'da', 'db'];
  const state = () => [layer, other, wide].map((each) => parts.map((name) => each[name].slice()));
  const straddling = new Float32Array(lowrank.memory.buffer, layer.dy.byteOffset + 12, 24);
  for (const [code, y, dy, classes] of [
    ['Cols', vector, layer.dy, 8], ['Cols', all(vector.view, 0, 8), all(layer.dy, 0, 8), 8], ['Cols', wide.y, layer.dy], ['Cols', layer.y, wide.dy],
    ['Cols', vector, layer.dy, 24], ['Cols', vector, layer.dy, 1],
    ['Misaligned', all(layer.y, 0, 6), all(layer.dy, 1, 7)], ['Misaligned', all(layer.y, 3, 6), all(layer.dy, 5, 8)],
    ['Misaligned', all(vector.view, 0, 6), all(layer.dy, 2, 8), 3],
    ['Rows', all(layer.y, 3, 6), all(layer.dy, 0, 3)], ['Rows', all(layer.y, 0, 3), all(layer.dy, 3, 6)], ['Rows', all(layer.y, 0, 12), all(layer.dy, 12, 24)],
    ['Unexpected', layer.dy, layer.y], ['Unexpected', vector, layer.y, 3], ['Unexpected', other.y, layer.y], ['Unexpected', all(layer.y, 0, 12), all(layer.y, 12, 24)],
    ['Unexpected', layer.y, straddling], ['Unexpected', all(layer.y, 0, 15), layer.weights], ['Unexpected', all(vector.view, 0, 6), layer.b, 3],
    ['Unexpected', vector, all(layer.x, 0, 24), 3], ['Unexpected', all(layer.y, 0, 6), layer.db],
    ['Cols', vector, all(layer.dx, 0, 24), 3],
  ]) {
    const before = state();
    const [length, width] = [y.length, classes ?? (y === wide.y ? 8 : 3)];
    refused(() => lowrank.softmaxCrossEntropy(y, new Uint8Array(length / width), dy, { classes }), code, 'dlogits');
    const tokens = classes && length / classes;
    refused(() => lowrank.meanSquaredError(y, new Float32Array(length), dy, { tokens }), code, 'dprediction');
    assert.deepEqual(state(), before);
  }
  // Other memory, and another layer's gradient of the same shape.
  for (const [y, dy, classes] of [
    [layer.y, layer.dy], [layer.y, vector], [vector, layer.dy, 3], [layer.y, other.dy], [all(layer.y, 3, 9), all(other.dy, 0, 6)],
    [all(layer.y, 3, 9), all(layer.dy, 3, 9)], [all(layer.y, 0, 0), all(layer.dy, 0, 0)], [all(layer.y, 0, 15), all(layer.dy, 0, 15)],
    [layer.x, layer.dx, 5],
  ]) lowrank.softmaxCrossEntropy(y, new Uint8Array(y.length / (classes ?? 3)), dy, { classes });
});

test('the losses of the module and of the layer are the same, for parts and for vectors', () => {
  const [outputs, tokens] = [3, 4];
  const layer = layerOf([outputs, tokens]);
  const labels = [2, 0, 1, 1];
  const targets = new Rng(8).floats(12);
  layer.forward(undefined, new Rng(2).floats(20));
  const vectors = [lowrank.array(12), lowrank.array(12)];
  vectors[0].view.set(layer.y);
  for (const [own, free, other, option] of [
    [() => layer.softmaxCrossEntropy(labels), (y, dy, more) => lowrank.softmaxCrossEntropy(y, labels, dy, more), { classes: 3 }, 'classes'],
    [() => layer.meanSquaredError(targets), (y, dy, more) => lowrank.meanSquaredError(y, targets, dy, more), { tokens: 4 }, 'tokens'],
  ]) {
    const first = [own(), layer.dy.slice()];
    layer.dy.fill(9);
    assert.deepEqual([free(layer.y, layer.dy), layer.dy.slice()], first);
    assert.deepEqual([free(layer.y, layer.dy, other), layer.dy.slice()], first);
    refused(() => free(vectors[0], vectors[1]), 'Missing', option);
    refused(() => free(vectors[0], vectors[1], { [option]: 5 }), 'Length', option === 'classes' ? 'logits' : 'prediction');
    assert.ok(vectors[1].view.every((value) => value === 0));
    assert.deepEqual([free(vectors[0], vectors[1], other), vectors[1].view.slice()], first);
    vectors[1].view.fill(0);
  }
  const mean = lowrank.meanLoss(4);
  const [half, whole] = [[0, 2].map((i) => lowrank.softmaxCrossEntropy(
    layer.y.subarray(3 * i, 3 * i + 6), labels.slice(i, i + 2), layer.dy.subarray(3 * i, 3 * i + 6), { mean },
  )).at(-1), lowrank.softmaxCrossEntropy(vectors[0], labels, vectors[1], { classes: 3 })];
  assert.deepEqual([half, layer.dy], [whole, vectors[1].view]);
  assert.deepEqual([mean.seen, mean.tokens, Math.fround(mean.sum / 4)], [4, 4, whole]);
});

test('micro-batches of a layer have the bits of the batch', () => {
  const [x, labels] = [new Rng(5).floats(35), [0, 2, 1, 1, 0, 2, 2]];
  const whole = layerOf([3, 7]);
  whole.forward(7, x);
  const loss = whole.softmaxCrossEntropy(labels);
  whole.backward();
  const parts = layerOf([3, 4]);
  const mean = lowrank.meanLoss(7);
  let last;
  [[0, 4], [4, 7]].forEach(([from, to], i) => {
    parts.forward(to - from, x.subarray(from * 5, to * 5));
    last = parts.softmaxCrossEntropy(labels.slice(from, to), mean);
    parts.backward(undefined, { accumulate: i > 0 });
  });
  assert.deepEqual([last, parts.da, parts.db], [loss, whole.da, whole.db]);
});

/** Splits of 7 tokens; an empty part is one, too. */
const SPLITS = [[7], [4, 3], [1, 6], [2, 2, 3], [0, 7], [3, 0, 4], [1, 1, 1, 1, 1, 1, 1]];

test('micro-batches that all accumulate have the bits of the batch, step after step, and after a reset or another adapter', () => {
  for (const optimizer of ['adamw', 'momentum', 'sgd']) {
    for (const more of [{}, { trainBias: true }, { dropout: { probability: 0.25 } }]) {
      const steps = (sizes, accumulate) => {
        const layer = layerOf([3, 7], { optimizer, ...more });
        const seen = [];
        for (let step = 0; step < 8; step++) {
          const [x, labels] = [new Rng(step).floats(35), [0, 2, 1, 1, 0, 2, 2]];
          const mean = lowrank.meanLoss(7);
          let from = 0;
          for (const size of sizes) {
            layer.forward(size, x.subarray(from * 5, (from + size) * 5));
            layer.softmaxCrossEntropy(labels.slice(from, from + size), mean);
            layer.backward(undefined, { accumulate });
            from += size;
          }
          if (step === 4) layer.init();
          else if (step === 6) layer.resume(layer.entry());
          else layer.step({ learningRate: 0.1 });
          seen.push([mean.value, layer.entry()]);
        }
        layer.free();
        return seen;
      };
      const whole = steps([7], false);
      for (const split of SPLITS) assert.deepEqual(steps(split, true), whole, `${optimizer}, ${JSON.stringify(more)}, ${split}`);
    }
  }
});

test('what comes before what: no forward, no backward, no step', () => {
  const x = new Rng(2).floats(20);
  const losses = {
    'its softmaxCrossEntropy': (layer) => layer.softmaxCrossEntropy([0, 1, 2, 0]),
    'its meanSquaredError': (layer) => layer.meanSquaredError(new Float32Array(12)),
    backward: (layer) => layer.backward(),
  };
  const free = {
    softmaxCrossEntropy: [(layer) => lowrank.softmaxCrossEntropy(layer.y, [0, 1, 2, 0], layer.dy), 'logits'],
    meanSquaredError: [(layer) => lowrank.meanSquaredError(layer.y, new Float32Array(12), layer.dy), 'prediction'],
  };
  const fresh = {
    'a new layer': (layer) => layer,
    'after init': (layer) => layer.init(),
    'after resume': (layer) => layer.resume(layer.entry()),
    'after another dropout': (layer) => { layer.dropout = 0.25; },
    'after the same dropout': (layer) => { layer.dropout = 0; },
  };
  for (const [when, act] of Object.entries(fresh)) {
    const layer = layerOf([3, 4]);
    if (when !== 'a new layer') layer.forward(4, x);
    act(layer);
    for (const call of Object.values(losses)) refused(() => call(layer), 'NoForward', 'forward');
    for (const [call, name] of Object.values(free)) refused(() => call(layer), 'NoForward', name);
    layer.forward(4, x);
    for (const call of Object.values(losses)) call(layer);
  }
});

test('a step needs a gradient that no step has used', () => {
  const x = new Rng(2).floats(20);
  for (const optimizer of ['adamw', 'momentum', 'sgd']) {
    const layer = layerOf([3, 4], { optimizer });
    const state = () => [layer.entry(), layer.steps];
    const no = (call) => {
      const before = state();
      refused(call, 'NoBackward', 'backward');
      assert.deepEqual(state(), before);
    };
    no(() => layer.step());
    no(() => lowrank.clip([layer], 1));
    const pass = () => {
      layer.forward(4, x);
      layer.softmaxCrossEntropy([0, 1, 2, 0]);
      layer.backward();
    };
    layer.forward(4, x);
    no(() => layer.step());
    pass();
    layer.forward(2);
    assert.ok(lowrank.clip([layer], 1) > 0);
    layer.step();
    assert.equal(layer.steps, 1);
    no(() => layer.step());
    no(() => lowrank.clip([layer], 1));
    for (const act of [() => layer.init(), () => layer.resume(layer.entry())]) {
      pass();
      act();
      no(() => layer.step());
    }
  }
});

test('a gradient that the caller writes needs no backward pass', () => {
  for (const name of ['da', 'db', 'dbias']) {
    const layer = layerOf([3, 4], { optimizer: 'sgd', trainBias: true });
    const before = layer.entry();
    layer[name].fill(1);
    layer.step({ learningRate: 0.5 });
    const part = { da: 'a', db: 'b', dbias: 'bias' }[name];
    assert.deepEqual(layer.entry()[part], before[part].map((value) => value - 0.5));
  }
});

test('a reset, and another adapter, leave no gradient behind', () => {
  for (const act of [(layer) => layer.init(), (layer) => layer.resume(layer.entry())]) {
    const layer = layerOf([3, 4], { trainBias: true });
    layer.forward();
    layer.dy.fill(1);
    layer.backward();
    act(layer);
    for (const name of ['da', 'db', 'dbias']) assert.ok(layer[name].every((value) => value === 0), name);
  }
});

test('a reset layer is a new one, in all that it holds', () => {
  for (const optimizer of OPTIMIZERS) {
    const more = { optimizer, trainBias: optimizer !== 'in-place', bias: new Rng(9).floats(3) };
    const [layer, fresh] = [layerOf([3, 4], more), layerOf([3, 4], more)];
    layer.forward(4, new Rng(2).floats(20));
    layer.softmaxCrossEntropy([0, 1, 2, 0]);
    if (!['in-place', 'inference'].includes(optimizer)) layer.backward();
    if (optimizer !== 'inference') layer.step({ learningRate: 0.1 });
    layer.init();
    fresh.init();
    assert.deepEqual(layer.entry(), fresh.entry(), optimizer);
  }
});

test('clip takes each layer of its module once', () => {
  const graded = (more = {}, from = lowrank) => {
    const layer = from.layer({ inputs: 5, outputs: 3, rank: 2, tokens: 4, weights: new Rng(1).floats(15), ...more });
    layer.forward(4, new Rng(2).floats(20));
    layer.dy.fill(1);
    if (!['in-place', 'inference'].includes(more.optimizer)) layer.backward();
    return layer;
  };
  const [layer, other] = [graded(), graded({ seed: 2 })];
  const before = [layer.db.slice(), other.db.slice()];
  for (const [layers, code, argument] of [
    [[layer, layer], 'Unexpected', 'layers'], [[layer, graded({}, small)], 'Foreign', 'layers'], [layer, 'Type', 'layers'],
    [undefined, 'Type', 'layers'], [[layer, undefined], 'Type', 'layers'], [[layer, {}], 'Type', 'layers'],
    [[layer, graded({ optimizer: 'in-place' })], 'Unexpected', 'layers'], [[layer, graded({ optimizer: 'inference' })], 'Unexpected', 'layers'],
  ]) refused(() => lowrank.clip(layers, 1e-3), code, argument);
  for (const [norm, code] of [[NaN, 'Range'], [-1, 'Range'], ['1', 'Type'], [null, 'Type'], [undefined, 'Type']]) {
    refused(() => lowrank.clip([layer], norm), code, 'maxNorm');
    refused(() => lowrank.clip([], norm), code, 'maxNorm');
  }
  assert.deepEqual([layer.db, other.db], before);
  assert.equal(lowrank.clip([], 1), 0);
  const squares = (each) => [...each.da, ...each.db].reduce((sum, value) => sum + value * value, 0);
  const norm = Math.sqrt(squares(layer) + squares(other));
  assert.ok(Math.abs(lowrank.clip([layer, other], norm / 2) - norm) < 1e-4 * norm);
  assert.ok(Math.abs(Math.sqrt(squares(layer) + squares(other)) - norm / 2) < 1e-3 * norm);
});

test('layers without inputs, outputs, rank or tokens work as far as they go', () => {
  for (const zero of ['inputs', 'outputs', 'rank', 'tokens']) {
    const shape = { inputs: 5, outputs: 3, rank: 2, tokens: 4, [zero]: 0 };
    const layer = lowrank.layer({ ...shape, weights: new Rng(1).floats(shape.inputs * shape.outputs), inputGrads: true });
    assert.equal(layer.forward().length, shape.tokens * shape.outputs);
    // The mean of no elements is 0; others miss their targets by 2, as x is 0.
    const loss = layer.meanSquaredError(new Float32Array(shape.tokens * shape.outputs).fill(2));
    assert.equal(loss, shape.tokens * shape.outputs === 0 ? 0 : 4, zero);
    assert.equal(layer.dx.length, shape.tokens * shape.inputs);
    layer.free();
  }
});
