// A server under a sub-path, and a new Chromium with an empty profile for every test.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { serve } from '../server.js';
import { buildPackage, ROOT, writeSite } from '../site.js';

export { ROOT };
const BASE = '/some/folder/';
export const ARGUMENTS = `--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
  --disable-component-update --disable-sync`.split(/\s+/);
const SHOTS = join(ROOT, 'target', 'ci', 'demo');

/** What `cargo run --release -p lowrank-personalize` prints with `--arithmetic separate`, and with `fused`. */
export const DIGEST = '413b7e114830f661';
export const FUSED_DIGEST = '9225dbd07a60eb1a';

/** Runs in the page before anything of it: what must not happen is remembered. */
function watch() {
  window.violations = [];
  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
    window.violations.push(`${violatedDirective} ${blockedURI}`);
  });
}

/**
 * A test on the page, once it is ready. It fails on every error that the page or its worker writes to the console, on every
 * exception, on every request to another host, and on every violation of the content security policy.
 *
 * @param {string} name
 * @param {(use: Use & { say: (message: string) => void }) => Promise<void>} body
 * @param {Options} [options]
 */
export function pageTest(name, body, options) {
  test(name, (context) => withPage((use) => body({ ...use, say: (message) => context.diagnostic(message) }), options));
}

/**
 * @typedef {object} Use
 * @property {import('playwright-core').Page} page
 * @property {string} folder for files of the test; the site is in `site`. It is removed afterwards
 * @property {{ url: string, close: () => Promise<void> }} server
 *
 * @typedef {object} Options
 * @property {{ width: number, height: number }} [viewport]
 * @property {object} [media] more options of the browser, such as `colorScheme`
 * @property {boolean} [offline] says that requests may fail
 */

/** Does something with the page, in a browser and on a server of its own. */
export async function withPage(body, { viewport = { width: 1280, height: 800 }, media = {}, offline = false } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'lowrank-demo-'));
  buildPackage();
  writeSite(join(folder, 'site'));
  const server = await serve(join(folder, 'site'), { base: BASE });
  const browser = await chromium.launchPersistentContext(join(folder, 'profile'), {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ARGUMENTS,
    viewport,
    ...media,
  });
  try {
    const page = browser.pages()[0] ?? (await browser.newPage());
    const faults = faultsOf(page, offline);
    await page.addInitScript(watch);
    await page.goto(server.url);
    await ready(page);
    await body({ page, server, folder });
    faults.push(...(await page.evaluate(() => window.violations)));
    assert.deepEqual(faults, [], 'errors of the page');
  } finally {
    await browser.close();
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function faultsOf(page, offline) {
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('request', (request) => {
    if (!/^(blob:|data:|http:\/\/127\.0\.0\.1:)/.test(request.url())) faults.push(`a request to ${request.url()}`);
  });
  page.on('console', (message) => {
    if (message.type() === 'error' && !(offline && /net::ERR|status of 404/.test(message.text()))) faults.push(message.text());
  });
  return faults;
}

export const ready = (page) => page.locator('#train:enabled').waitFor({ timeout: 20_000 });
export const textOf = (page, selector) => page.locator(selector).textContent();
/** A number of the page, for example of a percentage. */
export const numberOf = async (page, selector) => Number.parseFloat((await textOf(page, selector)).replaceAll(',', ''));

/** Presses Train and waits for the end. */
export async function train(page) {
  await page.locator('#train').click();
  await finished(page);
}

export async function finished(page) {
  await page.locator('#status', { hasText: /^(Done|Stopped)/ }).waitFor({ timeout: 60_000 });
  await ready(page);
}

/**
 * The milliseconds that every task of the page's main thread takes while `body` runs: those its thread computed, and those that
 * passed, which are more where the core had other work.
 *
 * @returns {Promise<{ computed: number, passed: number }[]>}
 */
export async function mainThreadTasks(page, body) {
  const session = await page.context().newCDPSession(page);
  const events = [];
  session.on('Tracing.dataCollected', ({ value }) => events.push(...value));
  const complete = new Promise((resolve) => session.once('Tracing.tracingComplete', resolve));
  const includedCategories = ['disabled-by-default-devtools.timeline', '__metadata'];
  await session.send('Tracing.start', { traceConfig: { includedCategories } });
  await body();
  await session.send('Tracing.end');
  await complete;
  const main = events.find(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain');
  const tasks = events.filter(({ name, ph, pid, tid }) => name === 'RunTask' && ph === 'X' && pid === main.pid && tid === main.tid);
  return tasks.map(({ tdur, dur }) => ({ computed: tdur / 1000, passed: dur / 1000 }));
}

/** What the page says of every test image, in order: `Image 1, a 0, read as 4`. */
export async function readings(page) {
  const all = [];
  while (await page.locator('#grid-back:enabled').count()) await page.locator('#grid-back').click();
  for (;;) {
    all.push(...(await page.locator('.tile').evaluateAll((tiles) => tiles.map((tile) => tile.getAttribute('aria-label')))));
    if (!(await page.locator('#grid-next:enabled').count())) break;
    await page.locator('#grid-next').click();
  }
  return all.map((label) => label.match(/^Image \d+, a (?<label>\d), read as (?<read>\d)$/).groups);
}

/** The shares of the ten digits as the page writes them. */
export const barsOf = (page, id) => page.locator(`#${id} .bar`).evaluateAll((bars) => bars.map((bar) => bar.title));

/** Draws lines through points, given in shares of the drawing area. */
export async function draw(page, ...strokes) {
  const pad = page.locator('#pad');
  await pad.scrollIntoViewIfNeeded();
  const box = await pad.boundingBox();
  const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  for (const [first, ...rest] of strokes) {
    await page.mouse.move(...at(first));
    await page.mouse.down();
    for (const point of rest) await page.mouse.move(...at(point), { steps: 4 });
    await page.mouse.up();
  }
}

/** Waits until the page has told what it makes of the digit that is shown. */
export async function predicted(page) {
  await page.locator('#after-bars[aria-busy=false]').waitFor();
  await page.locator('#after-digit', { hasText: /\d/ }).waitFor();
}

export async function screenshot(page, name) {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
}
