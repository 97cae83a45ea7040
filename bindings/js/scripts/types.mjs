// Writes the declarations, dist/*.d.ts, for every TypeScript from 5.0 on.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const DIST = new URL('../dist/', import.meta.url);
const require = createRequire(import.meta.url);

const tsc = fileURLToPath(new URL('bin/tsc', `file://${require.resolve('typescript/package.json')}`));
execFileSync(process.execPath, [tsc, '--project', fileURLToPath(new URL('../tsconfig.json', import.meta.url))], { stdio: 'inherit' });

/**
 * Arrays have a parameter from TypeScript 5.7 on. What their `of` returns has it there, and is the plain array before.
 * @param {string} text
 */
const older = (text) => text
  .replace(/\b(\w+Array|DataView)<ArrayBufferLike>/g, '$1')
  .replace(/\bDataView<ArrayBuffer>/g, 'DataView')
  .replace(/\b(\w+Array)<ArrayBuffer>/g, "ReturnType<$1Constructor['of']>");

/**
 * The types of WebAssembly come with those of the DOM, which a program for Node need not have.
 * @param {string} text
 */
const withoutDom = (text) => text.replace(/\bWebAssembly\.(Module|Memory|Instance)\b(?![^\n]*\*\/)/g, "import('./engine.js').$1");

const ENGINE = [
  ['Module', 'object'], ['Memory', '{ readonly buffer: ArrayBuffer; grow(pages: number): number }'], ['Instance', '{ readonly exports: object }'],
].map(([name, otherwise]) => [
  `/** \`WebAssembly.${name}\`, where the program has its type. */`,
  `export type ${name} = typeof globalThis extends { WebAssembly: { ${name}: { prototype: infer T } } } ? T : ${otherwise};`, '',
].join('\n'));

for (const name of readdirSync(DIST).filter((name) => name.endsWith('.d.ts'))) {
  const file = new URL(name, DIST);
  writeFileSync(file, withoutDom(older(readFileSync(file, 'utf8'))));
}
writeFileSync(new URL('engine.d.ts', DIST), ENGINE.join(''));
