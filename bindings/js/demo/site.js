// Puts the static site together: the page, the package, the scenario and the data, in one folder that any host can serve.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGE = dirname(HERE);
export const ROOT = dirname(dirname(PACKAGE));

/** Where each part of the site comes from. */
const PARTS = [
  [join(HERE, 'page'), '.'],
  [join(PACKAGE, 'dist'), 'lowrank'],
  [join(PACKAGE, 'examples', 'scenario.js'), join('app', 'scenario.js')],
  [join(ROOT, 'demo', 'data', 'digits.bin'), join('data', 'digits.bin')],
  [join(ROOT, 'demo', 'data', 'base.bin'), join('data', 'base.bin')],
];
/** The small modules and that of files are inline in the package. */
const NOT_SERVED = /\.(d\.ts|map)$|(small-\w+|files)\.wasm$/;

/** Builds the package when it is not there yet. */
export function buildPackage() {
  if (!existsSync(join(PACKAGE, 'dist'))) execFileSync(join(PACKAGE, 'build'), { stdio: 'inherit' });
}

/**
 * Writes the site into a folder that is new, empty, or holds an older site.
 *
 * @param {string} out
 * @returns {string[]} its files, with `/` between folders
 * @throws {Error} when something else is in the folder
 */
export function writeSite(out) {
  if (existsSync(out) && readdirSync(out).length > 0 && !existsSync(join(out, 'sw.js'))) {
    throw new Error(`${out}: expected a new or empty folder, or one with an older site, got one with other files`);
  }
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  for (const [from, to] of PARTS) {
    cpSync(from, join(out, to), { recursive: true, filter: (file) => !NOT_SERVED.test(file) });
  }
  const files = filesIn(out);
  writeServiceWorker(join(out, 'sw.js'), out, files);
  return files;
}

function filesIn(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)).split(sep).join('/')).sort();
}

/** The service worker names every file, and changes when any of them does. */
function writeServiceWorker(path, folder, files) {
  const hash = createHash('sha256');
  for (const file of files) hash.update(file).update('\0').update(readFileSync(join(folder, file)));
  const cached = ['./', ...files.filter((file) => file !== 'sw.js')];
  const text = readFileSync(path, 'utf8')
    .replace('__VERSION__', hash.digest('hex').slice(0, 16))
    .replace('__FILES__', () => JSON.stringify(cached, null, 2));
  writeFileSync(path, text);
}
