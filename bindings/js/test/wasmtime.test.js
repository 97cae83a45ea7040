import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { create } from 'lowrank';
import { url } from 'lowrank/wasm';
import { ROOT } from './support.js';

const PYTHON = fileURLToPath(new URL('target/wasmtime/bin/python', ROOT));
const SCRIPT = fileURLToPath(new URL('../examples/wasmtime_host.py', import.meta.url));

/** What the script prints, from the package. */
async function expected() {
  const lowrank = await create({ simd: false });
  const weights = Float32Array.of(1, 0, 0, 1, 1, 1);
  const layer = lowrank.layer({ inputs: 2, outputs: 3, rank: 2, tokens: 4, weights, scale: 1, seed: 42, layerNumber: 0 });
  layer.x.set([1, 2, 2, 1, 0, 1, 1, 0]);
  const losses = [];
  for (let step = 0; step < 20; step++) {
    layer.forward();
    losses.push(layer.softmaxCrossEntropy([0, 1, 0, 1]));
    layer.backward();
    layer.step({ learningRate: 0.05 });
  }
  const bytes = [layer.a, layer.b].map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength).toString('hex'));
  return { losses, adapter: bytes.join('') };
}

for (const name of Object.keys(url)) {
  test(`${name} in wasmtime: the bits of the package`, { skip: !existsSync(PYTHON) && 'no wasmtime: scripts/setup web' }, async () => {
    const lines = execFileSync(PYTHON, [SCRIPT, fileURLToPath(url[name])], { encoding: 'utf8' }).trim().split('\n');
    const { losses, adapter } = await expected();
    assert.deepEqual(lines.slice(0, -1).map((line) => Math.fround(Number(line.split('loss ')[1]))), losses);
    assert.equal(lines.at(-1), adapter);
  });
}
