import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from 'lowrank';
import { emit, loadAll, parse, saveAll } from 'lowrank/files';
import { readPeft, writePeft } from 'lowrank/peft';
import { PREFIX, adapter, files, pair, safetensors } from './adapters.js';
import { refused, rejected } from './support.js';

/** Names that something on the way could change, take for another one, or reorder. */
const NAMES = [
  'q', '\ufeffq', 'q\ufeff', '\ufeff', ' q', 'q ', 'Q', '\u00e9', 'e\u0301', '10', '9', '0', '01', '-1', '4294967295', '__proto__', 'constructor', 'toString', 'hasOwnProperty',
  '__metadata__', 'a\nb', 'a\u0000b', 'a\u007f', '\u0085', 'a"b', 'a\\b', 'a/b', 'a.b', 'a..b', '.', '', '日本', '\ud83d\ude00', '\uffff', '\u200b', 'net.c+d', 'net.a[0]', '^q', '(q)',
  'q.lora_A.weight', 'lora_embedding_A', 'x.lora_magnitude_vector', 'x.base_layer.y', 'base_layer', 'null', 'undefined',
];
/** In the order of the bytes of UTF-8. */
const SORTED = [...NAMES].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
const entriesOf = (names) => names.map((name, i) => adapter(name, { scale: { mode: 'alpha', alpha: i + 1 } }));
const shortly = (entries) => entries.map(({ name, scale }) => [name, scale.alpha]);
const expected = SORTED.map((name) => [name, NAMES.indexOf(name) + 1]);

test('names go into an adapter file and back, each to the byte', async () => {
  assert.deepEqual(shortly((await parse(await emit(entriesOf(NAMES)))).entries), expected);
  // What was parsed is saved again, with the same bytes.
  const file = await emit(entriesOf(NAMES), { metadata: '\ufeff{"a": "\ufeff"}' });
  const contents = await parse(file);
  assert.equal(contents.metadata, '\ufeff{"a": "\ufeff"}');
  assert.deepEqual(await emit(contents.entries, contents), file);
});

test('names go into the files of PEFT and back, each to the byte, with a rank and a scale of its own', () => {
  const entries = NAMES.map((name, i) => adapter(name, { rank: 1 + i % 3, scale: { mode: 'alpha', alpha: i + 1 } }));
  const again = readPeft(writePeft(entries));
  assert.deepEqual(shortly(again.entries), expected);
  for (const layer of again.entries) {
    const own = entries.find(({ name }) => name === layer.name);
    assert.deepEqual([layer.rank, layer.a, layer.b], [own.rank, own.a, own.b], JSON.stringify(layer.name));
  }
  assert.deepEqual(again.warnings, []);
  // One by one, too, and with the configuration that came along.
  for (const name of NAMES) assert.equal(readPeft(writePeft([adapter(name)])).entries[0].name, name);
  assert.deepEqual(writePeft(again.entries, again.config).tensors, writePeft(entries).tensors);
});

test('names of any letters keep apart', () => {
  let state = 1;
  const random = (below) => (state = (state * 48271) % 2147483647) % below;
  const LETTERS = ['a', 'b', '.', '0', '1', '+', '*', '(', ')', '[', ']', '{', '}', '?', '^', '$', '|', '\\', '-', '&', '~', '#', ' ', '\n', '"', '\u00e9', '\u0301', '\ufeff', '\ud83d\ude00'];
  for (let round = 0; round < 200; round++) {
    const names = [...new Set(Array.from({ length: 6 }, () => Array.from({ length: random(6) }, () => LETTERS[random(LETTERS.length)]).join('').replace(/\n$/, '')))];
    const entries = names.map((name, i) => adapter(name, { rank: 1 + i % 2, scale: { mode: 'alpha', alpha: i % 3 } }));
    const again = readPeft(writePeft(entries));
    for (const { name, rank, scale } of entries) {
      const { rank: other, scale: { alpha } } = again.entries.find((each) => each.name === name);
      assert.deepEqual([other, alpha], [rank, scale.alpha], JSON.stringify(names));
    }
  }
});

test('a configuration that would say something else of a layer is refused, not written', () => {
  const of = (name, alpha) => adapter(name, { scale: { mode: 'alpha', alpha } });
  // The `$` of Python holds in front of a line break at the end.
  refused(() => writePeft([of('q', 2), of('q\n', 1), of('k', 1)]), 'Format', 'scale');
});

test('a layer whose name is the key of another one has a key of its own', () => {
  for (const [one, other] of [['', '^'], ['a', '^a'], ['^a', '^\\^a']]) {
    for (const [first, second] of [[one, other], [other, one]]) {
      const rank = (name) => (name === one ? 4 : 1);
      const entries = [first, second, 'x'].map((name) => adapter(name, { rank: rank(name), scale: { mode: 'alpha', alpha: 2 * rank(name) } }));
      const read = readPeft(writePeft(entries)).entries;
      assert.deepEqual(read.map(({ name, scale }) => [name, scale.alpha]).sort(), entries.map(({ name, scale }) => [name, scale.alpha]).sort());
      assert.ok(read.every((layer) => layer.rank === rank(layer.name)));
    }
  }
  // With the usual values alone there are no tables.
  const { alpha_pattern: alphas, rank_pattern: ranks } = JSON.parse(writePeft(['a', '^a', 'x'].map((name) => adapter(name))).config);
  assert.deepEqual([alphas, ranks], [{}, {}]);
});

test('equal names are refused by who cannot express them', async () => {
  const twice = [adapter('q', { id: 0 }), adapter('q', { id: 1 })];
  refused(() => writePeft(twice), 'Unsupported', 'name');
  refused(() => writePeft([...twice, adapter('k')], { peft_type: 'LORA', r: 1, lora_alpha: 1 }), 'Unsupported', 'name');
  // An adapter file tells them apart by their ids, and who loads by name does not.
  const file = await emit(twice);
  assert.deepEqual((await parse(file)).entries.map(({ name, id }) => [name, id]), [['q', 0], ['q', 1]]);
  const lowrank = await create();
  const layer = lowrank.layer({ inputs: 2, outputs: 3, rank: 1, tokens: 1, weights: new Float32Array(6), optimizer: 'inference' });
  const before = layer.entry();
  await rejected(loadAll(file, { q: layer }), 'Unsupported', 'q');
  assert.deepEqual(layer.entry(), before);
  await rejected(emit([twice[0], twice[0]]), 'File', 'file');
});

test('a layer inside of an adapted one is refused by both sides', () => {
  refused(() => writePeft([adapter('attn'), adapter('attn.base_layer.out_proj')]), 'Unsupported', 'attn.base_layer.out_proj');
  refused(() => readPeft(files(['attn', 'attn.base_layer.out_proj'])), 'Unsupported', 'attn.base_layer.out_proj');
  for (const names of [['attn', 'attn2.base_layer.q'], ['attn', 'attn.base_layers.q'], ['attn', 'attn.q']]) assert.equal(readPeft(files(names)).entries.length, 2);
  // A name of megabytes takes no time: 400,000 steps that could each be the end of a layer.
  const long = `x${'.base_layer'.repeat(400_000)}`;
  assert.equal(readPeft(files([long, 'x.y'])).entries[0].name, long);
});

test('halves of surrogate pairs are no names, since all of them would become one', async () => {
  for (const name of ['\ud800', 'q\udfff', '\udc00\ud800']) {
    await rejected(emit([adapter(name)]), 'NotUtf8', 'name');
    refused(() => writePeft([adapter(name)]), 'NotUtf8', 'name');
    await rejected(emit([adapter('q')], { metadata: name }), 'NotUtf8', 'metadata');
    refused(() => readPeft({ ...files(['q']), tensors: safetensors(pair(name)) }), 'Format', 'adapter_model.safetensors');
  }
});

test('layers are saved and loaded by name from an object or a Map', async () => {
  const lowrank = await create();
  const make = (seed) => lowrank.layer({ inputs: 2, outputs: 3, rank: 1, tokens: 1, weights: new Float32Array(6), optimizer: 'inference', seed });
  const [one, two, three, four] = [1, 2, 3, 4].map(make);
  const layers = { b: one, 10: two, ['__proto__']: three, constructor: four };
  const file = await saveAll(layers);
  assert.deepEqual(await saveAll(new Map(Object.entries(layers))), file);
  const names = (await parse(file)).entries.map(({ name }) => name);
  assert.deepEqual(names, ['10', '__proto__', 'b', 'constructor']);
  const fresh = Object.fromEntries(names.map((name, i) => [name, make(10 + i)]));
  await loadAll(file, fresh);
  for (const name of names) assert.deepEqual(fresh[name].a, layers[name].a, name);
  await loadAll(file, new Map([['__proto__', one]]));
  assert.deepEqual(one.a, three.a);
  // `{ __proto__: layer }` names nothing: it would save nothing.
  for (const wrong of [{ __proto__: one }, one, [one], null, undefined, 'layers', 5]) {
    await rejected(saveAll(wrong), 'Type', 'layers');
    await rejected(loadAll(file, wrong), 'Type', 'layers');
  }
  for (const wrong of [null, undefined, {}, 'x', one.entry()]) await rejected(saveAll({ q: wrong }), 'Type', 'q');
});

test('tensors are written in the order of the bytes of their names, as PEFT writes them', () => {
  const names = ['\ufffd', '\ud83d\ude00', 'b', 'a.b', 'a-b'];
  const { tensors } = writePeft(names.map((name) => adapter(name)));
  const header = JSON.parse(new TextDecoder().decode(tensors.subarray(8, 8 + new DataView(tensors.buffer).getUint32(0, true))));
  const written = Object.keys(header).filter((name) => name.startsWith(PREFIX) && name.endsWith('A.weight'));
  assert.deepEqual(written.map((name) => name.slice(PREFIX.length, -'.lora_A.weight'.length)), ['a-b', 'a.b', 'b', '\ufffd', '\ud83d\ude00']);
});

test('a name that has the prefix of PEFT in it is warned of by both sides', () => {
  const odd = 'base_model.model.net.q';
  const written = writePeft([adapter('net.q'), adapter(odd), adapter('net.base_model.model.k')]);
  for (const { warnings } of [written, readPeft(written)]) {
    assert.deepEqual(warnings.map(({ code, argument }) => [code, argument]), [['Unexpected', odd]]);
    assert.match(warnings[0].message, /twice/);
  }
  assert.deepEqual(readPeft(written).entries.map(({ name }) => name), [odd, 'net.base_model.model.k', 'net.q']);
});
