import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readPeft, writePeft } from 'lowrank/peft';
import { MOST_STEPS, Name, Pattern, Work } from '../src/pattern.js';
import { files, pair, safetensors } from './adapters.js';
import { ROOT, refused } from './support.js';

/** What PEFT gives: see tools/tests/data/patterns.py. */
const ROWS = JSON.parse(readFileSync(new URL('tools/tests/data/patterns.json', ROOT), 'utf8'));

/** A configuration as text, since an object has no order among keys that look like integers. */
const text = (field, keys, rest) =>
  `{"peft_type": "LORA", "lora_alpha": 8, ${rest}, "${field}": {${keys.map(([key, value]) => `${JSON.stringify(key)}: ${value}`).join(', ')}}}`;

test('each layer has the alpha and the rank that PEFT gives it', () => {
  let [taken, refusals] = [0, 0];
  for (const { name, keys, layers, expected, unmatched } of ROWS) {
    const about = `${name}: ${JSON.stringify(keys).slice(0, 200)}`;
    const alphas = { config: text('alpha_pattern', keys, '"r": 1'), tensors: safetensors(layers.flatMap((layer) => pair(layer))) };
    // Alphas are powers of two; the exponents make small ranks.
    const ranks = keys.map(([key, alpha]) => [key, Math.log2(alpha)]);
    const rankOf = (i) => (expected === 'refused' ? 3 : Math.log2(expected[i]));
    const tensors = safetensors(layers.flatMap((layer, i) => pair(layer, rankOf(i))));
    const byRank = { config: text('rank_pattern', ranks, '"r": 3'), tensors };
    if (expected === 'refused') {
      refused(() => readPeft(alphas), 'Unsupported', 'alpha_pattern');
      refused(() => readPeft(byRank), 'Unsupported', 'rank_pattern');
      refusals++;
      continue;
    }
    const [one, other] = [readPeft(alphas), readPeft(byRank)];
    const by = (read) => Object.fromEntries(read.entries.map((layer) => [`:${layer.name}`, layer]));
    assert.deepEqual(layers.map((layer) => by(one)[`:${layer}`].scale.alpha), expected, about);
    assert.deepEqual(layers.map((layer) => by(other)[`:${layer}`].rank), expected.map(Math.log2), about);
    for (const [read, field] of [[one, 'alpha_pattern'], [other, 'rank_pattern']]) {
      assert.deepEqual(read.warnings.map(({ code, argument }) => [code, argument]), unmatched.map(() => ['NotFound', field]), about);
      unmatched.forEach((key, i) => assert.ok(read.warnings[i].message.includes(JSON.stringify(key)), read.warnings[i].message));
    }
    taken++;
  }
  assert.ok(taken > 200 && refusals > 200, `${taken} ${refusals}`);
});

test('where the order of an object would decide, it is refused, and a Map or the text is taken', () => {
  const [names, alphas] = [['net.0', 'net.2'], (read) => read.entries.map(({ scale }) => scale.alpha)];
  const [first, second] = [[['(0|2)', 16], ['0', 4]], [['0', 4], ['(0|2)', 16]]];
  for (const [keys, expected] of [[first, [16, 16]], [second, [4, 16]]]) {
    const json = text('alpha_pattern', keys, '"r": 1');
    refused(() => readPeft({ ...files(names), config: JSON.parse(json) }), 'Unsupported', 'alpha_pattern');
    const given = [json, new TextEncoder().encode(json), { ...JSON.parse(json), alpha_pattern: new Map(keys) }];
    for (const config of given) {
      const read = readPeft({ ...files(names), config });
      assert.deepEqual(alphas(read), expected);
      // What was read is written in the same order.
      const written = writePeft(read.entries, read.config);
      assert.deepEqual(alphas(readPeft(written)), expected);
      if (typeof config === 'string') assert.equal(written.config, json);
    }
    // Of a changed object, it is not known any more.
    const read = readPeft({ ...files(names), config: json });
    read.config.revision = 'main';
    refused(() => writePeft(read.entries, read.config), 'Unsupported', 'alpha_pattern');
  }
  // Where the order does not matter, an object is as good.
  assert.deepEqual(alphas(readPeft(files(names, { alpha_pattern: { q: 1, '[^0]': 16, 0: 4 } }))), [4, 16]);
  assert.deepEqual(alphas(readPeft(files(names, { alpha_pattern: { '(0|2)': 4, 0: 4 } }))), [4, 4]);
});

test('names beyond ASCII are not matched with what depends on a version of Unicode', () => {
  refused(() => readPeft(files(['é'], { rank_pattern: { '\\w': 1 } })), 'Unsupported', 'é');
  refused(() => readPeft(files(['é'], { alpha_pattern: { '[^\\d]': 1 } })), 'Unsupported', 'é');
  assert.equal(readPeft(files(['é'], { alpha_pattern: { '[é-ü]': 3 } })).entries[0].scale.alpha, 3);
});

test('no key takes more steps than it has states, times the length of the name and one', () => {
  const hostile = ['.*'.repeat(8), '(a*)*', '(a|a)*', '((a*)*)*', '(a|b|ab)*', '(?:a?){30}a{30}', '(.*.*)*', '(^|a|$)*', 'a{1,50}a{1,50}a{1,50}'];
  for (const key of hostile.flatMap((each) => [each, `x${each}`, `${each}x`, `x${each}|${each}|^${each}y`])) {
    const pattern = new Pattern(key);
    for (const length of [1, 10, 100, 1000]) {
      const name = new Name('a'.repeat(length));
      const work = new Work('alpha_pattern');
      pattern.matches(name, work);
      assert.ok(work.steps > 0 && work.steps <= pattern.states * (length + 1), `${key}: ${work.steps} of ${pattern.states} * ${length + 1}`);
      // The bound is an exact one.
      pattern.matches(name, new Work('alpha_pattern', work.steps));
      assert.throws(() => pattern.matches(name, new Work('alpha_pattern', work.steps - 1)), /alpha_pattern: its patterns take more/);
    }
  }
  assert.throws(() => new Pattern('(a{100}){101}'), /written out/);
  // Neither are too many of them compiled.
  const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`a{9990}${i}`, 1]));
  assert.throws(() => readPeft(files(['q'], { alpha_pattern: many })), /alpha_pattern: its patterns have more than 524288 characters/);
});

test('1,000 keys and 1,000 names take few of the steps that are allowed', () => {
  const kinds = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj', 'mlp.up_proj', 'mlp.down_proj', 'mlp.gate_proj', 'mlp.x', 'mlp.y', 'mlp.z'];
  const names = Array.from({ length: 1000 }, (_, i) => `model.layers.${Math.floor(i / 10)}.${kinds[i % 10]}`);
  for (const key of [(name) => `^${name.replaceAll('.', '\\.')}`, (name) => name, (name) => `.*${name.slice(5)}`]) {
    const work = new Work('alpha_pattern');
    const patterns = names.map((name) => new Pattern(key(name)));
    const hits = names.map((name) => new Name(name)).map((name) => patterns.filter((pattern) => pattern.matches(name, work)).length);
    assert.ok(hits.every((count) => count === 1), key('n'));
    assert.ok(work.steps < MOST_STEPS / 32, `${work.steps}`);
  }
});

test('more steps than are allowed are refused, over all keys and names together', () => {
  const names = Array.from({ length: 12 }, (_, i) => 'a'.repeat(5000 + i));
  const { tensors } = files(names);
  const config = { peft_type: 'LORA', r: 1, alpha_pattern: { 'x(?:a?){5000}': 4 } };
  assert.throws(() => readPeft({ config, tensors }), /alpha_pattern: its patterns take more than \d+ steps/);
});
