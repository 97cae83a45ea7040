import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const cwd = fileURLToPath(new URL('..', import.meta.url));

test('the quickstart runs as it is written, and prints what is written', () => {
  const [, code, output] = /## Quickstart\n[^]*?```js\n([^]*?)```\n\n```output\n([^]*?)```/.exec(readme);
  assert.ok(code.trim().split('\n').length <= 15);
  assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', code], { cwd, encoding: 'utf8' }), output);
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
