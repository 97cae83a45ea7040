// Arrays count by their elements, wherever their memory is and whatever their class makes of itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { create } from 'lowrank';
import { bytes } from 'lowrank/wasm';
import { Rng, refused } from './support.js';

const lowrank = await create({ module: bytes('full-simd128') });
const KINDS = [
  Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array,
  BigUint64Array,
];

/** A class that does everything differently. */
function lying(Kind) {
  return class extends Kind {
    static get [Symbol.species]() { return Array; }
    slice() { return this; }
    subarray() { return this; }
    set() { throw new Error('set'); }
    get length() { return 1; }
    get buffer() { return new ArrayBuffer(8); }
    get byteOffset() { return 0; }
    get [Symbol.toStringTag]() { return 'Array'; }
    [Symbol.iterator]() { return [][Symbol.iterator](); }
  };
}

/** Arrays with the same elements as a plain one. */
const CARRIERS = {
  'of its own buffer': (plain) => new plain.constructor(plain),
  'a part of a larger buffer': (plain) => {
    const whole = new plain.constructor(plain.length + 9);
    whole.set(plain, 4);
    return whole.subarray(4, 4 + plain.length);
  },
  shared: (plain) => {
    const shared = new plain.constructor(new SharedArrayBuffer(plain.byteLength));
    shared.set(plain);
    return shared;
  },
  'of a buffer that can be resized, whose length it follows': (plain) => {
    const tracking = new plain.constructor(new ArrayBuffer(plain.byteLength, { maxByteLength: 2 * plain.byteLength + 8 }));
    tracking.set(plain);
    return tracking;
  },
  'of another realm': (plain) => runInNewContext(`new ${plain.constructor.name}(length)`, { length: plain.length }),
  'of a class that lies': (plain) => new (lying(plain.constructor))(plain.length),
  'in the memory of the module': (plain) => {
    const { view } = lowrank.array(Math.ceil(plain.byteLength / 4) + 2);
    return new plain.constructor(view.buffer, Math.ceil(view.byteOffset / 8) * 8, plain.length);
  },
};

/** A carrier with the elements; written where the class does not stand in the way. */
function carry(carrier, plain) {
  const made = CARRIERS[carrier](plain);
  const { set } = Object.getPrototypeOf(Uint8Array.prototype);
  set.call(made, plain);
  return made;
}

/** The elements, past the class. */
const elements = (array) => {
  const { get } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), 'length');
  return Array.from({ length: get.call(array) }, (_, i) => array[i]);
};

for (const carrier of Object.keys(CARRIERS)) {
  test(`shuffle of arrays ${carrier}`, () => {
    for (const Kind of KINDS) {
      for (const length of [0, 1, 2, 20, 257, 3000]) {
        const plain = Kind.from({ length }, (_, i) => (Kind.name.startsWith('Big') ? BigInt(i) : i));
        const right = lowrank.shuffle(Uint32Array.from({ length }, (_, i) => i), { seed: 9, stream: 3, step: 1 });
        const items = carry(carrier, plain);
        assert.equal(lowrank.shuffle(items, { seed: 9, stream: 3, step: 1 }), items);
        assert.deepEqual(elements(items), elements(right).map((i) => plain[i]), `${Kind.name} of ${length}`);
      }
    }
  });
}

test('shuffle of Buffers, also of those in the pool, and nothing beside them', () => {
  for (const length of [1, 20, 300, 9000]) {
    const source = Array.from({ length }, (_, i) => i % 251);
    const [before, buffer, behind] = [Buffer.from('before'), Buffer.from(source), Buffer.from('behind')];
    const right = lowrank.shuffle(Uint8Array.from(source), { seed: 1 });
    assert.deepEqual([...lowrank.shuffle(buffer, { seed: 1 })], [...right]);
    assert.deepEqual([...buffer].sort(), [...source].sort());
    assert.deepEqual([`${before}`, `${behind}`], ['before', 'behind']);
  }
});

test('shuffle moves bits, also those of a NaN', () => {
  const bits = Uint32Array.from({ length: 64 }, (_, i) => 0x7f800001 + i * 0x10001);
  const order = lowrank.shuffle(Uint32Array.from(bits), { seed: 2 });
  assert.deepEqual(new Uint32Array(lowrank.shuffle(new Float32Array(bits.slice().buffer), { seed: 2 }).buffer), order);
});

const SHAPE = { inputs: 5, outputs: 3, rank: 2, tokens: 4, seed: 3, layerNumber: 0 };
const NUMBERS = {
  weights: new Rng(1).floats(15), bias: new Rng(2).floats(3), x: new Rng(3).floats(20), dy: new Rng(4).floats(12), targets: new Rng(5).floats(12),
  a: new Rng(6).floats(10), b: new Rng(7).floats(6),
};
const LABELS = [2, 0, 1, 1];

/** Everything that takes numbers, with those that `carried` makes of plain ones. */
function everything(carried) {
  const given = Object.fromEntries(Object.entries(NUMBERS).map(([name, plain]) => [name, carried(plain)]));
  const layer = lowrank.layer({ ...SHAPE, weights: given.weights, bias: given.bias, trainBias: true });
  const adapter = { ...layer.entry(), a: given.a, b: given.b, bias: given.bias };
  adapter.training.moments = adapter.training.moments.map((moment) => carried(moment.fill(0.25)));
  layer.resume(adapter);
  const results = [layer.forward(undefined, given.x).slice(), layer.meanSquaredError(given.targets), layer.dy.slice()];
  results.push(layer.softmaxCrossEntropy(carried(Uint32Array.from(LABELS))), layer.dy.slice());
  layer.backward(undefined, { dy: given.dy });
  results.push(layer.da.slice(), layer.db.slice());
  layer.step();
  results.push(layer.entry(), layer.weights.slice());
  layer.free();
  return results;
}

for (const carrier of Object.keys(CARRIERS)) {
  test(`numbers in arrays ${carrier}`, () => {
    assert.deepEqual(everything((plain) => carry(carrier, plain)), everything((plain) => plain.slice()));
  });
}

test('labels are numbers in any array', () => {
  const layer = lowrank.layer({ ...SHAPE, weights: NUMBERS.weights });
  layer.forward(undefined, NUMBERS.x);
  const right = [layer.softmaxCrossEntropy(LABELS), layer.dy.slice()];
  for (const labels of [
    ...KINDS.filter(({ name }) => !name.startsWith('Big')).map((Kind) => Kind.from(LABELS)), { length: 4, ...LABELS }, Buffer.from(LABELS), [2, -0, 1, 1],
  ]) {
    layer.dy.fill(9);
    assert.deepEqual([layer.softmaxCrossEntropy(labels), layer.dy.slice()], right);
  }
  layer.dy.fill(9);
  for (const [labels, code] of [
    [[2, 0, 1, 3], 'Label'], [[2, 0, 1, -1], 'Label'], [[2, 0, 1, 0.5], 'Label'], [[2, 0, 1, NaN], 'Label'], [[2, 0, 1, 2 ** 32 + 1], 'Label'],
    [[2, 0, 1, '1'], 'Label'], [[2, 0, 1, null], 'Label'], [[2, 0, 1, true], 'Label'], [[2, 0, 1, [1]], 'Label'], [[2, 0, 1, Symbol('1')], 'Label'],
    [[2, 0, 1, { valueOf: () => 1 }], 'Label'], [[2, 0, 1,,], 'Label'], [BigInt64Array.of(2n, 0n, 1n, 1n), 'Label'], [[2n, 0n, 1n, 1n], 'Label'],
    [{ length: 4 }, 'Label'], [{ length: 2 ** 40 }, 'Length'], [{ length: 1.5 }, 'Type'],
    ['2011', 'Type'], [2011, 'Type'], [null, 'Type'], [undefined, 'Type'], [() => 1, 'Type'], [new Set(LABELS), 'Type'],
    [new DataView(new ArrayBuffer(4)), 'Type'],
  ]) refused(() => layer.softmaxCrossEntropy(labels), code, 'labels');
  assert.ok(layer.dy.every((value) => value === 9));
});

test('an array whose memory is gone is no array without elements', () => {
  const layer = lowrank.layer({ ...SHAPE, weights: NUMBERS.weights });
  const empty = lowrank.layer({ ...SHAPE, tokens: 0, outputs: 0, weights: new Float32Array() });
  const gone = {
    moved(Kind) {
      const array = new Kind(8);
      structuredClone(array, { transfer: [array.buffer] });
      return array;
    },
    shrunk(Kind) {
      const buffer = new ArrayBuffer(64, { maxByteLength: 64 });
      const array = new Kind(buffer, 32, 2);
      buffer.resize(16);
      return array;
    },
  };
  layer.forward();
  empty.forward();
  const before = layer.entry();
  for (const make of Object.values(gone)) {
    const array = make(Float32Array);
    assert.equal(array.length, 0);
    for (const [call, name] of [
      [() => layer.forward(undefined, array), 'x'], [() => layer.forward(0, array), 'x'], [() => layer.backward(undefined, { dy: array }), 'dy'],
      [() => empty.meanSquaredError(array), 'targets'], [() => empty.softmaxCrossEntropy(make(Uint8Array)), 'labels'],
      [() => lowrank.layer({ ...SHAPE, outputs: 0, weights: array }), 'weights'], [() => lowrank.layer({ ...SHAPE, x: array, weights: NUMBERS.weights }), 'x'],
      [() => lowrank.shuffle(array), 'items'], [() => lowrank.softmaxCrossEntropy(array, [], layer.dy), 'logits'],
      [() => lowrank.softmaxCrossEntropy(layer.y, LABELS, array), 'dlogits'], [() => layer.resume({ ...before, a: array }), 'a'],
    ]) refused(call, 'Detached', name);
  }
  assert.deepEqual(layer.entry(), before);
});

/** The same numbers, the last of which is another one. @param {Float32Array} numbers @param {number} value */
const with1 = (numbers, value) => numbers.map((each, i) => (i === numbers.length - 1 ? value : each));

test('an entry is checked as a whole before anything of it is taken', () => {
  const layer = lowrank.layer({ ...SHAPE, weights: NUMBERS.weights, dropout: { probability: 0.25 } });
  const other = { ...lowrank.layer({ ...SHAPE, weights: NUMBERS.weights, seed: 8, dropout: { probability: 0.5 } }).entry(), name: 'adapter' };
  const before = layer.entry();
  const training = (more) => ({ training: { ...other.training, ...more } });
  const random = (more) => ({ random: { ...other.random, ...more } });
  for (const [change, code, argument] of [
    [{ inputs: 4 }, 'Length', 'inputs'], [{ rank: '2' }, 'Range', 'rank'], [{ a: [] }, 'Type', 'a'], [{ a: new Float32Array(9) }, 'Length', 'a'],
    [{ b: null }, 'Type', 'b'], [{ bias: null }, 'Type', 'bias'], [{ bias: new Float32Array(3) }, 'Missing', 'trainBias'],
    [{ bBias: new Float32Array(3) }, 'Unexpected', 'bBias'], [{ scale: undefined }, 'Type', 'scale'], [{ scale: 2 }, 'Type', 'scale'],
    [{ scale: { mode: 'beta', alpha: 1 } }, 'Unknown', 'scale.mode'], [{ scale: { mode: 'alpha', alpha: '1' } }, 'Type', 'scale.alpha'],
    [{ scale: { mode: 'direct', alpha: NaN } }, 'Range', 'scale'], [{ scale: { mode: 'direct', alpha: 1e39 } }, 'Range', 'scale'],
    [{ random: null }, 'Type', 'random'], [random({ seed: 1.5 }), 'Type', 'random.seed'], [random({ seed: -1n }), 'Range', 'random.seed'],
    [random({ step: -1 }), 'Range', 'random.step'], [random({ layerNumber: null }), 'Range', 'random.layerNumber'],
    [random({ layerNumber: 2 ** 30 }), 'Range', 'random.layerNumber'],
    [random({ dropout: 1 }), 'Range', 'random.dropout'], [random({ dropout: 1 - 1e-9 }), 'Range', 'random.dropout'],
    [random({ dropout: '0' }), 'Type', 'random.dropout'], [{ training: null }, 'Type', 'training'],
    [training({ optimizer: 'adamw' }), 'Range', 'training.optimizer'], [training({ trained: -1 }), 'Range', 'training.trained'],
    [training({ steps: 3 }), 'Type', 'training.steps'], [training({ steps: -1n }), 'Range', 'training.steps'],
    [training({ weights: [1] }), 'Type', 'training.weights'], [training({ weights: [1, '2'] }), 'Type', 'training.weights'],
    [training({ moments: other.training.moments.slice(1) }), 'Type', 'training.moments'],
    [training({ moments: other.training.moments.map(() => []) }), 'Type', 'training.moments'],
    [training({ optimizer: 3 }), 'OtherOptimizer', 'training.optimizer'], [training({ optimizer: 9 }), 'OtherOptimizer', 'training.optimizer'],
    [training({ moments: other.training.moments.map(() => new Float32Array(1)) }), 'Length', 'training.moments'],
    ...[NaN, Infinity, -Infinity].flatMap((value) => [
      [{ a: with1(other.a, value) }, 'NonFinite', 'a'], [{ b: with1(other.b, value) }, 'NonFinite', 'b'],
      [{ bias: new Float32Array(SHAPE.outputs).fill(value) }, 'NonFinite', 'bias'],
      [training({ weights: [0.5, value] }), 'NonFinite', 'training.weights'],
      [training({ moments: other.training.moments.map((moment) => with1(moment, value)) }), 'NonFinite', 'training.moments'],
    ]),
    [{ a: new Float32Array(other.a.length), b: new Float32Array(other.b.length).fill(-0) }, 'DeadAdapter', 'adapter'],
  ]) {
    refused(() => layer.resume({ ...other, ...change }), code, argument);
    refused(() => layer.checkEntry({ ...other, ...change }), code, argument);
  }
  for (const entry of [null, undefined, 5, 'entry']) refused(() => layer.resume(entry), 'Type', 'entry');
  assert.deepEqual(layer.entry(), before);
  layer.resume(other);
  assert.deepEqual(layer.entry(), other);
});

test('an entry without a state begins with the first step, and one with that of another optimizer is refused', () => {
  const trained = (optimizer) => {
    const layer = lowrank.layer({ ...SHAPE, weights: NUMBERS.weights, optimizer });
    layer.forward(undefined, NUMBERS.x);
    layer.backward(undefined, { dy: NUMBERS.dy });
    layer.step();
    return layer;
  };
  const entry = trained('adamw').entry();
  const { training, ...stateless } = entry;
  for (const optimizer of ['adamw', 'momentum']) {
    const layer = trained(optimizer);
    const before = layer.entry();
    assert.ok(before.training.moments.some((moment) => moment.some((value) => value !== 0)));
    if (optimizer !== 'adamw') refused(() => layer.resume(entry), 'OtherOptimizer', 'training.optimizer');
    assert.deepEqual(layer.entry(), before);
    layer.resume(stateless);
    const { steps, weights, moments } = layer.entry().training;
    assert.deepEqual([steps, weights, moments.every((moment) => moment.every((value) => value === 0))], [0n, [0, 0], true]);
    assert.deepEqual([layer.a, layer.b], [entry.a, entry.b]);
  }
  const layer = trained('adamw');
  layer.init();
  layer.resume(entry);
  assert.deepEqual(layer.entry(), entry);
  const inference = lowrank.layer({ ...SHAPE, weights: NUMBERS.weights, optimizer: 'inference' });
  inference.resume(entry);
  assert.deepEqual([inference.a, inference.b], [entry.a, entry.b]);
});

test('a view that reaches beyond its piece of memory is refused', () => {
  const [first, second] = [lowrank.array(12), lowrank.array(12)];
  const { buffer, byteOffset } = first.view;
  const beyond = new Float32Array(buffer, byteOffset, 15);
  const before = [...second.view];
  refused(() => lowrank.softmaxCrossEntropy(beyond, new Uint8Array(5), second, { classes: 3 }), 'Freed', 'logits');
  refused(() => lowrank.softmaxCrossEntropy(first, new Uint8Array(4), beyond.subarray(3), { classes: 3 }), 'Freed', 'dlogits');
  refused(() => lowrank.softmaxCrossEntropy(new Float32Array(buffer, byteOffset - 16, 12), new Uint8Array(4), second, { classes: 3 }), 'Freed', 'logits');
  refused(() => lowrank.layer({ ...SHAPE, weights: NUMBERS.weights, x: new Float32Array(buffer, byteOffset, 20) }), 'Freed', 'x');
  const layer = lowrank.layer({ ...SHAPE, weights: NUMBERS.weights });
  layer.forward();
  // y and what follows it are no rows of the layer.
  const over = new Float32Array(buffer, layer.y.byteOffset, 15);
  refused(() => lowrank.softmaxCrossEntropy(over, new Uint8Array(5), layer.dy, {}), 'Length', 'dlogits');
  assert.deepEqual([...second.view], before);
});
