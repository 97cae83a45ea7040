// The environments of the table in README.md, in its order.
import { BUN, DENO, NODES, bundledForNode, hosted, jest, required, vitest, workerd } from './hosts.js';
import { STATIC, bundled, extension, mappedPage, policedPage, serviceWorker, viteServer } from './pages.js';
import { COMPILERS, types } from './types.js';
import { installed } from './workspace.js';

/**
 * @typedef {{ space: import('./workspace.js').Workspace, server: import('./browsers.js').Server, id: string }} Context
 * @typedef {(context: Context) => Promise<Record<string, string>>} Run gives what the program gave
 */

/**
 * @typedef {object} Row
 * @property {string} name
 * @property {Run} run
 * @property {string} [of] the development package whose version it is
 * @property {string} [takes] what has to be done there, for the table
 * @property {Record<string, RegExp>} [refused] parts that do not work there, and what they say
 * @property {string[]} [parts] of the program; without it all of them
 * @property {boolean} [aside] not in the table: what happens without what it takes
 */

const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";
const WITHOUT_WASM = "default-src 'self'; script-src 'self'";

/** What `lowrank/wasm` says where the modules are not beside the script. */
const NOT_COPIED = { wasm: /^LowrankError NotFound: .*'lowrank\/full-simd128\.wasm'$/ };
const IMPORTED = '`lowrank/*.wasm` in place of `lowrank/wasm`';
const ADDRESS = { imports: ["import address from 'lowrank/full-simd128.wasm';"], full: 'create({ module: fetch(address) })' };
const ON_DISK = {
  imports: ["import { readFile } from 'node:fs/promises';", ...ADDRESS.imports],
  full: 'create({ module: await readFile(new URL(address, import.meta.url)) })',
};
const NO_IMPORT = "`import 'lowrank/files'`";

const NO_BYTES = /^LowrankError Unsupported: module: no WebAssembly can be compiled from bytes here/;
const NO_FILES = /^LowrankError Missing: lowrank\/files: .*import 'lowrank\/files'/;
const NO_STREAM = /^LowrankError Unsupported: DecompressionStream: /;

const DENO_RUN = ['run', '--quiet', '--no-remote', '--allow-read', '--node-modules-dir=manual'];
const JEST_JSDOM = installed('jest-environment-jsdom');
const MISSING_IN_JEST = ['DecompressionStream', 'TextDecoder', 'TextEncoder'];
/** @param {string[]} names */
const quoted = (names) => names.map((name) => `\`${name}\``).join(', ');

/** @type {Row[]} */
const HOSTS = [
  ...Object.entries(NODES).map(([version, program]) => ({ name: 'Node', of: `node-${version}`, run: hosted(program) })),
  ...[22, 24].map((version) => ({ name: 'Node, `require`', of: `node-${version}`, run: required(NODES[version]) })),
  { name: 'Deno', of: '@deno/linux-x64-glibc', run: hosted(DENO, DENO_RUN) },
  { name: 'Bun', of: '@oven/bun-linux-x64-baseline', run: hosted(BUN) },
  {
    name: 'workerd (Cloudflare Workers)', of: '@cloudflare/workerd-linux-64', takes: `${IMPORTED}, \`setModule\``, refused: NOT_COPIED,
    run: workerd,
  },
  { name: 'Vitest, jsdom', of: 'vitest', run: vitest },
  { name: 'Jest', of: 'jest', run: jest(installed('jest-environment-node')) },
  { name: 'Jest, jsdom', of: 'jest', takes: `${quoted(MISSING_IN_JEST)} of Node as globals`, run: jest(JEST_JSDOM, MISSING_IN_JEST) },
  { name: 'Jest, jsdom as it is', aside: true, refused: { train: NO_STREAM, files: NO_STREAM, peft: NO_STREAM }, run: jest(JEST_JSDOM) },
];

/** @type {Row[]} */
const BROWSERS = [
  { name: 'Chromium, page', run: mappedPage('chromium') },
  { name: 'Chromium, page under the policy above', run: policedPage('chromium', POLICY) },
  {
    name: 'Chromium, page under a policy without WebAssembly', aside: true, run: policedPage('chromium', WITHOUT_WASM),
    refused: { train: NO_BYTES, files: NO_BYTES, peft: NO_BYTES, full: NO_BYTES },
  },
  { name: 'Chromium, service worker', takes: NO_IMPORT, run: serviceWorker('chromium', [STATIC]) },
  { name: 'Chromium, service worker as it is', aside: true, refused: { files: NO_FILES }, run: serviceWorker('chromium') },
  { name: 'Chromium, background of an extension', takes: NO_IMPORT, run: extension },
  { name: 'Firefox, page', run: mappedPage('firefox') },
  { name: 'Firefox, service worker', takes: NO_IMPORT, run: serviceWorker('firefox', [STATIC]) },
];

/** @type {Row[]} */
const BUNDLERS = [
  { name: 'Vite', of: 'vite', run: bundled('vite') },
  { name: 'Vite, development server', of: 'vite', run: viteServer },
  { name: 'webpack', of: 'webpack', run: bundled('webpack') },
  { name: 'webpack, for Node', of: 'webpack', run: bundledForNode('webpack-node') },
  { name: 'webpack, for Node in CommonJS', of: 'webpack', run: bundledForNode('webpack-commonjs') },
  { name: 'Rspack', of: '@rspack/core', run: bundled('rspack') },
  { name: 'Rspack, for Node', of: '@rspack/core', run: bundledForNode('rspack-node') },
  { name: 'Parcel', of: 'parcel', takes: '`packageExports`, but for `lowrank` alone', run: bundled('parcel') },
  { name: 'Parcel as it is', aside: true, parts: ['train', 'files'], run: bundled('parcel-plain', { only: true }) },
  { name: 'Rollup', of: 'rollup', takes: IMPORTED, refused: NOT_COPIED, run: bundled('rollup', ADDRESS) },
  { name: 'esbuild', of: 'esbuild', takes: IMPORTED, refused: NOT_COPIED, run: bundled('esbuild', ADDRESS) },
  { name: 'esbuild, classic script', of: 'esbuild', takes: IMPORTED, refused: NOT_COPIED, run: bundled('esbuild-iife', ADDRESS) },
  { name: 'esbuild, for Node', of: 'esbuild', takes: IMPORTED, refused: NOT_COPIED, run: bundledForNode('esbuild-node', ON_DISK) },
  { name: 'bun build', of: '@oven/bun-linux-x64-baseline', takes: IMPORTED, refused: NOT_COPIED, run: bundled('bun', ADDRESS) },
];

export const ROWS = [
  ...HOSTS, ...BROWSERS, ...BUNDLERS,
  ...COMPILERS.map((version) => ({ name: `TypeScript ${version}`, parts: ['types'], run: types(version) })),
];
