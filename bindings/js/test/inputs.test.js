import assert from 'node:assert/strict';
import { createContext, runInContext } from 'node:vm';
import { test } from 'node:test';
import { create } from 'lowrank';
import { emit, loadAll, parse, saveAll } from 'lowrank/files';
import { readPeft, writePeft } from 'lowrank/peft';
import { PREFIX, adapter, files, pair, safetensors, tensor } from './adapters.js';
import { refused, rejected } from './support.js';

const lowrank = await create();
const layer = lowrank.layer({ inputs: 2, outputs: 3, rank: 1, tokens: 1, weights: new Float32Array(6), optimizer: 'inference' });
const realm = createContext({});

/** The same bytes in everything that holds bytes. */
function holders(bytes) {
  const padded = new Uint8Array(bytes.length + 7);
  padded.set(bytes, 5);
  const foreign = runInContext(`new Uint8Array(${bytes.length})`, realm);
  foreign.set(bytes);
  const shared = new SharedArrayBuffer(bytes.length);
  new Uint8Array(shared).set(bytes);
  const { buffer } = bytes.slice();
  return {
    Uint8Array: bytes, 'a part of another': padded.subarray(5, 5 + bytes.length), Buffer: Buffer.from(bytes), ArrayBuffer: buffer,
    DataView: new DataView(padded.buffer, 5, bytes.length), 'of another realm': foreign, 'ArrayBuffer of another realm': foreign.buffer,
    SharedArrayBuffer: shared, 'on a SharedArrayBuffer': new Uint8Array(shared),
  };
}

test('files come in everything that holds bytes', async () => {
  const { config, tensors } = writePeft([adapter('q')]);
  const file = await emit([adapter('q')]);
  for (const [name, given] of Object.entries(holders(tensors))) assert.equal(readPeft({ config, tensors: given }).entries[0].name, 'q', name);
  for (const [name, given] of Object.entries(holders(new TextEncoder().encode(config)))) assert.equal(readPeft({ config: given, tensors }).entries.length, 1, name);
  for (const [name, given] of Object.entries(holders(file))) {
    assert.equal((await parse(given)).entries[0].name, 'q', name);
    await loadAll(given, { q: layer });
  }
});

const NO_BYTES = [null, undefined, 'text', 5, {}, [], new Float32Array(4), new Uint16Array(4), new Map(), Symbol('x'), () => {}];

test('what holds no bytes is refused by its type', async () => {
  const { config, tensors } = writePeft([adapter('q')]);
  for (const wrong of NO_BYTES) {
    refused(() => readPeft({ config, tensors: wrong }), 'Type', 'adapter_model.safetensors');
    await rejected(parse(wrong), 'Type', 'file');
    await rejected(loadAll(wrong, { q: layer }), 'Type', 'file');
  }
  for (const wrong of [null, undefined, 5, true, [], new Float32Array(4), new Map(), () => {}]) {
    refused(() => readPeft({ config: wrong, tensors }), 'Type', 'adapter_config.json');
  }
  for (const wrong of [null, undefined, 5, 'x', []]) assert.throws(() => readPeft(wrong), { name: 'LowrankError', code: 'Type' });
  refused(() => readPeft({ config, tensors, option: 1 }), 'Unknown', 'option');
});

test('what was moved away holds no bytes any more', async () => {
  const { config, tensors } = writePeft([adapter('q')]);
  for (const moved of [tensors.slice(), new DataView(tensors.slice().buffer), tensors.slice().buffer]) {
    const buffer = moved.buffer ?? moved;
    structuredClone(buffer, { transfer: [buffer] });
    refused(() => readPeft({ config, tensors: moved }), 'Detached', 'adapter_model.safetensors');
    refused(() => readPeft({ config: moved, tensors }), 'Detached', 'adapter_config.json');
    await rejected(parse(moved), 'Detached', 'file');
  }
});

test('options of a save are checked, and nothing is left out without a word', async () => {
  const adapters = [adapter('q')];
  for (const save of [(options) => saveAll({ layer }, options), (options) => emit(adapters, options)]) {
    for (const [option, wrongs] of Object.entries({ fingerprint: [5, '5', null, true], metadata: [5, null, { a: 1 }, ['x']] })) {
      for (const wrong of wrongs) await rejected(save({ [option]: wrong }), 'Type', option);
    }
    for (const fingerprint of [-1n, 2n ** 64n]) await rejected(save({ fingerprint }), 'Range', 'fingerprint');
    for (const generation of [-1, 0.5, 2 ** 32, NaN, '1', null, 1n]) {
      await assert.rejects(save({ generation }), { name: 'LowrankError', argument: 'generation' });
    }
    for (const option of ['meta', 'Metadata', 'fingerPrint', 'name']) await rejected(save({ [option]: 'x' }), 'Unknown', option);
    for (const wrong of [null, 5, 'metadata', true]) await rejected(save(wrong), 'Type', 'options');
    const { fingerprint, generation, metadata } = await parse(await save({ fingerprint: 2n ** 64n - 1n, generation: 2 ** 32 - 1, metadata: undefined }));
    assert.deepEqual([fingerprint, generation, metadata], [2n ** 64n - 1n, 2 ** 32 - 1, '']);
  }
});

test('adapters that are none are refused by name', async () => {
  const training = { optimizer: 1, trained: 1, steps: 0n, weights: [0, 0], moments: Array.from({ length: 6 }, () => new Float32Array()) };
  const random = { seed: 0n, step: 0, layerNumber: 0, dropout: 0.5 };
  for (const [code, argument, change] of [
    ['Type', 'name', { name: undefined }], ['Type', 'name', { name: 5 }], ['Range', 'rank', { rank: 1.5 }], ['Range', 'rank', { rank: '1' }],
    ['Range', 'inputs', { inputs: undefined }], ['Range', 'outputs', { outputs: -1 }], ['Type', 'a', { a: [1, 2] }], ['Type', 'a', { a: undefined }],
    ['Type', 'b', { b: null }], ['Type', 'b', { b: new Float64Array(3) }], ['Length', 'a', { a: new Float32Array(3) }], ['Length', 'b', { b: new Float32Array(2) }],
    ['Type', 'bias', { bias: null }], ['Length', 'bias', { bias: new Float32Array(2) }], ['Type', 'bBias', { bBias: [1] }], ['Type', 'scale', { scale: null }],
    ['Type', 'scale', { scale: 2 }], ['Unknown', 'scale.mode', { scale: { mode: 'Alpha', alpha: 1 } }], ['Type', 'scale.alpha', { scale: { mode: 'alpha', alpha: '1' } }],
    ['Range', 'scale', { scale: { mode: 'alpha', alpha: NaN } }], ['Range', 'scale', { scale: { mode: 'direct', alpha: 1e39 } }],
    ['Type', 'fanInFanOut', { fanInFanOut: 1 }], ['Type', 'random', { random: null }], ['Type', 'random.seed', { random: { ...random, seed: 1 } }],
    ['Range', 'random.seed', { random: { ...random, seed: -1n } }], ['Range', 'random.step', { random: { ...random, step: 2 ** 32 } }],
    ['Type', 'random.dropout', { random: { ...random, dropout: '0' } }], ['Type', 'training', { training: null }],
    ['Type', 'training.steps', { training: { ...training, steps: 3 } }], ['Range', 'training.steps', { training: { ...training, steps: 2n ** 64n } }],
    ['Type', 'training.weights', { training: { ...training, weights: [1] } }], ['Type', 'training.moments', { training: { ...training, moments: [] } }],
    ['Type', 'training.moments', { training: { ...training, moments: [1, 2, 3, 4, 5, 6] } }],
  ]) {
    const wrong = { ...adapter('q'), ...change };
    refused(() => writePeft([wrong]), code, argument);
    await rejected(emit([adapter('k'), wrong]), code, argument);
  }
  for (const wrong of [null, undefined, 5, 'q']) {
    refused(() => writePeft([wrong]), 'Type', 'entries');
    refused(() => writePeft(wrong), 'Type', 'entries');
    await rejected(emit([wrong]), 'Type', 'entries');
    await rejected(emit(wrong), 'Type', 'entries');
  }
  for (const size of ['rank', 'inputs', 'outputs']) {
    const none = { rank: 1, inputs: 2, outputs: 3, [size]: 0 };
    refused(() => writePeft([adapter('q', none)]), 'Range', size);
  }
  for (const config of [null, 5, true, [], new Map()]) refused(() => writePeft([adapter('q')], config), 'Type', 'adapter_config.json');
  for (const wrong of [NaN, Infinity, 5n, () => {}, Symbol('x'), new Date(0), new Uint8Array(2)]) {
    refused(() => writePeft([adapter('q')], { peft_type: 'LORA', r: 1, lora_alpha: 1, revision: wrong }), 'Type', 'config.revision');
  }
  for (const [open, close] of ['[]', ['{"a":', '}']]) {
    const deep = `{"peft_type": "LORA", "r": 1, "loftq_config": ${open.repeat(100_000)}1${close.repeat(100_000)}}`;
    refused(() => readPeft({ ...files(['q']), config: deep }), 'Format', 'adapter_config.json');
  }
  const circle = { peft_type: 'LORA', r: 1, lora_alpha: 1 };
  circle.loftq_config = circle;
  assert.throws(() => writePeft([adapter('q')], circle), { name: 'LowrankError', code: 'Type' });
});

test('null is no default where PEFT has none', () => {
  for (const field of ['r', 'lora_alpha', 'lora_dropout', 'rank_pattern', 'alpha_pattern', 'bias', 'peft_type']) {
    assert.throws(() => readPeft(files(['q'], { [field]: null })), { name: 'LowrankError', argument: field }, field);
  }
  for (const field of ['use_rslora', 'fan_in_fan_out', 'lora_bias', 'init_lora_weights', 'inference_mode', 'target_modules', 'use_dora']) {
    assert.equal(readPeft(files(['q'], { [field]: null })).entries.length, 1, field);
  }
  const { tensors } = files(['q']);
  for (const r of ['1.0', '1e0', '-1', '0', '4294967296', 'true', '"1"', 'null', '[1]']) {
    refused(() => readPeft({ config: `{"peft_type": "LORA", "r": ${r}}`, tensors }), 'Format', 'r');
    refused(() => readPeft({ config: `{"peft_type": "LORA", "r": 1, "rank_pattern": {"q": ${r}}}`, tensors }), 'Format', 'rank_pattern["q"]');
  }
  for (const alpha of ['true', '"1"', 'null', '[1]', '{}', '9007199254740993', '-18446744073709551617', `1${'0'.repeat(22)}1`]) {
    refused(() => readPeft({ config: `{"peft_type": "LORA", "r": 1, "lora_alpha": ${alpha}}`, tensors }), 'Format', 'lora_alpha');
    refused(() => readPeft({ config: `{"peft_type": "LORA", "r": 1, "alpha_pattern": {"q": ${alpha}}}`, tensors }), 'Format', 'alpha_pattern["q"]');
  }
});

test('initialisations are those of PEFT, in the case that it takes', () => {
  for (const how of ['gaussian', 'Gaussian', 'GAUSSIAN', 'gAUSSian', 'orthogonal', 'eva']) readPeft(files(['q'], { init_lora_weights: how }));
  for (const how of ['Orthogonal', 'EVA', 'gaussian ', 'no', 5, ['eva']]) {
    assert.throws(() => readPeft(files(['q'], { init_lora_weights: how })), /init_lora_weights: not known/, `${how}`);
  }
  for (const how of ['pissa', 'PiSSA_niter_4', 'olora', 'OLoRA', 'corda', 'loftq', 'lora_ga', 'mica']) {
    assert.throws(() => readPeft(files(['q'], { init_lora_weights: how })), /init_lora_weights: the initialisation has changed the base/, how);
  }
});

test('a path that is not UTF-8 is carried', () => {
  // As Python writes b'/data/mod\xe8le'.
  const config = '{"peft_type": "LORA", "r": 1, "base_model_name_or_path": "/data/mod\\udce8le"}';
  const read = readPeft({ ...files(['q']), config });
  assert.equal(writePeft(read.entries, read.config).config, config);
  assert.equal(JSON.parse(writePeft(read.entries, { ...read.config }).config).base_model_name_or_path, '/data/mod\udce8le');
});

test('weights of the base beside an adapter of the head are left out with a warning, or refused by what they are', () => {
  const base = (shape, dtype = 'F32', name = 'lm_head.base_layer.weight') => safetensors([...pair('lm_head', 1, 2, 3), [PREFIX + name, dtype, shape, new Uint8Array(shape.reduce((a, b) => a * b, dtype === 'F32' ? 4 : 1))]]);
  const { config } = files(['lm_head']);
  const { entries, warnings } = readPeft({ config, tensors: base([3, 2]) });
  assert.deepEqual(entries.map(({ name, inputs, outputs }) => [name, inputs, outputs]), [['lm_head', 2, 3]]);
  assert.deepEqual(warnings.map(({ code, argument }) => [code, argument]), [['Unexpected', `${PREFIX}lm_head.base_layer.weight`]]);
  refused(() => readPeft({ config, tensors: base([2, 3]) }), 'Format', `${PREFIX}lm_head.base_layer.weight`);
  const says = (tensors, message) => assert.throws(() => readPeft({ config, tensors }), (error) => error.name === 'LowrankError' && message.test(error.message));
  says(base([6, 1], 'U8'), /quantised base.*save_embedding_layers=False/);
  says(base([6], 'U8', 'lm_head.base_layer.weight.absmax'), /quantised base/);
  says(base([6], 'U8', 'lm_head.base_layer.weight.quant_state.bitsandbytes__nf4'), /quantised base/);
  says(base([6], 'F32', 'model.embed_tokens.weight'), /save_embedding_layers=False/);
  says(base([6], 'F32', 'lm_head.weight'), /save_embedding_layers=False/);
  says(base([6], 'F32', 'score.weight'), /modules_to_save/);
  says(safetensors([tensor('q.lora_A.default.weight', [1, 2])]), /name of an adapter/);
});

test('other files in place of the two are named', () => {
  const { config, tensors } = writePeft([adapter('q')]);
  const text = new TextEncoder();
  const bytes = (...parts) => new Uint8Array(Buffer.concat(parts.map((part) => Buffer.from(part, 'latin1'))));
  const said = {
    'are config and tensors swapped': [[tensors, text.encode(config)], [tensors, tensors], [text.encode(config), text.encode(config)]],
    'optimizer.pt': [[config, bytes('PK\x03\x04\0\0\b\b\0\0\0\0\0\0', 'optimizer/data.pkl')], [config, bytes('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.')]],
    'parse of lowrank/files': [[config, bytes('lowrank\0', '\0'.repeat(100))]],
    GGUF: [[config, bytes('GGUF\x03\0\0\0\0\0\0\0\0\0\0\0')]],
    'git lfs pull': [[config, bytes('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n')], [bytes('version https://git-lfs.github.com/spec/v1\n'), tensors]],
    HTML: [[config, bytes('<!DOCTYPE html><html>')], [bytes('\n<html lang="en">'), tensors]],
  };
  for (const [words, pairs] of Object.entries(said)) {
    for (const [config, tensors] of pairs) {
      assert.throws(() => readPeft({ config, tensors }), (error) => error.name === 'LowrankError' && error.code === 'Format' && error.message.includes(words), words);
    }
  }
  // What begins alike is none of them: a key of four letters, a header of 123 bytes.
  refused(() => readPeft({ config: text.encode('{"abcd":{"a":1}}'), tensors }), 'Unsupported', 'peft_type');
  const padded = new Uint8Array(8 + 123 + 8);
  const header = JSON.stringify({ 'base_model.model.q.lora_A.weight': { dtype: 'F32', shape: [1, 2], data_offsets: [0, 8] } }).padEnd(123);
  padded.set(text.encode(`{\0\0\0\0\0\0\0${header}`));
  refused(() => readPeft({ config, tensors: padded }), 'Format', 'base_model.model.q.lora_B.weight');
  assert.throws(() => readPeft({ config: `\ufeff${config}`, tensors }), /without a byte order mark/);
  assert.throws(() => readPeft({ config: text.encode(`\ufeff${config}`), tensors }), /without a byte order mark/);
  assert.throws(() => readPeft({ config: '{"model_type": "llama"}', tensors }), /peft_type: the field is missing; the config.json of a model/);
});
