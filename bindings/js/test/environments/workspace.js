// A folder with the package in node_modules, as npm installs it, and with the entries of the environments.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const PACKAGE = path('../..');
const ADAPTER = path('../../../../firmware/peft-adapter');

/** Where a development package of the environments is. @param {string} name */
export const installed = (name) => path(`node_modules/${name}`);

/** How results leave an environment. */
export const REPORTS = {
  print: "console.log('RESULT ' + JSON.stringify(result));",
  post: (/** @type {string} */ address) =>
    `return fetch(${JSON.stringify(address)}, { method: 'POST', mode: 'no-cors', body: JSON.stringify(result) });`,
};

/** How the bytes of a full module come: by `lowrank/wasm`, or by the address of the file, which a bundler knows. */
const BYTES = "create({ module: bytes('full-simd128') })";

export class Workspace {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'lowrank-environments-'));
    const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', this.folder];
    const [{ filename }] = JSON.parse(execFileSync('npm', pack, { cwd: PACKAGE, encoding: 'utf8' }));
    const installed = join(this.folder, 'node_modules', 'lowrank');
    mkdirSync(installed, { recursive: true });
    execFileSync('tar', ['-xzf', join(this.folder, filename), '--strip-components=1', '-C', installed]);
    writeFileSync(join(this.folder, 'package.json'), JSON.stringify({ name: 'app', type: 'module', dependencies: { lowrank: '*' } }));
    copyFileSync(path('program.js'), join(this.folder, 'program.js'));
    const tensors = readFileSync(join(ADAPTER, 'adapter_model.safetensors')).toString('base64');
    const config = readFileSync(join(ADAPTER, 'adapter_config.json'), 'utf8');
    writeFileSync(join(this.folder, 'adapter.js'), [
      `export const config = ${JSON.stringify(config)};`,
      `export const tensors = Uint8Array.from(atob('${tensors}'), (letter) => letter.charCodeAt(0));`, '',
    ].join('\n'));
  }

  /** The path of a file of the workspace. */
  at(...names) {
    return join(this.folder, ...names);
  }

  /** Writes a file of an environment. @param {string} name @param {string} file @param {string} text */
  write(name, file, text) {
    mkdirSync(this.at(name), { recursive: true });
    writeFileSync(this.at(name, file), text);
    return this.at(name, file);
  }

  /**
   * Writes the entry of an environment, NAME/main.js.
   * @param {string} name
   * @param {object} how
   * @param {string} how.report a statement that takes `result`
   * @param {string[]} [how.imports] more of them
   * @param {string} [how.create] an expression
   * @param {string} [how.full] an expression; without it `lowrank/wasm` is asked
   * @param {(specifier: string) => string} [how.resolve] for hosts that know addresses only
   * @param {boolean} [how.only] `lowrank` and none of its other entries
   */
  entry(name, { report, imports = [], create = 'create()', full, resolve = (specifier) => specifier, only = false }) {
    const from = (specifier) => JSON.stringify(resolve(specifier));
    const others = [`import { readPeft } from ${from('lowrank/peft')};`, `import { bytes } from ${from('lowrank/wasm')};`];
    const parts = [`full: async () => ${full ?? BYTES}`, 'readPeft', ...full ? [`wasm: () => ${BYTES}`] : []];
    return this.write(name, 'main.js', [
      `import { create } from ${from('lowrank')};`, ...only ? [] : others,
      ...imports.map((line) => line.replace(/'(lowrank[^']*)'/, (_, specifier) => from(specifier))),
      "import * as adapter from '../adapter.js';", "import { program } from '../program.js';", '',
      'export async function run() {',
      `  const result = await program({ adapter, create: () => ${create}, ${only ? '' : parts.join(', ')} });`,
      `  ${report}`, '}', '',
    ].join('\n'));
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
