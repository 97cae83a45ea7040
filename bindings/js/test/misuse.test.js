// Every wrong use gives a typed error with the argument's name, and changes nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LowrankError, create } from 'lowrank';
import { bytes } from 'lowrank/wasm';
import { Rng, refused, rejected } from './support.js';

const lowrank = await create({ module: bytes('full-simd128') });
const small = await create();
const options = { inputs: 5, outputs: 3, rank: 2, tokens: 4, weights: new Rng(1).floats(15) };

/** A layer after a step, and a check that nothing of it has changed. */
function world(more = {}) {
  const layer = lowrank.layer({ ...options, inputGrads: true, ...more });
  layer.forward(undefined, new Rng(2).floats(20));
  layer.dy.set(new Rng(3).floats(12));
  const names = ['x', 'y', 'dy', 'dx', 'a', 'b', 'da', 'db', 'weights'];
  const state = () => [names.map((name) => layer[name].slice()), layer.toAdapter(), layer.dropout];
  const before = state();
  return { layer, same: () => assert.deepEqual(state(), before) };
}

/** Calls that are refused: what they do, code, argument. */
const CASES = {
  'sizes that are none': ['inputs', 'outputs', 'rank', 'tokens'].flatMap((name) =>
    [-1, 1.5, NaN, Infinity, '4', null, undefined, 2 ** 29].map((value) => [() => lowrank.layer({ ...options, [name]: value }), 'Range', name])),
  options: [
    [() => lowrank.layer(null), 'Type', 'options'],
    [() => lowrank.layer({ ...options, optimiser: 'sgd' }), 'Unknown', 'optimiser'],
    [() => lowrank.layer({ ...options, weights: [1, 2] }), 'Type', 'weights'],
    [() => lowrank.layer({ ...options, weights: undefined }), 'Type', 'weights'],
    [() => lowrank.layer({ ...options, weights: new Float64Array(15) }), 'Type', 'weights'],
    [() => lowrank.layer({ ...options, weights: new Float32Array(14) }), 'Length', 'weights'],
    [() => lowrank.layer({ ...options, bias: new Float32Array(4) }), 'Length', 'bias'],
    [() => lowrank.layer({ ...options, alpha: '8' }), 'Type', 'alpha'],
    [() => lowrank.layer({ ...options, alpha: NaN }), 'Range', 'alpha'],
    [() => lowrank.layer({ ...options, scale: Infinity }), 'Range', 'scale'],
    [() => lowrank.layer({ ...options, optimizer: 'adam' }), 'Unknown', 'optimizer'],
    [() => lowrank.layer({ ...options, optimizer: 'toString' }), 'Unknown', 'optimizer'],
    [() => lowrank.layer({ ...options, arithmetic: 'Fused' }), 'Unsupported', 'arithmetic'],
    [() => small.layer({ ...options, arithmetic: 'fused' }), 'Unsupported', 'arithmetic'],
    [() => small.layer({ ...options, optimizer: 'in-place' }), 'Unsupported', 'optimizer'],
    [() => small.layer({ ...options, dropout: { rate: 0.5 } }), 'Unsupported', 'dropout.rate'],
    [() => small.layer({ ...options, packed: true }), 'Unsupported', 'packed'],
    [() => small.selftest(), 'Unsupported', 'selftest'],
    [() => lowrank.layer({ ...options, seed: -1 }), 'Range', 'seed'],
    [() => lowrank.layer({ ...options, seed: 2 ** 53 }), 'Range', 'seed'],
    [() => lowrank.layer({ ...options, stream: 2 ** 30 }), 'Range', 'stream'],
    [() => lowrank.layer({ ...options, dropout: { rate: 1 } }), 'Range', 'dropout.rate'],
    [() => lowrank.layer({ ...options, dropout: { rate: NaN } }), 'Range', 'dropout.rate'],
    [() => lowrank.layer({ ...options, dropout: { p: 0.5 } }), 'Unknown', 'p'],
    [() => lowrank.layer({ ...options, dropout: 0.5 }), 'Type', 'dropout'],
    [() => lowrank.layer({ ...options, x: new Float32Array(20) }), 'Foreign', 'x'],
    [() => lowrank.layer({ ...options, x: [1] }), 'Type', 'x'],
    [() => lowrank.layer({ ...options, x: lowrank.array(19) }), 'Length', 'x'],
    [() => lowrank.layer({ ...options, inputs: 2 ** 20, weights: new Float32Array(3 << 20), tokens: 2 ** 14 }), 'Overflow', 'options'],
  ],
  arrays: [
    [() => lowrank.array(-1), 'Range', 'length'],
    [() => lowrank.array(1.5), 'Range', 'length'],
    [() => lowrank.array(), 'Range', 'length'],
  ],
};

for (const [name, calls] of Object.entries(CASES)) {
  test(name, () => {
    assert.ok(calls.length > 0);
    for (const [call, code, argument] of calls) refused(call, code, argument);
  });
}

test('forward', () => {
  const { layer, same } = world();
  for (const [tokens, x, code, argument] of [
    [5, undefined, 'TooMany', 'tokens'], [-1, undefined, 'Range', 'tokens'], [1.5, undefined, 'Range', 'tokens'],
    [NaN, undefined, 'Range', 'tokens'], ['2', undefined, 'Range', 'tokens'], [2, new Float32Array(9), 'Length', 'x'],
    [undefined, new Float32Array(9), 'Length', 'x'], [undefined, new Float32Array(25), 'TooMany', 'tokens'],
    [undefined, [1, 2, 3, 4, 5], 'Type', 'x'], [1, new Float64Array(5), 'Type', 'x'],
  ]) refused(() => layer.forward(tokens, x), code, argument);
  same();
});

test('backward', () => {
  const { layer, same } = world();
  for (const [tokens, more, code, argument] of [
    [3, undefined, 'Rows', 'dy'], [5, undefined, 'TooMany', 'tokens'], [0.5, undefined, 'Range', 'tokens'],
    [undefined, { accumulated: true }, 'Unknown', 'accumulated'], [undefined, { dy: new Float32Array(11) }, 'Length', 'dy'],
    [undefined, { dy: [1] }, 'Type', 'dy'], [undefined, null, 'Type', 'options'],
  ]) refused(() => layer.backward(tokens, more), code, argument);
  assert.throws(() => layer.backward(0), { message: 'dy: expected 4 rows, got 0' });
  same();
  refused(() => lowrank.layer(options).backward(), 'NoForward', 'forward');
  refused(() => world({ optimizer: 'in-place' }).layer.backward(), 'Unexpected', 'optimizer');
});

test('an adapter that can never learn', () => {
  const { layer } = world();
  layer.a.fill(0);
  layer.forward();
  refused(() => layer.backward(), 'DeadAdapter', 'adapter');
});

test('step', () => {
  const { layer, same } = world();
  for (const [settings, code, argument] of [
    [{ lr: 1 }, 'Unknown', 'lr'], [{ momentum: 0.9 }, 'Unknown', 'momentum'], [null, 'Type', 'options'],
    [{ learningRate: '1' }, 'Type', 'learningRate'], [{ learningRate: NaN }, 'Range', 'learningRate'],
    [{ learningRate: -1 }, 'Range', 'learningRate'], [{ epsilon: 0 }, 'Range', 'epsilon'],
    [{ beta1: 1 }, 'Range', 'beta1, beta2 or momentum'], [{ weightDecay: Infinity }, 'Range', 'weightDecay'],
  ]) refused(() => layer.step(settings), code, argument);
  same();
  layer.backward();
  layer.da[3] = NaN;
  refused(() => layer.step(), 'NonFinite', 'da');
  assert.equal(layer.steps, 0);
  refused(() => world({ optimizer: 'sgd' }).layer.step({ beta1: 0.9 }), 'Unknown', 'beta1');
  refused(() => world({ optimizer: 'none' }).layer.step(), 'Unexpected', 'step');
  refused(() => world({ optimizer: 'in-place' }).layer.step({ maxNorm: -1 }), 'Range', 'maxNorm');
  refused(() => world({ optimizer: 'in-place' }).layer.step({ tokens: 3 }), 'Rows', 'dy');
  refused(() => lowrank.clip([layer], NaN), 'Range', 'maxNorm');
  refused(() => lowrank.clip([layer], 1), 'NonFinite', 'gradNorm');
});

test('losses', () => {
  const { layer, same } = world();
  const { y, dy } = layer;
  for (const [call, code, argument] of [
    [() => lowrank.softmaxCrossEntropy(y, [0, 1, 2, 0, 1], dy), 'Length', 'labels'],
    [() => lowrank.softmaxCrossEntropy(y, [0, 1, 2, 3], dy), 'Label', 'labels'],
    [() => lowrank.softmaxCrossEntropy(y, [0, 1, 2, -1], dy), 'Label', 'labels'],
    [() => lowrank.softmaxCrossEntropy(y, [0, 1, 2, 0.5], dy), 'Label', 'labels'],
    [() => lowrank.softmaxCrossEntropy(y, undefined, dy), 'Type', 'labels'],
    [() => lowrank.softmaxCrossEntropy(new Float32Array(12), [0, 1, 2, 0], dy), 'Foreign', 'logits'],
    [() => lowrank.softmaxCrossEntropy(y, [0, 1, 2, 0], new Float32Array(12)), 'Foreign', 'dlogits'],
    [() => lowrank.softmaxCrossEntropy(y, [0, 1, 2, 0], dy.subarray(3)), 'Length', 'dlogits'],
    [() => lowrank.softmaxCrossEntropy(y, [0, 1, 2, 0], y), 'Overlap', 'logits'],
    [() => lowrank.softmaxCrossEntropy([1], [0], dy), 'Type', 'logits'],
    [() => lowrank.softmaxCrossEntropy(y, [0, 1, 2, 0], dy, { mean: lowrank.meanLoss(3) }), 'TooMany', 'tokens'],
    [() => lowrank.meanLoss(-1), 'Range', 'tokens'],
    [() => lowrank.meanSquaredError(y, new Float32Array(11), dy, { tokens: 4 }), 'Length', 'targets'],
    [() => lowrank.meanSquaredError(y, [1], dy, { tokens: 4 }), 'Type', 'targets'],
    [() => lowrank.meanSquaredError(y, new Float32Array(12).fill(NaN), dy, { tokens: 4 }), 'NonFinite', 'targets'],
    [() => lowrank.meanSquaredError(y, new Float32Array(12), dy, { tokens: 5 }), 'Cols', 'tokens'],
  ]) refused(call, code, argument);
  same();
  const mean = lowrank.meanLoss(4);
  const halves = [0, 6].map((from) => lowrank.softmaxCrossEntropy(y.subarray(from, from + 6), [0, 1], dy.subarray(from, from + 6), { mean }));
  assert.deepEqual([mean.seen, halves[1]], [4, lowrank.softmaxCrossEntropy(y, [0, 1, 0, 1], dy)]);
  refused(() => lowrank.softmaxCrossEntropy(y.subarray(0, 3), [0], dy.subarray(0, 3), { mean }), 'TooMany', 'tokens');
  y[2] = NaN;
  refused(() => lowrank.softmaxCrossEntropy(y, [0, 1, 2, 0], dy), 'NonFinite', 'logits');
});

test('shuffle', () => {
  const items = Uint16Array.of(1, 2, 3);
  refused(() => lowrank.shuffle([1, 2, 3]), 'Type', 'items');
  refused(() => lowrank.shuffle(items, { stream: -1 }), 'Range', 'stream');
  refused(() => lowrank.shuffle(items, { step: 2 ** 32 }), 'Range', 'step');
  refused(() => lowrank.shuffle(items, { seed: 0.5 }), 'Range', 'seed');
  refused(() => lowrank.shuffle(items, { sed: 1 }), 'Unknown', 'sed');
  assert.deepEqual(items, Uint16Array.of(1, 2, 3));
});

test('what was freed', () => {
  const { layer } = world();
  const vector = lowrank.array(12);
  vector.free();
  vector.free();
  refused(() => vector.view, 'Freed', 'vector');
  layer.free();
  layer.free();
  for (const name of ['x', 'y', 'dy', 'dx', 'weights', 'bias', 'a', 'b', 'da', 'db', 'dbias', 'steps', 'dropout', 'address']) {
    refused(() => layer[name], 'Freed', 'layer');
  }
  for (const call of ['forward', 'backward', 'step', 'merge', 'reset', 'toAdapter']) refused(() => layer[call](), 'Freed', 'layer');
});

test('create', async () => {
  await rejected(create({ simd: 'yes' }), 'Unknown', 'simd');
  await rejected(create({ module: new Uint8Array(8) }), 'Format', 'module');
  await rejected(create({ module: 'module.wasm' }), 'Type', 'module');
  await rejected(create({ module: Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0) }), 'Format', 'module');
  await rejected(create({ module: new Response('not here', { status: 404 }) }), 'Format', 'module');
  await rejected(bytes('tiny'), 'Unknown', 'name');
  const of = async (module) => (await create({ module })).flavour;
  assert.equal(await of(bytes('small-scalar')), 'scalar');
  assert.equal(await of(WebAssembly.compile(await bytes('full-simd128'))), 'simd128');
  assert.equal(await of(new Response(await bytes('small-simd128'))), 'simd128');
});

test('an error says what was expected and what came', () => {
  const error = new LowrankError('Length', 'x', { expected: 4, got: 5 });
  assert.equal(error.message, 'x: expected 4 elements, got 5');
  assert.deepEqual([error.name, error.code, error.argument, error.expected, error.got], ['LowrankError', 'Length', 'x', 4, 5]);
  const { layer } = world();
  for (const [act, message] of [
    [() => layer.forward(5), /^tokens: expected (at most 4|an integer from 0 to 4), got 5$/],
    [() => lowrank.layer({ ...options, inputs: -1 }), /^inputs: expected an integer from \d to \d+, got -1$/],
    [() => layer.step({ learningRate: -1 }), /^learningRate: expected at least 0, got -1$/],
    [() => layer.step({ learningRate: 0.1, beta1: 1 }), /^beta1.*: expected 0 to 0\.99\d+, got 1$/],
    [() => lowrank.layer(options).backward(), /^forward: no forward pass of this batch came before$/],
    [() => (layer.free(), layer.forward()), /^layer: used after it was freed$/],
  ]) assert.throws(act, { name: 'LowrankError', message }, String(message));
});
