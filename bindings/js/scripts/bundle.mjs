// Bundles src/ into dist/, and puts the modules beside it.
import { copyFileSync, readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = new URL('../', import.meta.url);
const path = (name) => fileURLToPath(new URL(name, here));

rmSync(path('dist'), { recursive: true, force: true });
const entries = readdirSync(path('src')).filter((name) => /^(index|wasm|files|peft|worker)\.js$/.test(name));
await build({
  entryPoints: entries.map((name) => path(`src/${name}`)),
  outdir: path('dist'),
  bundle: true, splitting: true, minify: true, format: 'esm', target: 'es2022', platform: 'neutral', charset: 'utf8',
  legalComments: 'none', logLevel: 'warning', chunkNames: 'chunk-[hash]',
});
for (const name of readdirSync(path('wasm')).filter((name) => name !== 'files.wasm')) copyFileSync(path(`wasm/${name}`), path(`dist/${name}`));
