// Draw, train, see the accuracy rise.

import assert from 'node:assert/strict';
import { create } from '../../dist/index.js';
import { barsOf, DIGEST, draw, finished, FUSED_DIGEST, mainThreadTasks, numberOf, pageTest, predicted, readings, ready, screenshot, textOf, train } from './support.js';

const ELLIPSE = Array.from({ length: 25 }, (_, i) => [0.5 - 0.2 * Math.sin((i * Math.PI) / 12), 0.5 - 0.4 * Math.cos((i * Math.PI) / 12)]);
const SEVEN = [[0.25, 0.15], [0.75, 0.15], [0.45, 0.85]];

pageTest('the defaults read 84 % within a second or two, and the digest is that of every other platform', async ({ page, say }) => {
  await screenshot(page, 'light');
  const { wasmBytes } = await create();
  assert.equal(await textOf(page, '#module-size'), `${(wasmBytes / 1000).toFixed(1)} kB`);
  assert.ok((await numberOf(page, '#accuracy')) < 20, 'the base fails');
  await train(page);
  const [, seconds] = (await textOf(page, '#status')).match(/^Done: 440 steps in ([\d.]+) s$/);
  say(`watched: 440 steps in ${seconds} s, ${await textOf(page, '#accuracy')}, ${await textOf(page, '#steps-rate')} steps/s, ${await textOf(page, '#gflops')} GFLOP/s`);
  assert.ok((await numberOf(page, '#accuracy')) >= 84);
  assert.equal(await textOf(page, '#digest'), DIGEST);
  assert.ok((await numberOf(page, '#loss')) < 1, 'the loss has fallen');
  assert.ok((await numberOf(page, '#steps-rate')) > 0 && (await numberOf(page, '#gflops')) > 0);
  assert.match(await page.locator('#loss-chart svg').getAttribute('aria-label'), /^Loss, \d+\.\d at first, 0\.\d after 440 steps$/);
  await screenshot(page, 'trained');
  await page.emulateMedia({ colorScheme: 'dark' });
  await screenshot(page, 'dark');
});

for (const flavour of ['scalar', 'simd128']) {
  pageTest(`${flavour}, at full speed, has the same digest`, async ({ page, say }) => {
    await page.locator('#flavour').selectOption(flavour);
    await ready(page);
    await page.locator('#watch').uncheck();
    await train(page);
    assert.match(await textOf(page, '#flavour-shown'), new RegExp(`^${flavour},`));
    assert.equal(await textOf(page, '#digest'), DIGEST);
    assert.ok((await numberOf(page, '#accuracy')) >= 84);
    say(`${flavour}: ${await textOf(page, '#status')}, computing ${await textOf(page, '#computing')}, ${await textOf(page, '#wasm-bytes')}`);
  });
}

pageTest('the main thread has no task above 50 ms while it trains', async ({ page, say }) => {
  const tasks = await mainThreadTasks(page, () => train(page));
  const longest = tasks.reduce((a, b) => (a.computed > b.computed ? a : b));
  say(`${tasks.length} tasks in 440 steps, at most ${longest.computed.toFixed(1)} ms, for which ${longest.passed.toFixed(1)} ms passed`);
  // As it is drawn anew after every few steps, fewer would be those of another thread.
  assert.ok(tasks.length > 100 && tasks.every(({ computed }) => computed >= 0));
  assert.ok(longest.computed < 50);
});

pageTest('fused arithmetic loads the full module, and has its own digest', async ({ page, say }) => {
  const small = await numberOf(page, '#wasm-bytes');
  const loading = page.waitForRequest(/full-[a-z0-9]+\.wasm$/);
  await page.locator('#arithmetic').selectOption('fused');
  await loading;
  await ready(page);
  assert.ok((await numberOf(page, '#wasm-bytes')) > small);
  await train(page);
  say(`fused: ${await textOf(page, '#computing')}, ${await textOf(page, '#wasm-bytes')}`);
  assert.equal(await textOf(page, '#digest'), FUSED_DIGEST);
});

pageTest('stopped and continued is never interrupted; reset is as at first', async ({ page }) => {
  const before = await textOf(page, '#accuracy');
  await page.evaluate(async () => {
    const element = (id) => document.getElementById(id);
    element('train').click();
    while (!/^(step|Done)/.test(element('status').textContent)) await new Promise(requestAnimationFrame);
    element('stop').click();
  });
  await finished(page);
  const [, stoppedAt] = (await textOf(page, '#status')).match(/^Stopped: (\d+) steps/);
  assert.equal(await textOf(page, '#train'), 'Continue');
  await page.locator('#train').click();
  await page.locator('#status', { hasText: /^Done/ }).waitFor({ timeout: 60_000 });
  await ready(page);
  assert.equal(await textOf(page, '#digest'), DIGEST);
  assert.match(await textOf(page, '#computing'), new RegExp(` for ${440 - stoppedAt} steps$`));
  await page.locator('#reset').click();
  await ready(page);
  assert.equal(await textOf(page, '#accuracy'), before);
  await train(page);
  assert.equal(await textOf(page, '#digest'), DIGEST);
});

pageTest('a digit that is drawn is read after the training', async ({ page }) => {
  await page.locator('#clear').click();
  assert.equal(await textOf(page, '#after-digit'), '–');
  await draw(page, ELLIPSE);
  await predicted(page);
  assert.notEqual(await textOf(page, '#after-digit'), '0', 'the base fails');
  const before = await barsOf(page, 'before-bars');
  await train(page);
  await page.locator('#after-digit', { hasText: '0' }).waitFor();
  assert.deepEqual(await barsOf(page, 'before-bars'), before, 'the base stays');
  assert.notDeepEqual(await barsOf(page, 'after-bars'), before);
});

pageTest('mirrored digits, another rank, another seed', async ({ page, say }) => {
  await page.locator('#task').selectOption('mirrored');
  await page.locator('#rank').fill('8');
  await page.locator('#rank').press('Tab');
  await ready(page);
  const before = await numberOf(page, '#accuracy');
  assert.ok(before > 40, 'some digits look the same in a mirror');
  const digests = new Set();
  for (const seed of ['0', '3']) {
    await page.locator('#seed').fill(seed);
    await page.locator('#seed').press('Tab');
    await ready(page);
    await train(page);
    say(`mirrored, seed ${seed}: ${before} % -> ${await textOf(page, '#accuracy')}`);
    assert.ok((await numberOf(page, '#accuracy')) >= 84);
    digests.add(await textOf(page, '#digest'));
  }
  assert.equal(digests.size, 2);
  assert.equal(await textOf(page, '#parameters'), '1360');
});

pageTest('own handwriting is learnt', async ({ page }) => {
  await page.locator('#task').selectOption('own');
  await page.locator('#status', { hasText: 'Draw digits' }).waitFor();
  await page.locator('#clear').click();
  // A seven that means 3, and a circle that means 9: the base cannot know.
  for (const [stroke, label] of [[SEVEN, 3], [ELLIPSE, 9], [SEVEN.map(([x, y]) => [x - 0.05, y]), 3]]) {
    await draw(page, stroke);
    await page.locator(`#labels button >> text="${label}"`).click();
    await ready(page);
  }
  assert.equal(await textOf(page, '#own-count'), '3 images');
  assert.ok((await numberOf(page, '#accuracy')) < 50);
  await page.locator('#train').click();
  assert.ok(await page.locator('#forget').isDisabled(), 'not while it trains');
  await finished(page);
  assert.equal(await textOf(page, '#accuracy'), '100.0 %');
  assert.deepEqual((await readings(page)).map(({ label, read }) => label + read), ['33', '99', '33']);
  await draw(page, SEVEN);
  await page.locator('#after-digit', { hasText: '3' }).waitFor();
});

pageTest('settings out of range are not taken', async ({ page }) => {
  for (const [id, value] of [['steps', '0'], ['steps', '1.5'], ['learning-rate', '-1'], ['learning-rate', ''], ['seed', '-1']]) {
    const field = page.locator(`#${id}`);
    const good = await field.inputValue();
    await field.fill(value);
    await page.locator('#train').click();
    assert.ok(await field.evaluate((input) => !input.validity.valid), `${id} ${value}`);
    assert.equal(await textOf(page, '#loss'), '–', `${id} ${value} does not train`);
    await field.fill(good);
  }
});

pageTest('a training that blows up says so, and a reset helps', async ({ page, say }) => {
  await page.locator('#learning-rate').fill('1e30');
  await page.locator('#train').click();
  await page.locator('#error').waitFor();
  say(await textOf(page, '#error-text'));
  assert.match(await textOf(page, '#error-text'), /^The training has blown up.*Reset, and take a lower learning rate\.$/);
  await page.locator('#error-close').click();
  await page.locator('#learning-rate').fill('0.02');
  await page.locator('#reset').click();
  await ready(page);
  await train(page);
  assert.equal(await textOf(page, '#digest'), DIGEST);
});
