import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, test } from 'node:test';
import { create } from 'lowrank';
import { emit } from 'lowrank/files';
import { readPeft, writePeft } from 'lowrank/peft';
import { PREFIX, adapter, safetensors, tensor } from './adapters.js';
import { ROOT, Rng, read, refused } from './support.js';

const directory = mkdtempSync(join(tmpdir(), 'lowrank-'));
after(() => rmSync(directory, { recursive: true }));

const GOOD = [tensor('net.q.lora_A.weight', [2, 4]), tensor('net.q.lora_B.weight', [3, 2]), tensor('net.v.lora_A.weight', [2, 4]), tensor('net.v.lora_B.weight', [4, 2])];
const CONFIG = { peft_type: 'LORA', r: 2, lora_alpha: 4 };

/** Reads the good tensors, those of the same names replaced and others added. */
const readWith = (fields = {}, tensors = []) => {
  const names = tensors.map(([name]) => name);
  return readPeft({ config: { ...CONFIG, ...fields }, tensors: safetensors([...GOOD.filter(([name]) => !names.includes(name)), ...tensors]) });
};

test('what was called layers is still found under that name', () => {
  const found = readPeft({ config: CONFIG, tensors: safetensors(GOOD) });
  assert.equal(found.layers, found.entries);
  assert.deepEqual(Object.keys(found), ['config', 'entries', 'warnings']);
});

test('the adapter that the others are made of is good', () => {
  const { entries } = readWith();
  assert.deepEqual(entries.map(({ name, rank, inputs, outputs, scale }) => [name, rank, inputs, outputs, scale]), [
    ['net.q', 2, 4, 3, { mode: 'alpha', alpha: 4 }], ['net.v', 2, 4, 4, { mode: 'alpha', alpha: 4 }],
  ]);
});

test('variants, other methods and unknown fields are refused by name', () => {
  const variants = {
    use_dora: true, modules_to_save: ['head'], trainable_token_indices: [1], target_parameters: ['w'], layer_replication: [[0, 4]],
    alora_invocation_tokens: [7], ensure_weight_tying: true, megatron_config: { x: 1 }, use_qalora: true, use_bdlora: { nblocks: 2 },
    velora_config: { scale: 1 }, arrow_config: { top_k: 3 }, kasa_config: { beta: 0.1 }, monteclora_config: { num_samples: 8 },
    use_of_tomorrow: 0, bias: 'all', peft_type: 'LOHA',
  };
  for (const [field, value] of Object.entries(variants)) {
    refused(() => readWith({ [field]: value }), 'Unsupported', field);
    if (!['bias', 'peft_type'].includes(field)) for (const nothing of [null, false, [], {}, '']) readWith({ [field]: nothing });
  }
  for (const how of ['pissa', 'pissa_niter_16', 'olora', 'corda', 'loftq', 'lora_ga']) {
    refused(() => readWith({ init_lora_weights: how }), 'Unsupported', 'init_lora_weights');
  }
  for (const how of [true, false, 'gaussian', 'orthogonal', 'eva', null]) readWith({ init_lora_weights: how });
});

test('fields of another kind or out of range are refused', () => {
  for (const [field, value, argument = field] of [
    ['r', '8'], ['r', true], ['r', 0], ['r', -1], ['r', 2 ** 32], ['r', 2.5], ['lora_alpha', '16'], ['lora_alpha', [16]],
    ['lora_dropout', '0.1'], ['lora_dropout', 1], ['lora_dropout', -0.1], ['lora_dropout', 0.999999999], ['use_rslora', 1],
    ['fan_in_fan_out', 0], ['lora_bias', 'x'], ['bias', 'some'], ['bias', false], ['rank_pattern', []],
    ['rank_pattern', { q: '8' }, 'rank_pattern["q"]'], ['alpha_pattern', 'q'], ['alpha_pattern', { q: null }, 'alpha_pattern["q"]'],
  ]) refused(() => readWith({ [field]: value }), 'Format', argument);
  refused(() => readWith({ lora_alpha: 1e39 }), 'Range', 'lora_alpha');
});

test('tensors of other adapters, of other shapes and types are refused by name', () => {
  const [a, b] = ['net.q.lora_A.weight', 'net.q.lora_B.weight'];
  for (const [code, name, shape, dtype] of [
    ['Unsupported', 'net.wte.lora_embedding_A', [2, 4]], ['Unsupported', 'net.q.lora_magnitude_vector', [3]],
    ['Unsupported', 'head.weight', [2, 4]], ['Unsupported', a, [2, 4, 3, 3]], ['Format', a, [8]],
    ['Format', a, [2, 0]], ['Format', b, [3, 3]], ['Format', a, [3, 4]], ['Unsupported', a, [2, 4], 'I16'],
    ['Format', 'net.q.base_layer.bias', [3]], ['Format', 'net.q.lora_B.bias', [3]],
  ]) refused(() => readWith({}, [tensor(name, shape, dtype)]), code, PREFIX + name);
  const inside = ['lora_A', 'lora_B'].map((part) => tensor(`net.q.base_layer.out_proj.${part}.weight`, [2, 2]));
  refused(() => readWith({}, inside), 'Unsupported', 'net.q.base_layer.out_proj');
  assert.throws(() => readWith({}, [tensor('net.q.lora_magnitude_vector', [3])]), /DoRA is not supported/);
  assert.throws(() => readWith({}, [tensor('net.wte.lora_embedding_A', [2, 4])]), /embeddings are not supported/);
  refused(() => readPeft({ config: CONFIG, tensors: safetensors([]) }), 'Format', 'adapter_model.safetensors');
  refused(() => readPeft({ config: CONFIG, tensors: safetensors(GOOD.slice(1)) }), 'Format', PREFIX + a);
  refused(() => readWith({ lora_bias: true }, [tensor('net.q.lora_B.bias', [3])]), 'Format', `${PREFIX}net.v.lora_B.bias`);
  refused(() => readPeft({ config: CONFIG, tensors: safetensors([['net.q.lora_A.weight', ...GOOD[0].slice(1)]]) }), 'Format', 'net.q.lora_A.weight');
});

test('damaged files are refused', () => {
  for (const config of ['{', '[]', 'null', Uint8Array.of(255), '['.repeat(100_000)]) {
    refused(() => readPeft({ config, tensors: safetensors(GOOD) }), 'Format', 'adapter_config.json');
  }
  refused(() => readPeft({ config: CONFIG, tensors: 'bytes' }), 'Type', 'adapter_model.safetensors');
  const whole = safetensors(GOOD);
  const damaged = (tensors) => refused(() => readPeft({ config: CONFIG, tensors }), 'Format', 'adapter_model.safetensors');
  for (let length = 0; length < whole.length; length++) damaged(whole.subarray(0, length));
  damaged(Uint8Array.from([...whole, 0]));
  const number = { dtype: 'F32', shape: [1], data_offsets: [0, 4] };
  const bytes = [['a', 'F32', [1], new Uint8Array(4)]];
  for (const header of [
    { a: number, b: number }, { a: { ...number, shape: [2 ** 53, 2] } }, { a: { ...number, data_offsets: [4, 8] } }, { a: { ...number, dtype: 'F31' } },
    { a: { ...number, shape: [-1] } }, { a: null }, [], null,
  ]) damaged(safetensors(bytes, () => header));
});

test('a header with a key that is there twice, or with a size that is no integer in the text, is refused', () => {
  // In the configuration, where PEFT takes the last value, it is taken.
  assert.equal(readPeft({ config: '{"peft_type":"LORA","r":4,"lora_alpha":8,"\\u0072":2}', tensors: safetensors(GOOD) }).config.r, 2);
  const whole = safetensors(GOOD);
  const length = new DataView(whole.buffer).getUint32(0, true);
  const [header, data] = [new TextDecoder().decode(whole.subarray(8, 8 + length)), whole.subarray(8 + length)];
  const withHeader = (text) => {
    const json = new TextEncoder().encode(text);
    return Uint8Array.of(...new Uint8Array(new BigUint64Array([BigInt(json.length)]).buffer), ...json, ...data);
  };
  const { entries } = readPeft({ config: CONFIG, tensors: withHeader(header) });
  // Digits in names and in the metadata are none of sizes.
  const noted = header.replace('{', '{"__metadata__":{"x\\"2.0":"-1e0"},');
  assert.deepEqual(readPeft({ config: CONFIG, tensors: withHeader(noted) }).entries, entries);
  const first = JSON.stringify(Object.entries(JSON.parse(header))[0]).slice(1, -1).replace(',', ':');
  for (const text of [
    header.replace('{', `{${first},`), header.replace('"shape":', '"shape":[2,4],"sh\\u0061pe":'), header.replace('[2,4]', '[2.0,4]'),
    header.replace('[2,4]', '[2,4e0]'), header.replace('[2,4]', '[2,4E+0]'), header.replace('[0,', '[-0,'), header.replace('[0,', '[0.0,'),
  ]) {
    assert.notEqual(text, header);
    refused(() => readPeft({ config: CONFIG, tensors: withHeader(text) }), 'Format', 'adapter_model.safetensors');
  }
});

test('numbers of 16 bits are widened exactly, and those that are none are refused', () => {
  const half = (words) => new Uint8Array(Uint16Array.from(words).buffer);
  const of = (dtype, words) => readPeft({
    config: { ...CONFIG, r: 1 },
    tensors: safetensors([[`${PREFIX}x.lora_A.weight`, dtype, [1, words.length], half(words)], tensor('x.lora_B.weight', [1, 1])]),
  }).entries[0].a;
  assert.deepEqual(of('F16', [0x3c00, 0xc000, 0x0001, 0x83ff, 0x7bff, 0x8000]), Float32Array.of(1, -2, 2 ** -24, -1023 * 2 ** -24, 65504, -0));
  assert.deepEqual(of('BF16', [0x3f80, 0xc000, 0x0001, 0x7f7f]), Float32Array.of(1, -2, 2 ** -133, (2 - 2 ** -7) * 2 ** 127));
  for (const [dtype, word] of [['F16', 0x7c00], ['F16', 0xfc00], ['F16', 0x7e00], ['BF16', 0x7f80], ['BF16', 0xff80], ['BF16', 0x7fc0]]) {
    refused(() => of(dtype, [0, word]), 'NonFinite', `${PREFIX}x.lora_A.weight`);
  }
});

test('what is written is read, and the bytes are those of PEFT', async () => {
  const path = 'firmware/peft-adapter/adapter';
  const [config, tensors] = [await read(`${path}_config.json`), await read(`${path}_model.safetensors`)];
  const adapter = readPeft({ config, tensors });
  assert.deepEqual(writePeft(adapter.entries).tensors, new Uint8Array(tensors));
  const kept = writePeft(adapter.entries, adapter.config);
  assert.deepEqual(JSON.parse(kept.config), adapter.config);
  refused(() => writePeft(adapter.entries, { ...adapter.config, lora_alpha: 3 }), 'Format', 'scale');
  refused(() => writePeft(adapter.entries, { ...adapter.config, r: 3 }), 'Format', 'rank');
  refused(() => writePeft([]), 'Format', 'entries');
  const mixed = [{ ...adapter.entries[0], fanInFanOut: true }, adapter.entries[1]];
  refused(() => writePeft(mixed), 'Unsupported', 'fanInFanOut');
  // Other ranks and factors become patterns.
  const entries = readWith().entries;
  entries[1] = { ...entries[1], rank: 1, a: entries[1].a.slice(0, 4), b: entries[1].b.slice(0, 4), scale: { mode: 'direct', alpha: 0.1 } };
  const again = readPeft(writePeft(entries)).entries;
  const factor = ({ rank, scale: { mode, alpha } }) => Math.fround(mode === 'direct' ? alpha : alpha / rank);
  again.forEach((layer, i) => assert.deepEqual([layer.a, layer.b, factor(layer)], [entries[i].a, entries[i].b, factor(entries[i])]));
});

const PYTHON = ['target/peft/bin/python', process.env.LOWRANK_PEFT_PYTHON].filter(Boolean)
  .map((path) => fileURLToPath(new URL(path, ROOT))).find((path) => existsSync(path));

for (const name of ['patterns', 'scales']) {
  test(`tools/tests/data/${name}.json is what PEFT says`, { skip: !PYTHON && 'no PyTorch: scripts/setup peft' }, () => {
    execFileSync(PYTHON, ['-W', 'ignore', fileURLToPath(new URL(`tools/tests/data/${name}.py`, ROOT)), '--check']);
  });
}

test('PEFT loads what was trained here, and computes the same', { skip: !PYTHON && 'no PyTorch: scripts/setup peft' }, async () => {
  const lowrank = await create();
  const options = { inputs: 6, outputs: 5, rank: 2, tokens: 4, weights: new Rng(1).floats(30), bias: new Rng(2).floats(5), alpha: 3, rankStabilized: true };
  const layer = lowrank.layer(options);
  const x = new Rng(3).floats(24);
  for (let step = 0; step < 20; step++) {
    layer.forward(undefined, x);
    lowrank.softmaxCrossEntropy(layer.y, [0, 1, 2, 4], layer.dy);
    layer.backward();
    layer.step({ learningRate: 0.1 });
  }
  const { config, tensors } = writePeft([layer.entry('linear')]);
  writeFileSync(join(directory, 'adapter_config.json'), config);
  writeFileSync(join(directory, 'adapter_model.safetensors'), tensors);
  const list = (array) => JSON.stringify([...array]);
  const script = `
import torch, json
from peft import PeftModel
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(6, 5)
    def forward(self, x):
        return self.linear(x)
net = Net()
net.linear.weight.data = torch.tensor(${list(options.weights)}).reshape(5, 6)
net.linear.bias.data = torch.tensor(${list(options.bias)})
model = PeftModel.from_pretrained(net, ${JSON.stringify(directory)})
print(json.dumps(model(torch.tensor(${list(x)}).reshape(4, 6)).flatten().tolist()))
model.save_pretrained(${JSON.stringify(join(directory, 'again'))})
`;
  const theirs = JSON.parse(execFileSync(PYTHON, ['-c', script], { encoding: 'utf8' }));
  const ours = layer.forward();
  assert.equal(theirs.length, ours.length);
  // 8 products and a bias in any order: below 20 roundings of sums below 8.
  theirs.forEach((value, i) => assert.ok(Math.abs(value - ours[i]) < 20 * 8 * 2 ** -24, `${value} ${ours[i]}`));
  const back = readPeft({ config: readFileSync(join(directory, 'again', 'adapter_config.json')), tensors: readFileSync(join(directory, 'again', 'adapter_model.safetensors')) });
  assert.deepEqual(back.entries[0].a, layer.a.slice());
  assert.deepEqual(back.entries[0].b, layer.b.slice());
  const { training, ...adapter } = layer.entry('linear');
  assert.deepEqual(await emit(back.entries), await emit([adapter]));
});

test('PEFT gives each layer the rank and the scale that it was written with, whatever its name is', { skip: !PYTHON && 'no PyTorch: scripts/setup peft' }, () => {
  const names = ['net.0', 'net.10', 'net.c+d', 'net.a[0]', 'net.ccd', 'a b', '\u00e9', 'e\u0301', '\ufeffq', 'q', 'x.q', 'a"b', '__proto__', '(q)', 'a$b', 'a\tb', '\ud83d\ude00', '\uffff'];
  const modes = ['alpha', 'rank-stabilized', 'direct'];
  const entries = names.map((name, i) => adapter(name, { rank: 1 + i % 3, scale: { mode: modes[i % 3], alpha: Math.fround(1 + i / 7) } }));
  const { config, tensors } = writePeft(entries);
  writeFileSync(join(directory, 'adapter_config.json'), config);
  writeFileSync(join(directory, 'adapter_model.safetensors'), tensors);
  writeFileSync(join(directory, 'names.json'), JSON.stringify(names));
  const script = `
import json, sys, torch
from peft import PeftModel
directory = sys.argv[1]
names = json.load(open(directory + '/names.json'))
net = torch.nn.Module()
for name in names:
    parent = net
    *path, last = name.split('.')
    for step in path:
        if step not in parent._modules:
            parent.add_module(step, torch.nn.Module())
        parent = parent._modules[step]
    parent.add_module(last, torch.nn.Linear(2, 3))
model = PeftModel.from_pretrained(net, directory)
found = [model.get_submodule('base_model.model.' + name) for name in names]
say = lambda layer: [layer.r['default'], torch.tensor(layer.scaling['default']).item(), layer.lora_A['default'].weight.flatten().tolist(), layer.lora_B['default'].weight.flatten().tolist()]
print(json.dumps([say(layer) for layer in found]))
`;
  const theirs = JSON.parse(execFileSync(PYTHON, ['-c', script, directory], { encoding: 'utf8' }));
  const root = { direct: () => 1, alpha: (rank) => rank, 'rank-stabilized': Math.sqrt };
  theirs.forEach(([rank, scale, a, b], i) => {
    const layer = entries[i];
    const factor = Math.fround(layer.scale.alpha / root[layer.scale.mode](layer.rank));
    assert.deepEqual([rank, scale, a, b], [layer.rank, factor, [...layer.a], [...layer.b]], JSON.stringify(names[i]));
  });
});
