// Runtimes and test runners: what they make of the package in node_modules.
import { createServer } from 'node:net';
import { build } from 'esbuild';
import { BUNDLERS } from './bundlers.js';
import { printed, running } from './process.js';
import { REPORTS, installed } from './workspace.js';

/** @typedef {import('./rows.js').Run} Run */

/** Of each version that is maintained one; of the oldest the first, which `engines` of package.json names. */
export const NODES = Object.fromEntries([20, 22, 24].map((version) => [version, installed(`node-${version}/bin/node`)]));
export const BUN = installed('@oven/bun-linux-x64-baseline/bin/bun');
export const DENO = installed('@deno/linux-x64-glibc/deno');

const START = "import { run } from './main.js';\nrun();\n";

/** A program of a host that knows node_modules. @type {(program: string, args?: string[]) => Run} */
export const hosted = (program, args = []) => ({ space, id }) => {
  space.entry(id, { report: REPORTS.print });
  space.write(id, 'start.js', START);
  return printed(program, [...args, 'start.js'], { cwd: space.at(id) });
};

/** A CommonJS program, which requires the package. @type {(program: string) => Run} */
export const required = (program) => ({ space, id }) => {
  space.entry(id, { report: REPORTS.print });
  // Node's own loader takes the ES module of the entry, and with it those of the package, by `require`.
  space.write(id, 'start.cjs', "if (!require('lowrank').create) throw new Error('no create');\nrequire('./main.js').run();\n");
  return printed(program, ['start.cjs'], { cwd: space.at(id) });
};

/** A program of one script that a bundler has made, far from node_modules. @type {(bundler: string, how?: object) => Run} */
export const bundledForNode = (bundler, how = {}) => async ({ space, id }) => {
  space.entry(id, { report: REPORTS.print, ...how });
  const out = space.at(`${id}-out`);
  const script = await BUNDLERS[bundler](space.write(id, 'start.js', START), out);
  return printed(process.execPath, [script], { cwd: out });
};

/** @type {Run} */
export function vitest({ space, id }) {
  space.entry(id, { report: REPORTS.print });
  space.write(id, 'start.test.js', [
    "import { run } from './main.js';",
    "test('runs', async () => { expect(new Blob([]).stream).toBeUndefined(); await run(); });", '',
  ].join('\n'));
  const args = ['run', '--root', '.', '--environment', 'jsdom', '--globals', '--disable-console-intercept', '--no-color'];
  return printed(NODES[24], [installed('vitest/vitest.mjs'), ...args], { cwd: space.at(id) });
}

/** Each test is in a realm of its own. @type {(environment: string, globals?: string[]) => Run} */
export const jest = (environment, globals = []) => ({ space, id }) => {
  space.entry(id, { report: 'return result;' });
  space.write(id, 'environment.cjs', [
    `const { default: Environment = require('${environment}') } = require('${environment}');`,
    'module.exports = class extends (Environment.TestEnvironment ?? Environment) {',
    `  async setup() { await super.setup(); Object.assign(this.global, { report: console.log, ${globals.join(', ')} }); }`, '};', '',
  ].join('\n'));
  space.write(id, 'start.test.js', [
    "import { run } from './main.js';", "test('runs', async () => report(`RESULT ${JSON.stringify(await run())}`));", '',
  ].join('\n'));
  const config = { rootDir: '..', roots: [`<rootDir>/${id}`], transform: {}, testEnvironment: `<rootDir>/${id}/environment.cjs` };
  space.write(id, 'package.json', JSON.stringify({ type: 'module', jest: config }));
  return printed(NODES[24], ['--experimental-vm-modules', installed('jest/bin/jest.js'), '--ci', '--no-cache'], { cwd: space.at(id) });
};

/** A port that is free. @returns {Promise<number>} */
export const freePort = () => new Promise((resolve, reject) => {
  const server = createServer();
  server.once('error', reject);
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

/** As wrangler does it: one script, and the modules beside it, which it imports. @type {Run} */
export async function workerd({ space, id }) {
  space.entry(id, {
    report: 'return result;', create: 'create({ module: small })', full: 'create({ module: full })',
    imports: ["import small from 'lowrank/small-simd128.wasm';", "import full from 'lowrank/full-simd128.wasm';"],
  });
  const start = space.write(id, 'start.js', [
    "import { setModule } from 'lowrank/files';", "import files from 'lowrank/files.wasm';", "import { run } from './main.js';",
    'export default { async fetch() { await setModule(files); return Response.json(await run()); } };', '',
  ].join('\n'));
  await build({
    entryPoints: { worker: start }, outdir: space.at(id), assetNames: '[name]', loader: { '.wasm': 'copy' }, bundle: true, format: 'esm',
    conditions: ['workerd'], logLevel: 'silent',
  });
  const modules = ['small-simd128', 'full-simd128', 'files'].map((name) => `(name = "${name}.wasm", wasm = embed "${name}.wasm")`);
  space.write(id, 'config.capnp', `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", address = "*:0", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js"), ${modules.join(', ')}],
  compatibilityDate = "2025-01-01",
);
`);
  const address = `127.0.0.1:${await freePort()}`;
  const args = ['serve', 'config.capnp', '--socket-addr', `http=${address}`];
  return running(installed('@cloudflare/workerd-linux-64/bin/workerd'), args, { cwd: space.at(id) }, async () => {
    for (;;) {
      const response = await fetch(`http://${address}/`).catch(() => undefined);
      if (response) return response.json();
      await new Promise((done) => setTimeout(done, 100));
    }
  });
}
