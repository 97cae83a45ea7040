// Bundles src/ into dist/, and puts the modules beside it.
import { copyFileSync, cpSync, readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = new URL('../', import.meta.url);
const path = (name) => fileURLToPath(new URL(name, here));
const sources = (names) => names.map((name) => path(`src/${name}.js`));

const COMMON = {
  outdir: path('dist'), format: 'esm', target: 'es2022', platform: 'neutral', charset: 'utf8', legalComments: 'none', logLevel: 'warning',
  sourcemap: true, minifySyntax: true,
};

rmSync(path('dist'), { recursive: true, force: true });
// Lines are short, and classes and functions keep their names where they are minified: whoever sees an error sees a line of its source
// and the names of the calls. The base64 is in modules of its own, which hold nothing that throws.
await build({
  ...COMMON, entryPoints: sources(['index', 'files', 'peft', 'worker', 'error']), bundle: true, splitting: true, external: ['./inline/*'],
  minifyWhitespace: true, minifyIdentifiers: true, keepNames: true, lineLimit: 120, chunkNames: 'chunk-[hash]',
});
// Without white space the comments for webpack and Vite are gone, too.
await build({ ...COMMON, entryPoints: sources(['wasm']) });
cpSync(path('src/inline'), path('dist/inline'), { recursive: true });
for (const name of readdirSync(path('wasm'))) copyFileSync(path(`wasm/${name}`), path(`dist/${name}`));
