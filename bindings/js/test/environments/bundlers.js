// Each bundler makes a script for a page, a page, or a program for Node of an entry, and says how it is called.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { output } from './process.js';
import { installed } from './workspace.js';

const require = createRequire(import.meta.url);
const ENTRY = 'bundled.js';

/** @param {string} what @param {any[]} problems */
function none(what, problems) {
  if (problems.length > 0) throw new Error(`${what}\n${problems.map((each) => each.message ?? each).join('\n').slice(0, 4000)}`);
}

/** What makes a program for Node an ES module; the bundlers make CommonJS otherwise. */
const ESM = { output: { module: true, chunkFormat: 'module' }, experiments: { outputModule: true } };

/** What webpack and Rspack have in common. Warnings fail, too: whoever installs the package would see them. */
const webpackLike = (name, target, script = ENTRY) => async (entry, folder) => {
  const pack = name === 'webpack' ? require('webpack') : require('@rspack/core').rspack;
  const { output, experiments } = target === 'node' && script === ENTRY ? ESM : {};
  const options = { mode: 'production', target, context: dirname(entry), entry, experiments, performance: { hints: false } };
  const stats = await promisify(pack)({ ...options, output: { path: folder, filename: script, ...output } });
  const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
  none('complaints', [...errors, ...warnings]);
  return script;
};

async function vite(entry, folder) {
  const { build } = await import('vite');
  const warnings = [];
  const complain = (text) => warnings.push(text);
  const logger = { info() {}, warn: complain, warnOnce: complain, error: complain, clearScreen() {}, hasErrorLogged: () => false };
  await build({
    root: dirname(entry), logLevel: 'warn', customLogger: logger, configFile: false, base: './',
    build: { outDir: folder, emptyOutDir: true, target: 'es2022', rollupOptions: { input: entry, output: { entryFileNames: ENTRY } } },
  });
  none('warnings', warnings);
  return ENTRY;
}

async function rollup(entry, folder) {
  const [{ rollup }, { default: resolve }, { default: url }] = await Promise.all([
    import('rollup'), import('@rollup/plugin-node-resolve'), import('@rollup/plugin-url'),
  ]);
  const warnings = [];
  const plugins = [resolve(), url({ include: ['**/*.wasm'], limit: 0, publicPath: './', destDir: folder })];
  const bundle = await rollup({ input: entry, plugins, onwarn: (warning) => warnings.push(warning) });
  await bundle.write({ dir: folder, format: 'es', entryFileNames: ENTRY });
  none('warnings', warnings);
  return ENTRY;
}

const esbuild = (options) => async (entry, folder) => {
  const { build } = await import('esbuild');
  const { warnings } = await build({
    entryPoints: { bundled: entry }, outdir: folder, bundle: true, format: 'esm', minify: true, loader: { '.wasm': 'file' },
    publicPath: '.', logLevel: 'silent', ...options,
  });
  none('warnings', warnings.map(({ text }) => text));
  return ENTRY;
};

/** Parcel takes pages. With `packageExports` in the package.json of the program, or without. */
const parcel = (packageExports) => async (entry, folder) => {
  const root = dirname(entry);
  const files = {
    'index.html': `<!doctype html><script type="module" src="./${basename(entry)}"></script>`,
    'package.json': JSON.stringify({ name: 'app', ...packageExports && { '@parcel/resolver-default': { packageExports } } }),
    // What Parcel takes for the root of a project.
    'package-lock.json': '{}',
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
  const args = ['build', 'index.html', '--dist-dir', folder, '--public-url', './', '--no-cache', '--no-autoinstall'];
  await output(process.execPath, [installed('parcel/lib/bin.js'), ...args], { cwd: root });
  return 'index.html';
};

async function bun(entry, folder) {
  const program = installed('@oven/bun-linux-x64-baseline/bin/bun');
  const args = ['build', entry, '--outdir', folder, '--entry-naming', ENTRY, '--target', 'browser', '--minify', '--splitting'];
  await output(program, args, { cwd: dirname(entry) });
  return ENTRY;
}

export const BUNDLERS = {
  vite, rollup, bun,
  parcel: parcel(true),
  'parcel-plain': parcel(false),
  webpack: webpackLike('webpack', 'web'),
  'webpack-node': webpackLike('webpack', 'node'),
  'webpack-commonjs': webpackLike('webpack', 'node', 'bundled.cjs'),
  rspack: webpackLike('rspack', 'web'),
  'rspack-node': webpackLike('rspack', 'node'),
  esbuild: esbuild({ splitting: true }),
  'esbuild-iife': esbuild({ format: 'iife' }),
  'esbuild-node': esbuild({ platform: 'node' }),
};
