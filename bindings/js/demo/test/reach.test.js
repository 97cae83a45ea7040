// Narrow screens, touch, keyboards, colours, and no network.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSite } from '../site.js';
import { DIGEST, finished, FUSED_DIGEST, numberOf, pageTest, predicted, ready, screenshot, textOf, train } from './support.js';

const CONTROLS = 'button:visible, input:visible, select:visible, summary:visible, canvas[tabindex]:visible, a:visible';
const PHONE = { viewport: { width: 360, height: 740 }, media: { hasTouch: true, isMobile: true } };

pageTest('on a screen of 360 pixels nothing is cut off, and touch draws and trains', async ({ page }) => {
  await page.locator('summary').tap();
  await page.locator('#task').selectOption('own');
  await page.locator('#status', { hasText: 'Draw digits' }).waitFor();
  for (const control of await page.locator(CONTROLS).all()) {
    await control.scrollIntoViewIfNeeded();
    const { x, width, height } = await control.boundingBox();
    const name = await control.evaluate((element) => element.outerHTML);
    assert.ok(x >= 0 && x + width <= 360, `${name} from ${x} to ${x + width}`);
    assert.ok(height >= 16 && width >= 16, `${name} is ${width} by ${height}`);
  }
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  await page.locator('#task').selectOption('rotated');
  await ready(page);
  await page.locator('#clear').tap();
  await page.locator('#pad').scrollIntoViewIfNeeded();
  const scrolled = await page.evaluate(() => scrollY);
  await touchLine(page);
  assert.equal(await page.evaluate(() => scrollY), scrolled, 'drawing does not scroll');
  await predicted(page);
  await page.locator('#train').tap();
  await finished(page);
  assert.equal(await textOf(page, '#digest'), DIGEST);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  await screenshot(page, 'narrow');
}, PHONE);

async function touchLine(page) {
  const { x, y, width, height } = await page.locator('#pad').boundingBox();
  const session = await page.context().newCDPSession(page);
  const touch = (type, ...touchPoints) => session.send('Input.dispatchTouchEvent', { type, touchPoints });
  await touch('touchStart', { x: x + width / 2, y: y + height * 0.2 });
  for (const share of [0.4, 0.6, 0.8, 0.8]) {
    await touch('touchMove', { x: x + width / 2, y: y + height * share });
    // A finger that is still moving when it leaves would make the next tap one that stops the scrolling.
    await page.waitForTimeout(100);
  }
  await touch('touchEnd');
}

pageTest('everything works by keyboard, and the focus can be seen', async ({ page }) => {
  const seen = new Set();
  const press = (key) => page.keyboard.press(key);
  const focused = () => page.evaluate(() => {
    const element = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    return { id: element.id, tag: element.tagName, visible: outlineStyle !== 'none' && outlineWidth !== '0px' };
  });
  const tabTo = async (id) => {
    for (let i = 0; i < 120; i++) {
      await press('Tab');
      const now = await focused();
      if (now.tag !== 'BODY') assert.ok(now.visible, `the focus on ${now.tag} ${now.id}`);
      seen.add(now.id);
      if (now.id === id) return;
    }
    assert.fail(`${id} was not reached`);
  };
  await tabTo('train');
  await press('Enter');
  await finished(page);
  assert.equal(await textOf(page, '#digest'), DIGEST);
  assert.equal((await focused()).id, 'train', 'the focus stays');
  await tabTo('grid-next');
  await press('Space');
  assert.equal(await textOf(page, '#grid-page'), '61–120 of 360');
  await tabTo('pad');
  await press('Delete');
  for (const key of ['ArrowDown', 'ArrowRight', 'Space', 'ArrowRight', 'Space', 'ArrowRight', 'Space']) await press(key);
  assert.equal(await textOf(page, '#pad-cell'), 'row 2, column 4: ink');
  await predicted(page);
  await tabTo('task');
  await press('ArrowDown');
  await ready(page);
  assert.equal(await textOf(page, '#task-words'), 'mirrored ones');
  await tabTo('rank');
  for (const rank of ['5', '6']) {
    await press('ArrowRight');
    await ready(page);
    assert.equal(await textOf(page, '#rank-value'), rank);
  }
  await tabTo('watch');
  await press('Space');
  await tabTo('open');
  await tabTo('train');
  await press('Space');
  await finished(page);
  assert.ok((await numberOf(page, '#accuracy')) >= 84);
  const wanted = ['reset', 'learning-rate', 'steps', 'seed', 'arithmetic', 'flavour', 'save', 'save-peft', 'save-config', 'clear'];
  assert.deepEqual(wanted.filter((id) => !seen.has(id)), [], 'not reached');
});

pageTest('every control has a name', async ({ page }) => {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send('Accessibility.getFullAXTree');
  const roles = ['button', 'combobox', 'slider', 'spinbutton', 'checkbox', 'application', 'link', 'image', 'img', 'group', 'region'];
  const controls = nodes.filter(({ ignored, role }) => !ignored && roles.includes(role?.value));
  assert.ok(controls.length > 80, `${controls.length} controls`);
  // What a number input, a file input or `details` holds inside is the browser's own.
  const nameless = controls.filter(({ name, role }) => !name?.value && !['group'].includes(role.value));
  assert.deepEqual(nameless.map(({ role, backendDOMNodeId }) => `${role.value} ${backendDOMNodeId}`), []);
  const unlabelled = await page.locator('input, select').evaluateAll((all) => all.filter(({ labels }) => !labels.length).map(({ id }) => id));
  assert.deepEqual(unlabelled, []);
});

/** Contrast of two colours, by WCAG 2.2. */
function contrast(a, b) {
  const luminance = (colour) => {
    const [red, green, blue] = colour.match(/[\d.]+/g).slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

for (const colorScheme of ['light', 'dark']) {
  pageTest(`texts have contrast when it is ${colorScheme}`, async ({ page, say }) => {
    const texts = await page.evaluate(() => {
      const background = (element) => {
        const { backgroundColor } = getComputedStyle(element);
        return backgroundColor === 'rgba(0, 0, 0, 0)' && element.parentElement ? background(element.parentElement) : backgroundColor;
      };
      const own = (element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
      const found = [...document.body.querySelectorAll('*')].filter((element) => own(element) && element.checkVisibility() && !element.matches(':disabled, svg *'));
      return found.map((element) => ({ text: element.textContent.trim().slice(0, 40), colour: getComputedStyle(element).color, on: background(element) }));
    });
    const ratios = texts.map(({ text, colour, on }) => ({ text, ratio: contrast(colour, on) }));
    const lowest = ratios.reduce((a, b) => (b.ratio < a.ratio ? b : a));
    say(`${colorScheme}: ${texts.length} texts, the lowest contrast is ${lowest.ratio.toFixed(1)} of "${lowest.text}"`);
    assert.ok(texts.length > 50 && lowest.ratio >= 4.5, `${lowest.text}: ${lowest.ratio}`);
  }, { media: { colorScheme } });
}

pageTest('reduced motion: nothing moves by itself, and it does not wait to be watched', async ({ page }) => {
  assert.equal(await page.locator('#watch').isChecked(), false);
  assert.equal(await page.locator('.bar i').first().evaluate((bar) => getComputedStyle(bar).transitionDuration), '0s');
}, { media: { reducedMotion: 'reduce' } });

const stored = (page) => page.locator('#offline', { hasText: 'works from now on' }).waitFor();

pageTest('without network it opens and trains, in both arithmetics', async ({ page, server }) => {
  await stored(page);
  await server.close();
  await page.reload();
  await ready(page);
  await train(page);
  assert.equal(await textOf(page, '#digest'), DIGEST);
  await page.locator('#arithmetic').selectOption('fused');
  await ready(page);
  await train(page);
  assert.equal(await textOf(page, '#digest'), FUSED_DIGEST);
}, { offline: true });

pageTest('a module that cannot be loaded is told, and the one there is stays in use', async ({ page }) => {
  await page.route(/full-[a-z0-9]+\.wasm$/, (route) => route.fulfill({ status: 404 }));
  await page.locator('#arithmetic').selectOption('fused');
  await page.locator('#error').waitFor();
  await ready(page);
  assert.match(await textOf(page, '#error-text'), /404/);
  assert.equal(await page.locator('#arithmetic').inputValue(), 'separate');
  await train(page);
  assert.equal(await textOf(page, '#digest'), DIGEST);
}, { offline: true, media: { serviceWorkers: 'block' } });

pageTest('another version takes the place of the one that is stored', async ({ page, folder }) => {
  await stored(page);
  const before = await page.evaluate(() => caches.keys());
  writeSite(join(folder, 'site'));
  const style = join(folder, 'site', 'index.html');
  writeFileSync(style, readFileSync(style, 'utf8').replace('<h1>', '<h1>New: '));
  const worker = join(folder, 'site', 'sw.js');
  writeFileSync(worker, readFileSync(worker, 'utf8').replace(/VERSION = '.*'/, "VERSION = 'new'"));
  await page.reload();
  await ready(page);
  await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).update());
  await page.waitForFunction(async () => (await navigator.serviceWorker.getRegistration()).waiting !== null);
  // The old one stays in use until a while after its last page is closed.
  for (let attempt = 1; attempt <= 10 && !(await textOf(page, 'h1')).startsWith('New: '); attempt++) {
    await page.goto('about:blank');
    await page.waitForTimeout(200 * attempt);
    await page.goBack();
    await ready(page);
  }
  assert.match(await textOf(page, 'h1'), /^New: /);
  const after = await page.evaluate(() => caches.keys());
  assert.equal(before.length, 1);
  assert.notDeepEqual(after, before);
  assert.deepEqual(after.map((name) => name.split(' ').at(-1)), ['new']);
});

pageTest('data that cannot be loaded is told', async ({ page }) => {
  await page.route(/digits\.bin$/, (route) => route.fulfill({ status: 404 }));
  await page.reload();
  await page.locator('#error').waitFor();
  assert.equal(await textOf(page, '#error-text'), 'data/digits.bin: expected the file, got the answer 404');
  assert.ok(await page.locator('#train').isDisabled());
}, { offline: true, media: { serviceWorkers: 'block' } });
