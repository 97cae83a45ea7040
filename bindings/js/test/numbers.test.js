import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { create } from 'lowrank';
import { emit, loadAll, parse } from 'lowrank/files';
import { readPeft, writePeft } from 'lowrank/peft';
import { adapter, files, pair, replaced, safetensors } from './adapters.js';
import { ROOT, Rng, refused, rejected } from './support.js';

/** What PEFT computes, and PyTorch rounds: see tools/tests/data/scales.py. */
const ROWS = JSON.parse(readFileSync(new URL('tools/tests/data/scales.json', ROOT), 'utf8'));

const view = new DataView(new ArrayBuffer(8));
const bitsOf = (value) => (view.setFloat32(0, value), view.getUint32(0).toString(16).padStart(8, '0'));
const single = (rng) => (view.setUint32(0, Number(rng.next() & 0xffffffffn)), view.getFloat32(0));
const double = (rng) => (view.setBigUint64(0, rng.next()), view.getFloat64(0));
const factor = ({ scale: { mode, alpha }, rank }) => Math.fround(mode === 'direct' ? alpha : alpha / (mode === 'rank-stabilized' ? Math.sqrt(rank) : rank));

/** The configuration as text, and tensors that are as small as they can be. A rank of many needs no tensor to be refused or taken. */
const read = (alpha, rank, rankStabilized) => {
  const config = `{"peft_type": "LORA", "r": ${rank}, "lora_alpha": ${alpha}, "use_rslora": ${rankStabilized}}`;
  return readPeft({ config, tensors: safetensors(pair('q', rank)) });
};

test('the factor of each alpha and rank is that of PEFT, to the bit, or it is refused', () => {
  let [taken, refusals] = [0, 0];
  for (const { lora_alpha: alpha, r, use_rslora: rankStabilized, bits } of ROWS) {
    if (r > 70_000) continue;
    if (bits === 'refused') {
      assert.throws(() => read(alpha, r, rankStabilized), { name: 'LowrankError', argument: 'lora_alpha' }, alpha);
      refusals++;
      continue;
    }
    const { entries: [entry], config } = read(alpha, r, rankStabilized);
    assert.equal(bitsOf(factor(entry)), bits, `${alpha} ${r} ${rankStabilized}`);
    // Written with its configuration and without, it is the same one.
    for (const written of [writePeft([entry], config), writePeft([entry])]) assert.equal(bitsOf(factor(readPeft(written).entries[0])), bits, alpha);
    taken++;
  }
  assert.ok(taken > 300 && refusals > 50, `${taken} ${refusals}`);
});

test('the alpha of a configuration comes back to the bit', () => {
  const rng = new Rng(3);
  const values = [1e308 / 2 ** 971, 5e-324, 0.1, 16, 1e-45, 2 ** 53, 2 ** 53 + 2, 2 ** 60, 1e21, 123456789012345680000, -0, 2 ** -1074, 1 / 3];
  for (let i = 0; i < 300; i++) values.push(double(rng));
  let taken = 0;
  for (const alpha of values) {
    if (!(Math.abs(alpha) < 1e38)) continue;
    // As a number in an object, and as its digits in a text.
    const { entries, config } = readPeft(files(['q'], { lora_alpha: alpha }));
    const { config: text } = writePeft(entries, { ...config, lora_alpha: alpha });
    assert.ok(Object.is(JSON.parse(text).lora_alpha, alpha), `${alpha}`);
    assert.ok(Object.is(JSON.parse(writePeft(entries, config).config).lora_alpha, alpha), `${alpha}`);
    taken++;
  }
  assert.ok(taken > 100, `${taken}`);
});

test('the text of a configuration is written as it stood in the file', () => {
  const text = ' {"lora_alpha":16.0,"r":1, "peft_type":"LORA","revision":"\\udce8","loftq_config":{"seed":18446744073709551617,"10":1e400,"9":-0}}\n\n';
  const { entries, config } = readPeft({ ...files(['q']), config: text });
  for (const same of [config, text, new TextEncoder().encode(text)]) assert.equal(writePeft(entries, same).config, text);
  // An object that was changed is written anew, and has to be one that JSON can hold.
  refused(() => writePeft(entries, { ...config, revision: 'main' }), 'Type', 'config.loftq_config.10');
  const other = JSON.parse(writePeft(entries, { ...config, revision: 'main', loftq_config: null }).config);
  assert.deepEqual([other.revision, other.lora_alpha], ['main', 16]);
});

test('scales of random bits go into the files of PEFT and back', () => {
  const rng = new Rng(4);
  let taken = 0;
  for (let round = 0; round < 300; round++) {
    const entries = Array.from({ length: 3 }, (_, i) => {
      const mode = ['alpha', 'rank-stabilized', 'direct'][round % 4 === 3 ? 1 : rng.below(3)];
      return adapter(`l${i}`, { rank: 1 + rng.below(9), scale: { mode, alpha: single(rng) } });
    }).filter((layer) => Number.isFinite(factor(layer)));
    if (entries.length === 0) continue;
    const again = readPeft(writePeft(entries)).entries;
    assert.deepEqual(again.map((layer) => bitsOf(factor(layer))), entries.map((layer) => bitsOf(factor(layer))), JSON.stringify(entries.map(({ scale }) => scale)));
    taken += entries.length;
  }
  assert.ok(taken > 500, `${taken}`);
});

test('scales of any bits keep their factor in an adapter file', async () => {
  const rng = new Rng(5);
  const scales = Array.from({ length: 200 }, (_, i) => ({ mode: ['alpha', 'rank-stabilized', 'direct'][i % 3], alpha: i % 2 ? double(rng) : single(rng) }));
  const entries = [...scales, { mode: 'alpha', alpha: 0.1 }, { mode: 'rank-stabilized', alpha: 1 / 3 }, { mode: 'direct', alpha: -0 }, { mode: 'alpha', alpha: -0 }]
    .map((scale, i) => adapter(`${String(i).padStart(3, '0')}`, { rank: 3, scale }));
  const fit = entries.filter((layer) => Number.isFinite(factor(layer)));
  assert.ok(fit.length > 100);
  const again = (await parse(await emit(fit))).entries;
  assert.deepEqual(again.map((layer) => bitsOf(factor(layer))), fit.map((layer) => bitsOf(factor(layer))));
  for (const layer of entries.filter((each) => !fit.includes(each))) {
    await rejected(emit([layer]), 'Range', 'scale');
    refused(() => writePeft([layer]), 'Range', 'scale');
  }
});

test('dropout of random bits goes into the files of PEFT and back', () => {
  const rng = new Rng(6);
  for (let i = 0; i < 300; i++) {
    const dropout = Math.fround((rng.unit() + 1) / 2 * 2 ** -(i % 40));
    if (dropout >= 1) continue;
    const random = { seed: 0n, step: 0, layerNumber: 0, dropout };
    const again = readPeft(writePeft([adapter('q', { random })])).entries[0];
    assert.equal(again.random?.dropout ?? 0, dropout);
  }
});

/** Finite numbers apart from one, in each of its places. */
const spoilt = (value) => [
  ['a', adapter('q', { a: Float32Array.of(1, value) })], ['b', adapter('q', { b: Float32Array.of(value, 1, 2) })],
  ['bias', adapter('q', { bias: Float32Array.of(0, 0, value) })], ['bBias', adapter('q', { bBias: Float32Array.of(value, 0, 0) })],
];

test('NaN and infinite numbers are refused by all that read and write', async () => {
  for (const value of [NaN, Infinity, -Infinity]) {
    for (const [part, layer] of spoilt(value)) {
      refused(() => writePeft([layer]), 'NonFinite', part);
      await rejected(emit([layer]), 'NonFinite', part);
    }
    // A file that has one all the same, with checksums that are right.
    const good = adapter('q', { a: Float32Array.of(1, 12345) });
    const { config, tensors } = writePeft([good]);
    const at = tensors.length - 5 * 4 + 4;
    new DataView(tensors.buffer).setFloat32(at, value, true);
    refused(() => readPeft({ config, tensors }), 'NonFinite', 'base_model.model.q.lora_A.weight');
  }
});

test('NaN in an adapter file is refused, also in the moments, and loaded into no layer', async () => {
  const lowrank = await create();
  const layer = lowrank.layer({ inputs: 2, outputs: 3, rank: 1, tokens: 2, weights: new Float32Array(6) });
  const untouched = layer.entry();
  for (const [part, numbers] of Object.entries({ a: { a: Float32Array.of(1, 12345) }, b: { b: Float32Array.of(1, 2, 12345) } })) {
    const file = await emit([adapter('q', numbers)]);
    assert.equal((await parse(replaced(file, 12345, 54321))).entries[0][part].at(-1), 54321);
    for (const value of [NaN, Infinity, -Infinity]) {
      const spoilt = replaced(file, 12345, value);
      await rejected(parse(spoilt), 'NonFinite', part);
      await rejected(loadAll(spoilt, { q: layer }), 'NonFinite', part);
      await rejected(layer.load(spoilt), 'NonFinite', part);
    }
  }
  assert.deepEqual(layer.entry(), untouched);
  layer.forward(2, Float32Array.of(1, 2, 3, 4));
  lowrank.softmaxCrossEntropy(layer.y, [0, 1], layer.dy);
  layer.backward();
  layer.step();
  const stepped = layer.entry();
  for (let i = 0; i < 4; i++) {
    const moments = stepped.training.moments.map((moment, j) => (i === j ? moment.map(() => NaN) : moment));
    await rejected(emit([{ ...stepped, training: { ...stepped.training, moments } }]), 'NonFinite', 'training.moments');
  }
  const moments = stepped.training.moments.map((moment, j) => (j === 2 ? moment.map(() => 12345) : moment));
  const file = await emit([{ ...stepped, training: { ...stepped.training, moments } }]);
  await rejected(parse(replaced(file, 12345, NaN)), 'NonFinite', 'training.moments');
  layer.b[1] = NaN;
  await rejected(layer.save(), 'NonFinite', 'b');
});

test('a dead adapter is a warning where it is read, and an error where it would go on training', async () => {
  const zero = (length) => new Float32Array(length).fill(-0);
  const dead = adapter('dead', { a: zero(2), b: zero(3) });
  const code = (warnings) => warnings.map((warning) => [warning.code, warning.argument]);
  const written = writePeft([dead, adapter('q')]);
  assert.deepEqual(code(written.warnings), [['DeadAdapter', 'dead']]);
  assert.deepEqual(code(readPeft(written).warnings), [['DeadAdapter', 'dead']]);
  const file = await emit([dead, adapter('q')]);
  assert.deepEqual(code((await parse(file)).warnings), [['DeadAdapter', 'dead']]);
  for (const half of [{ a: zero(2) }, { b: zero(3) }]) assert.deepEqual(writePeft([adapter('q', half)]).warnings, []);
  const lowrank = await create();
  const layer = lowrank.layer({ inputs: 2, outputs: 3, rank: 1, tokens: 1, weights: new Float32Array(6) });
  const before = layer.entry();
  await rejected(loadAll(file, { q: layer, dead: layer }), 'DeadAdapter', 'dead');
  assert.deepEqual(layer.entry(), before);
  await rejected(layer.load(await emit([dead])), 'DeadAdapter', 'dead');
  refused(() => layer.resume(dead), 'DeadAdapter', 'dead');
  assert.deepEqual(layer.entry(), before);
  layer.a.fill(0);
  await rejected(layer.save('q'), 'DeadAdapter', 'q');
});
