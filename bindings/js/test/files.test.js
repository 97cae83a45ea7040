import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, test } from 'node:test';
import { create } from 'lowrank';
import { emit, loadAll, parse, saveAll } from 'lowrank/files';
import { bytes } from 'lowrank/wasm';
import { ROOT, Rng, command, refused, rejected } from './support.js';

const directory = mkdtempSync(join(tmpdir(), 'lowrank-'));
after(() => rmSync(directory, { recursive: true }));

/** The output of the command, which has to succeed. */
function tool(...args) {
  const { status, stdout, stderr } = command(...args);
  assert.equal(status, 0, stderr);
  return stdout;
}

const lowrank = await create({ module: bytes('full-simd128') });

/** A layer after some steps, and one more step. */
function trained(options = {}) {
  const layer = lowrank.layer({ inputs: 6, outputs: 3, rank: 2, tokens: 4, weights: new Rng(1).floats(18), ...options });
  layer.x.set(new Rng(2).floats(24));
  const step = () => {
    layer.forward();
    lowrank.softmaxCrossEntropy(layer.y, [0, 1, 2, 1], layer.dy);
    if (options.optimizer !== 'in-place') layer.backward();
    layer.step();
  };
  for (let i = 0; i < 3; i++) step();
  return { layer, step };
}

const KINDS = {
  adamw: {}, momentum: { optimizer: 'momentum' }, sgd: { optimizer: 'sgd' }, 'in place': { optimizer: 'in-place' },
  'with bias and dropout': { trainBias: true, bias: Float32Array.of(1, 2, 3), dropout: { probability: 0.25, seed: 5 }, rankStabilized: true, alpha: 3 },
  'A frozen': { freezeA: true, scale: 0.75 },
};

for (const [name, options] of Object.entries(KINDS)) {
  test(`${name}: training goes on from a file as if it had never stopped`, async () => {
    const [{ layer, step }, { layer: other, step: otherStep }] = [trained(options), trained({ ...options, seed: 9, layerNumber: 77 })];
    await other.load(await layer.save());
    for (let i = 0; i < 3; i++) {
      step();
      otherStep();
    }
    assert.deepEqual(other.a, layer.a);
    assert.deepEqual(other.b, layer.b);
    assert.deepEqual(other.bias, layer.bias);
    assert.equal(other.steps, options.optimizer === 'in-place' ? 0 : 6);
    assert.deepEqual(await other.save(), await layer.save());
  });
}

test('the state of another optimizer is refused, and its adapter begins a training', async () => {
  const { layer } = trained();
  const { layer: other } = trained({ optimizer: 'momentum' });
  const [file, before] = [await layer.save(), other.entry()];
  await rejected(other.load(file), 'OtherOptimizer', 'training.optimizer');
  assert.deepEqual(other.entry(), before);
  const { entries: [entry] } = await parse(file);
  other.resume({ ...entry, training: undefined });
  assert.equal(other.steps, 0);
  assert.deepEqual(other.a, layer.a);
});

test('the tool takes the file, and its own bytes of the same adapter are the same', async () => {
  const directoryOf = fileURLToPath(new URL('firmware/peft-adapter/', ROOT));
  const packed = join(directory, 'packed.lowrank');
  tool('convert', directoryOf, packed);
  const theirs = new Uint8Array(readFileSync(packed));
  const contents = await parse(theirs);
  assert.deepEqual(contents.entries.map(({ name, rank, inputs, outputs }) => [name, rank, inputs, outputs]), [['hidden', 4, 64, 48], ['output', 4, 48, 10]]);
  const layers = Object.fromEntries(contents.entries.map((adapter) => {
    const { name, inputs, outputs, rank } = adapter;
    return [name, lowrank.layer({ inputs, outputs, rank, tokens: 1, weights: new Float32Array(inputs * outputs), optimizer: 'inference' })];
  }));
  await loadAll(theirs, layers);
  assert.deepEqual(await saveAll(layers, contents), theirs);

  const { layer } = trained({ dropout: { probability: 0.25, seed: 7 } });
  const file = join(directory, 'ours.lowrank');
  writeFileSync(file, await saveAll({ 'model.layers.0.q': layer, 'model.layers.1.q': trained({ dropout: { probability: 0.25 } }).layer }));
  tool('verify', file);
  assert.match(tool('inspect', file), /model\.layers\.0\.q .* 3 x 6 +2 /);
  tool('convert', file, join(directory, 'unpacked'));
  assert.equal(JSON.parse(readFileSync(join(directory, 'unpacked', 'adapter_config.json'), 'utf8')).lora_dropout, 0.25);
});

test('a damaged or foreign file is refused, and nothing is loaded', async () => {
  const { layer } = trained();
  const file = await layer.save();
  const before = layer.entry();
  for (let length = 0; length < file.length; length += 7) await rejected(layer.load(file.subarray(0, length)), 'File', 'file');
  for (let at = 0; at < file.length; at += 5) {
    const damaged = file.slice();
    damaged[at] ^= 16;
    await rejected(layer.load(damaged), 'File', 'file');
  }
  await rejected(layer.load(new TextEncoder().encode('no adapter file, but quite a lot of text, as long as a header')), 'File', 'file');
  await rejected(layer.load('text'), 'Type', 'file');
  await rejected(layer.load(await saveAll({ a: layer, b: layer })), 'Length', 'file');
  await rejected(layer.load(await trained({ rank: 3 }).layer.save()), 'Length', 'rank');
  await rejected(layer.load(await trained({ trainBias: true }).layer.save()), 'Missing', 'trainBias');
  await rejected(trained({ trainBias: true }).layer.load(file), 'Unexpected', 'trainBias');
  const { layer: fits } = trained({ seed: 3 });
  const untouched = fits.entry();
  await rejected(loadAll(await saveAll({ fits: layer, wrong: layer }), { fits, wrong: trained({ outputs: 4, weights: new Float32Array(24) }).layer }), 'Length', 'outputs');
  await rejected(loadAll(file, { other: fits }), 'NotFound', 'other');
  assert.deepEqual(fits.entry(), untouched);
  assert.deepEqual(layer.entry(), before);
});

test('a file that cannot be read is described in words', async () => {
  const file = await trained().layer.save();
  const changed = (at) => Uint8Array.from(file, (byte, i) => (i === at ? byte ^ 16 : byte));
  const longer = new Uint8Array(file.length + 1);
  longer.set(file);
  for (const [bytes, words] of [
    [new Uint8Array(), /^file: it is cut off: bytes are missing\b/], [file.subarray(0, 20), /^file: it is cut off: bytes are missing\b/],
    [file.subarray(0, -1), /^file: it is cut off, or something follows its end\b/], [longer, /^file: it is cut off, or something follows its end\b/],
    [new TextEncoder().encode('{ "r": 8 }'.padEnd(200)), /^file: this is no adapter file$/], [new Uint8Array(500), /^file: this is no adapter file$/],
    [changed(file.length - 1), /^file: it is damaged: a checksum does not match\b/], [changed(200), /^file: it is damaged: a checksum does not match\b/],
  ]) await assert.rejects(parse(bytes), ({ code, message }) => code === 'File' && (assert.match(message, words), true));
  for (let at = 0; at < file.length; at++) {
    await assert.rejects(parse(changed(at)), ({ code, message }) => code === 'File' && /^file: (this|it|the|an?|something|text|padding|entries|moments) /.test(message));
  }
  const adapter = trained().layer.entry();
  await assert.rejects(emit([adapter, adapter]), /^LowrankError: file: entries do not ascend by name and id/);
});

test('what are no layers by name is refused, in either order of the arguments', async () => {
  const { layer } = trained();
  const file = await saveAll({ layer });
  for (const wrong of [file, file.buffer, new DataView(file.buffer), new SharedArrayBuffer(4), Promise.resolve({ layer }), new Set([layer]), new Date()]) {
    await rejected(saveAll(wrong), 'Type', 'layers');
    await rejected(loadAll(file, wrong), 'Type', 'layers');
  }
  for (const layers of [{ layer }, new Map([['layer', layer]])]) {
    await assert.rejects(loadAll(layers, file), /^LowrankError: layers: .*the file comes first/);
    await loadAll(file, layers);
  }
});

test('a small module refuses to go on with dropout', async () => {
  const file = await trained({ dropout: { probability: 0.25 } }).layer.save();
  const small = await create();
  const options = { inputs: 6, outputs: 3, rank: 2, tokens: 4, weights: new Float32Array(18) };
  await rejected(small.layer(options).load(file), 'Unsupported', 'dropout.probability');
  await small.layer({ ...options, optimizer: 'inference' }).load(file);
});

test('contents that cannot be a file are refused', async () => {
  const adapter = trained().layer.entry();
  await rejected(emit([adapter, adapter]), 'File', 'file');
  await rejected(emit([{ ...adapter, a: new Float32Array(3) }]), 'Length', 'a');
  await rejected(emit([adapter], { generation: -1 }), 'Range', 'generation');
  refused(() => trained().layer.resume({ ...adapter, scale: { mode: 'alpha', alpha: NaN } }), 'Range', 'scale');
});

test('metadata, fingerprint and generation go there and back', async () => {
  const options = { metadata: '{"von": "hier, ä"}', fingerprint: 0x123456789abcdef0n, generation: 7 };
  const { entries, warnings, ...rest } = await parse(await saveAll({ b: trained().layer, a: trained().layer, ab: trained().layer }, options));
  assert.deepEqual(rest, options);
  assert.deepEqual(warnings, []);
  assert.deepEqual(entries.map(({ name }) => name), ['a', 'ab', 'b']);
});
