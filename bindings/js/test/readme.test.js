import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
/** The blocks of code of a section. @param {string} title */
const blocks = (title) => [...readme.split(`\n## ${title}\n`)[1].split('\n## ')[0].matchAll(/```js\n([^]*?)```/g)].map(([, code]) => code);
const cwd = fileURLToPath(new URL('..', import.meta.url));

test('the quickstart runs as it is written, and prints what is written', () => {
  const [, code, output] = /## Quickstart\n[^]*?```js\n([^]*?)```\n\n```output\n([^]*?)```/.exec(readme);
  assert.ok(code.trim().split('\n').length <= 15);
  assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', code], { cwd, encoding: 'utf8' }), output);
});

const runs = (...lines) => execFileSync(process.execPath, ['--input-type=module', '-e', lines.join('\n')], { cwd, encoding: 'utf8', timeout: 60_000 });

const LAYERS = `import { create } from 'lowrank';
  const lowrank = await create();
  const make = () => lowrank.layer({ inputs: 2, outputs: 3, rank: 2, tokens: 2, weights: new Float32Array(6) });
  const [layer, hidden, output] = [make(), make(), make()];`;

test('files are written and read as it is written', () => {
  const [alone, several] = blocks('Files and PEFT');
  assert.equal(runs(LAYERS, alone, 'console.log(bytes.length > 200, layer.steps);'), 'true 0\n');
  const made = "const { config, tensors } = (await import('lowrank/peft')).writePeft([output.entry('model.fc1')]);";
  const shown = "console.log((await parse(file)).entries.map(({ name }) => name), warnings, files.tensors.length === tensors.length, typeof loadAll);";
  assert.equal(runs(LAYERS, made, several, shown), "[ 'model.fc1', 'model.fc2' ] [] true function\n");
});

test('another module is taken as it is written', () => {
  const [code] = blocks('Other modules, other hosts');
  assert.equal(runs(code, 'console.log(lowrank.flavour, lowrank.arithmetics);'), "simd128 [ 'separate', 'fused' ]\n");
});

test('the worker trains as it is written, and stops', async () => {
  const [worker, page] = blocks('In a worker').map((code) => code.replace(/'(lowrank[^']*)'/g, (_, name) => `'${import.meta.resolve(name)}'`));
  const folder = mkdtempSync(join(tmpdir(), 'lowrank-readme-'));
  try {
    // Node's workers have a port in place of a global scope with messages.
    const served = worker.replace(/\}\);\n$/, "}, (await import('node:worker_threads')).parentPort);\n");
    writeFileSync(join(folder, 'worker.mjs'), served);
    // A hundred steps may be over before the message that stops them is in.
    writeFileSync(join(folder, 'longer.mjs'), served.replace('step < 100', 'step < 1e6'));
    writeFileSync(join(folder, 'page.mjs'), [
      "import { Worker } from 'node:worker_threads';", page.replace('./worker.js', './worker.mjs'), 'console.log(file.length > 200);',
      "let last; const progress = ({ step }) => { last = step; if (step === 3) stop.abort(); };",
      "const longer = connect(new Worker(new URL('./longer.mjs', import.meta.url)));",
      "const rest = await longer.call('train', { weights, x, labels }, { progress, signal: stop.signal });",
      'console.log(last < 1e6 - 1 && rest.file.length > 200); worker.terminate(); longer.terminate();',
    ].join('\n'));
    const lines = execFileSync(process.execPath, [join(folder, 'page.mjs')], { encoding: 'utf8', timeout: 60_000 }).trim().split('\n');
    assert.deepEqual([lines.length, lines.filter((line) => line === 'true').length], [102, 2]);
    assert.match(lines[99], /^\{ step: 99, loss: 0\.\d+ \}$/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the table of wrong uses says what happens', async () => {
  const { LowrankError, create } = await import('lowrank');
  const lowrank = await create();
  const options = { inputs: 2, outputs: 3, rank: 2, tokens: 4, weights: new Float32Array(6) };
  const layer = lowrank.layer(options);
  const rows = [...readme.matchAll(/^\| (?:`(layer|step|forward|backward)\((.*?)\)`.*?) \| `(\w+)` \| `(\w+)`/gm)];
  assert.ok(rows.length >= 6, `${rows.length} rows`);
  for (const [row, method, text, code, argument] of rows) {
    if (row.includes('infinite')) continue;
    const call = new Function('lowrank', 'layer', 'options', `${method === 'layer' ? 'lowrank' : 'layer'}.${method}(${text.replace('...', '...options')})`);
    assert.throws(() => call(lowrank, layer, options), (error) => {
      assert.ok(error instanceof LowrankError, row);
      assert.deepEqual([error.code, error.argument], [code, argument], row);
      return true;
    });
  }
});
