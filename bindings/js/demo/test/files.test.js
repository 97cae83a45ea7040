// Adapters out of the page and into it, and files that are none.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { emit, parse } from '../../dist/files.js';
import { replaced } from '../../test/adapters.js';
import { barsOf, DIGEST, pageTest, predicted, ready, readings, screenshot, textOf, train } from './support.js';
import { drop, open, PEFT_CONFIG, PEFT_TENSORS, save } from './adapters.js';

pageTest('saved, reloaded and opened, an adapter reads as before, and can be trained on', async ({ page, folder }) => {
  await train(page);
  await predicted(page);
  const [bars, read] = [await barsOf(page, 'after-bars'), await readings(page)];
  const path = await save(page, '#save', folder);
  await page.reload();
  await ready(page);
  await open(page, path);
  assert.match(await textOf(page, '#loaded'), /^Opened adapter.lowrank: 680 numbers, \d\d\.\d % read correctly\.$/);
  assert.deepEqual(await readings(page), read);
  await page.locator('#grid-back').click({ clickCount: 5 });
  await page.locator('.tile').first().click();
  await predicted(page);
  assert.deepEqual(await barsOf(page, 'after-bars'), bars);
  await train(page);
  const digest = await textOf(page, '#digest');
  assert.notEqual(digest, DIGEST, 'it did not start from nothing');
  await train(page);
  assert.equal(await textOf(page, '#digest'), digest, 'again from the file');
});

pageTest('as PEFT, both files come back with the same numbers', async ({ page, folder }) => {
  await page.locator('#rank').fill('3');
  await page.locator('#rank').press('Tab');
  await ready(page);
  await train(page);
  const read = await readings(page);
  const files = [await save(page, '#save-peft', folder), await save(page, '#save-config', folder)];
  await page.locator('#reset').click();
  await ready(page);
  await drop(page, ...files);
  assert.match(await textOf(page, '#loaded'), /^Opened adapter_.* and adapter_.*: 510 numbers/);
  assert.equal(await textOf(page, '#rank-value'), '3');
  assert.deepEqual(await readings(page), read);
});

/** Opens files, and takes the message away that has to come. */
async function refused(page, paths, words, say) {
  await page.locator('#open').setInputFiles(paths);
  const error = page.locator('#error');
  await error.waitFor();
  const text = await textOf(page, '#error-text');
  say(text);
  assert.match(text, words);
  await screenshot(page, 'error');
  await page.locator('#error-close').click();
  await error.waitFor({ state: 'hidden' });
  await ready(page);
}

/** Files that are refused, with what is said. */
const config = (changes) => JSON.stringify({ ...JSON.parse(readFileSync(PEFT_CONFIG, 'utf8')), ...changes });
const REFUSED = [
  ['a picture', { 'photo.png': '\x89PNG\r\n\x1a\n and so on' }, /^photo\.png: expected an adapter file, .* got one that starts with 89 50 4e 47 /],
  ['an empty file', { 'adapter.lowrank': '' }, /^adapter\.lowrank: expected an adapter file, .* got an empty file$/],
  ['tensors without configuration', { 'adapter_model.safetensors': readFileSync(PEFT_TENSORS) }, /adapter_config\.json.*missing/],
  ['a configuration without tensors', { 'adapter_config.json': config({}) }, /adapter_model\.safetensors.*missing/],
  ['DoRA', { 'adapter_config.json': config({ use_dora: true }), 'adapter_model.safetensors': readFileSync(PEFT_TENSORS) }, /use_dora/],
  ['what is no JSON', { 'adapter_config.json': '{', 'adapter_model.safetensors': readFileSync(PEFT_TENSORS) }, /adapter_config\.json/],
  ['tensors that are cut off', { 'adapter_config.json': config({}), 'adapter_model.safetensors': readFileSync(PEFT_TENSORS).subarray(0, 900) }, /adapter_model\.safetensors/],
  ['another rank', { 'adapter_config.json': config({ rank_pattern: {} }), 'adapter_model.safetensors': readFileSync(PEFT_TENSORS) }, /rank/i],
];

pageTest('what is no adapter is refused in words, and changes nothing', async ({ page, folder, say }) => {
  await train(page);
  const before = readFileSync(await save(page, '#save', folder));
  for (const [what, files, words] of REFUSED) {
    const paths = Object.entries(files).map(([name, bytes]) => {
      writeFileSync(join(folder, name), bytes, typeof bytes === 'string' ? 'latin1' : undefined);
      return join(folder, name);
    });
    await refused(page, paths, words, (text) => say(`${what}: ${text}`));
  }
  assert.deepEqual(readFileSync(await save(page, '#save', folder)), before);
});

/** Files with the right layers of another shape, with other layers, with a hole, and damaged ones. */
async function strangers(good) {
  const { entries } = await parse(good);
  const wide = entries.map((entry) => ({ ...entry, inputs: 65, a: new Float32Array(65 * entry.rank), training: undefined }));
  const renamed = entries.map((entry) => ({ ...entry, name: `other.${entry.name}` }));
  const marked = entries.map((entry) => ({ ...entry, a: entry.a.map((value, i) => (i === 7 ? 12345 : value)) }));
  const dead = entries.map((entry) => ({ ...entry, a: entry.a.map(() => 0), b: entry.b.map(() => 0), training: undefined }));
  const flipped = Buffer.from(good);
  flipped[flipped.length - 5] ^= 1;
  return [
    ['another shape', await emit(wide), /stranger\.lowrank: layer hidden: expected 64 inputs and 48 outputs, got 65 and 48/],
    ['other layers', await emit(renamed), /expected adapters of the layers hidden and output, got other\.hidden, other\.output/],
    ['a hole', replaced(await emit(marked), 12345, NaN), /stranger\.lowrank: a: layer hidden, expected finite numbers, got NaN at 7/],
    ['zeros', await emit(dead), /layer hidden: A and B are both zero/],
    ['a bit that flipped', flipped, /stranger\.lowrank is damaged/],
    ['the second half is missing', good.subarray(0, good.length / 2), /stranger\.lowrank is damaged/],
  ];
}

pageTest('adapters of other networks, and damaged ones, are refused', async ({ page, folder, say }) => {
  await train(page);
  const before = readFileSync(await save(page, '#save', folder));
  for (const [what, bytes, words] of await strangers(before)) {
    const path = join(folder, 'stranger.lowrank');
    writeFileSync(path, bytes);
    await refused(page, [path], words, (text) => say(`${what}: ${text}`));
  }
  assert.deepEqual(readFileSync(await save(page, '#save', folder)), before);
});
