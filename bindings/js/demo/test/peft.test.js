// Adapters of PyTorch + PEFT in the page, and those of the page in PyTorch, on the command line and on a microcontroller.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { largest, softmax } from '../page/app/bars.js';
import { drop, PEFT_FOLDER, save } from './adapters.js';
import { barsOf, numberOf, pageTest, predicted, readings, ready, ROOT, textOf, train } from './support.js';

const CLASSES = 10;
const PYTHON = join(ROOT, 'target', 'peft', 'bin', 'python');
const LOWRANK = join(ROOT, 'target', 'release', 'lowrank');

/** What PyTorch made of each mirrored test image. */
function logitsOfPyTorch() {
  const { buffer, byteOffset, length } = readFileSync(join(PEFT_FOLDER, 'logits.bin'));
  const all = new Float32Array(buffer.slice(byteOffset, byteOffset + length));
  return Array.from({ length: all.length / CLASSES }, (_, i) => all.subarray(i * CLASSES, (i + 1) * CLASSES));
}

pageTest('the folder of an adapter that PyTorch has trained reads as it does in PyTorch', async ({ page, say }) => {
  await page.locator('#task').selectOption('mirrored');
  await ready(page);
  const before = await textOf(page, '#accuracy');
  await drop(page, PEFT_FOLDER);
  assert.equal(await textOf(page, '#rank-value'), '5');
  // Rank 5 on 64 + 48, rank 3 on 48 + 10.
  assert.equal(await textOf(page, '#parameters'), '734');
  const logits = logitsOfPyTorch();
  const read = (await readings(page)).map((image) => Number(image.read));
  assert.equal(read.length, 360);
  assert.deepEqual(read, logits.map(largest));
  say(`mirrored: ${before} -> ${await textOf(page, '#accuracy')}, as PyTorch on 360 of 360 images`);
  await page.locator('.tile').last().click();
  await predicted(page);
  const shares = softmax(logits.at(-1)).map((share, digit) => `${digit}: ${(100 * share).toFixed(1)} %`);
  assert.deepEqual(await barsOf(page, 'after-bars'), shares);
});

pageTest('an adapter of the page reads the same in PyTorch, and on a microcontroller', async ({ page, folder, say }) => {
  await train(page);
  const all = await readings(page);
  const read = all.map((image) => Number(image.read));
  const right = all.filter((image) => image.read === image.label).length;
  const path = await save(page, '#save', folder);
  const unpacked = join(folder, 'unpacked');
  execFileSync(LOWRANK, ['convert', path, unpacked]);
  assert.deepEqual(inPyTorch(unpacked), read);
  say(`PyTorch reads ${right} of 360 with it, as the page does`);

  const peft = join(folder, 'peft');
  mkdirSync(peft);
  await save(page, '#save-peft', peft);
  await save(page, '#save-config', peft);
  assert.deepEqual(inPyTorch(peft), read);

  const said = onMicrocontroller(unpacked, folder, right);
  assert.match(said, new RegExp(`read with it: ${right} of 360, ${right} expected`));
  say(`a Cortex-M4F reads ${right} of 360 with it`);
  assert.equal(await numberOf(page, '#accuracy'), Number((right / 3.6).toFixed(1)));
});

function inPyTorch(directory) {
  const script = join(ROOT, 'bindings', 'js', 'demo', 'test', 'make_peft_adapter.py');
  return JSON.parse(execFileSync(PYTHON, [script, '--read', directory], { encoding: 'utf8' }));
}

/** Runs the image `adapter` of the firmware with another adapter: in a copy of it, beside the rest of the project. */
function onMicrocontroller(adapter, folder, expected) {
  const beside = join(ROOT, 'target', 'ci', 'demo', 'firmware');
  const copy = join(beside, 'firmware');
  rmSync(join(copy, 'src'), { recursive: true, force: true });
  mkdirSync(beside, { recursive: true });
  for (const name of readdirSync(ROOT).filter((each) => !['.git', 'target', 'firmware'].includes(each))) {
    rmSync(join(beside, name), { force: true });
    symlinkSync(join(ROOT, name), join(beside, name));
  }
  cpSync(join(ROOT, 'firmware'), copy, { recursive: true, filter: (file) => !file.endsWith(`${sep}target`) });
  const image = join(copy, 'src', 'bin', 'adapter.rs');
  writeFileSync(image, readFileSync(image, 'utf8').replace(/EXPECTED: usize = \d+/, `EXPECTED: usize = ${expected}`));
  execFileSync(LOWRANK, ['convert', adapter, join(folder, 'packed'), '--strip', '--rust', join(copy, 'src', 'adapter.rs'), '--force']);
  return execFileSync(join(copy, 'run'), ['m4', 'adapter'], { encoding: 'utf8' });
}
