// Whatever a field of adapter_config.json holds, this package and the command take it, refuse it or warn of it alike.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readPeft } from 'lowrank/peft';
import { PREFIX, safetensors, tensor } from './adapters.js';
import { command, read } from './support.js';

const directory = mkdtempSync(join(tmpdir(), 'lowrank-'));
after(() => rmSync(directory, { recursive: true }));

const TABLE = JSON.parse(new TextDecoder().decode(await read('tools/src/peft/fields.json')));
const LINES = [...TABLE, { field: 'use_of_tomorrow', use: 'unknown' }];

/** JSON that says nothing, and JSON that says something. */
const NOTHING = ['null', 'false', '""', '[]', '{}', '[ ]', '{\n}'];
const SOMETHING = [
  'true', '0', '-0', '1', '2', '2.0', '2e0', '-1', '0.5', '1e39', '1e400', '4294967296', '9007199254740993', '"x"', '" "', '"2"', '"false"', '[0]',
  '[[]]', '["q"]', '{"q":null}', '{"q":2}', '{"q":2.5}', '{"q":"2"}', '{"net.q":2,"v":2}', '{"nothing":2}', '{"nothing":2,"never":3}', '{"(":2}',
  '"LORA"', '"lora"', '"LOHA"', '"none"', '"None"', '"lora_only"', '"all"', '"gaussian"', '"Gaussian"', '"GAUSSIAN"', '"gau\u017f\u017fian"',
  '"orthogonal"', '"Orthogonal"', '"eva"', '"EVA"', '"pissa"', '"pissa_niter_16"', '"olora"', '"corda"', '"loftq"', '"lora_ga"', '"mica"',
];

const TENSORS = safetensors(['net.q', 'net.v'].flatMap((name) => [tensor(`${name}.lora_A.weight`, [2, 4]), tensor(`${name}.lora_B.weight`, [3, 2])]));
const CONFIG = { peft_type: '"LORA"', r: '2', lora_alpha: '4' };
const configOf = (fields) => {
  const given = Object.entries({ ...CONFIG, ...fields }).filter(([, json]) => json !== undefined);
  return `{${given.map(([field, json]) => `"${field}": ${json}`).join(', ')}}`;
};

const CASES = LINES.flatMap(({ field, use }) => [...NOTHING, ...SOMETHING].map((json) => ({ field, use, json, text: configOf({ [field]: json }) })));
// What is not there has a default, the rank 8 of which fits to no tensor here.
CASES.push(...Object.keys(CONFIG).map((field) => ({ field, use: 'read', json: 'absent', text: configOf({ [field]: undefined }) })));

/** What this package says: whether it takes it, whether it blames the configuration, the message, and the number of warnings. */
function ours({ text }) {
  try {
    return { good: true, blamed: false, message: '', warnings: readPeft({ config: text, tensors: TENSORS }).warnings.length };
  } catch (error) {
    return { good: false, blamed: !error.argument.startsWith(PREFIX), message: error.message, warnings: 0 };
  }
}

/** What the command says of all cases. */
function theirs(cases) {
  const paths = cases.map(({ text }, number) => {
    const path = join(directory, `${number}-`);
    mkdirSync(path);
    writeFileSync(join(path, 'adapter_config.json'), text);
    writeFileSync(join(path, 'adapter_model.safetensors'), TENSORS);
    return path;
  });
  const { stdout, stderr } = command('verify', '--json', ...paths);
  const warnings = stderr.split('\n').filter((line) => line.startsWith('warning: '));
  return JSON.parse(stdout).map(({ good, flaw }, number) => ({
    good, blamed: !good && !flaw.includes('adapter_model.safetensors'), message: flaw ?? '',
    // A warning of the command has all keys that stand for no layer.
    warnings: warnings.filter((line) => line.includes(paths[number])).flatMap((line) => [...line.matchAll(/"/g)]).length / 2,
  }));
}

test('both doors take, refuse and warn of every field alike', () => {
  const all = theirs(CASES);
  const seen = { taken: 0, refused: 0, warned: 0 };
  CASES.forEach((each, number) => {
    const [own, other] = [ours(each), all[number]];
    const { field, json } = each;
    const what = `${field}: ${json}: ${own.message} | ${other.message}`;
    assert.deepEqual([own.good, own.blamed, own.warnings], [other.good, other.blamed, other.warnings], what);
    if (own.blamed) for (const { message } of [own, other]) assert.ok(message.includes(field), what);
    seen[own.good ? 'taken' : 'refused']++;
    if (own.warnings > 0) seen.warned++;
  });
  assert.ok(seen.taken > 900 && seen.refused > 900 && seen.warned >= 4, JSON.stringify(seen));
});

test('what happens to a field is what its line of the table says', () => {
  for (const each of CASES) {
    const { good, message } = ours(each);
    const what = `${each.field}: ${each.json}: ${message}`;
    if (each.use === 'carried') assert.ok(good, what);
    if (each.use !== 'refused' && each.use !== 'unknown') continue;
    assert.equal(good, NOTHING.includes(each.json), what);
    const { means } = LINES.find(({ field }) => field === each.field);
    assert.ok(good || message.includes(means ?? 'not known'), what);
  }
  assert.deepEqual(new Set(LINES.map(({ use }) => use)), new Set(['read', 'carried', 'refused', 'unknown']));
});
