// The golden hashes of the project (tests/golden_hashes.txt, tests/promises/support/golden.rs) through the package, in every module.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MODULES, Rng, hash, hostile, read, refused } from './support.js';

const lines = new TextDecoder().decode(await read('tests/golden_hashes.txt')).split('\n');
const GOLDEN = new Map(lines.filter((line) => line && !line.startsWith('#')).map((line) => [line.slice(17), line.slice(0, 16)]));

const SIZES = [
  [1, 1, 1, 1], [3, 5, 2, 4], [12, 20, 0, 3], [8, 8, 8, 8], [16, 16, 4, 1], [17, 33, 5, 7], [48, 64, 8, 2], [64, 48, 4, 5],
  [100, 7, 3, 9], [7, 100, 16, 2], [31, 29, 17, 13], [300, 12, 2, 18],
];

/** A layer with all of its inputs. */
function data([inputs, outputs, rank, tokens], value) {
  const rng = new Rng(7 + inputs * 1000 + outputs);
  const random = (length) => rng.floats(length, value);
  const weights = random(outputs * inputs);
  const bias = rng.below(4) > 0 ? random(outputs) : undefined;
  const [a, b] = [random(rank * inputs), random(outputs * rank)];
  return { options: { inputs, outputs, rank, tokens, weights, bias, alpha: 3, rankStabilized: true }, a, b, x: random(tokens * inputs), dy: random(tokens * outputs) };
}

/** What is in the outputs before. */
function old([inputs, outputs, rank, tokens]) {
  const rng = new Rng(2);
  const lengths = { y: tokens * outputs, da: rank * inputs, db: outputs * rank, dbias: outputs, dx: tokens * inputs };
  return Object.fromEntries(Object.entries(lengths).map(([name, length]) => [name, rng.floats(length)]));
}

function passes(lowrank, size, { options, a, b, x, dy }, arithmetic, check, packed = false) {
  const layer = lowrank.layer({ ...options, arithmetic, packed, inputGrads: true });
  const biased = lowrank.layer({ ...options, arithmetic, trainBias: true });
  const before = old(size);
  for (const each of [layer, biased]) {
    each.a.set(a);
    each.b.set(b);
    each.dy.set(dy);
    each.forward(undefined, x);
  }
  check('y', [layer.y]);
  layer.backward();
  biased.backward();
  for (const name of ['da', 'db', 'dx']) check(name, [layer[name]]);
  check('dbias', [biased.dbias]);
  for (const name of ['da', 'db', 'dbias']) biased[name].set(before[name]);
  biased.backward(undefined, { accumulate: true });
  check('accumulated', [biased.da, biased.db, biased.dbias]);
  check('merge', [layer.merge()]);
  biased.bias.set(before.dbias);
  check('trained-bias', [biased.forward()]);
  layer.free();
  biased.free();
}

const RUNS = [
  ['sgd', 'sgd', { learningRate: 0.1 }],
  ['sgd-momentum', 'momentum', { learningRate: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 }],
  ['adamw', 'adamw', { learningRate: 0.05, bRate: 4 }],
  ['in-place', 'in-place', { learningRate: 0.1 }],
  ['in-place-clip', 'in-place', { maxNorm: 0.5 }],
];

function training(lowrank, { options, x, dy }, arithmetic, check) {
  for (const [name, optimizer, settings] of RUNS) {
    if (optimizer === 'in-place' && !lowrank.arithmetics.includes('fused')) {
      refused(() => lowrank.layer({ ...options, optimizer }), 'Unsupported', 'optimizer');
      continue;
    }
    const layer = lowrank.layer({ ...options, arithmetic, optimizer, seed: 99, layerNumber: 3 });
    layer.dy.set(dy);
    for (let step = 0; step < 4; step++) {
      layer.forward(undefined, x);
      if (optimizer !== 'in-place') {
        layer.backward();
        lowrank.clip([layer], 2);
      }
      layer.step(settings);
    }
    check(name, [layer.a, layer.b, layer.da, layer.db, ...layer.entry().training.moments, layer.y]);
    layer.free();
  }
}

function losses(lowrank, [inputs, outputs, rank, tokens], { dy }, value, check) {
  const rng = new Rng(tokens);
  const logits = lowrank.array(tokens * outputs);
  const clamped = rng.floats(tokens * outputs, value).map((z) => Math.fround(Math.min(Math.max(z, -30), 30) * 4));
  logits.view.set(clamped);
  const labels = Uint32Array.from({ length: tokens }, () => rng.below(outputs));
  const grad = lowrank.array(tokens * outputs);
  let mean = lowrank.softmaxCrossEntropy(logits, labels, grad, { classes: outputs, mean: lowrank.meanLoss(tokens + 1) });
  check('cross-entropy', [grad.view, [mean]]);
  mean = lowrank.meanSquaredError(logits, dy, grad, { tokens, mean: lowrank.meanLoss(tokens + 1) });
  check('squared-error', [grad.view, [mean]]);
  logits.free();
  grad.free();
}

function initialisation(lowrank, { options }, check) {
  const layer = lowrank.layer({ ...options, seed: 42, layerNumber: 7 });
  check('kaiming', [layer.a, layer.b]);
  layer.free();
}

for (const [name, load] of Object.entries(MODULES)) {
  test(`${name}: the golden hashes`, async () => {
    const lowrank = await load();
    let checked = 0;
    const checker = (arithmetic, size) => (operation, parts) => {
      const key = `${operation} ${arithmetic} ${size}`;
      assert.equal(hash(parts), GOLDEN.get(key), key);
      checked++;
    };
    SIZES.forEach((size, i) => {
      const [inputs, outputs, rank, tokens] = size;
      const text = `${inputs}x${outputs}r${rank}n${tokens}`;
      const finite = data(size);
      for (const arithmetic of lowrank.arithmetics) {
        passes(lowrank, size, finite, arithmetic, checker(arithmetic, text));
        if (lowrank.arithmetics.includes('fused')) passes(lowrank, size, finite, arithmetic, checker(arithmetic, text), true);
        training(lowrank, finite, arithmetic, checker(arithmetic, text));
        const wild = data(size, hostile);
        const alive = [...wild.a, ...wild.b].some((value) => value !== 0) || rank === 0;
        if (alive) passes(lowrank, size, wild, arithmetic, checker(arithmetic, `${text}-hostile`));
      }
      initialisation(lowrank, finite, checker('-', text));
      losses(lowrank, size, finite, i % 2 === 0 ? undefined : hostile, checker('-', text));
    });
    assert.ok(checked >= 200, `${checked} hashes`);
    if (lowrank.arithmetics.includes('fused')) lowrank.selftest();
    const words = lowrank.shuffle(Float32Array.from({ length: 1000 }, (_, i) => i), { seed: (2n ** 64n - 1n) / 3n, stream: 5, step: 6 });
    assert.equal(hash([words]), GOLDEN.get('shuffle - -'));
  });
}
