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

for (const name of readdirSync(DIST).filter((name) => name.endsWith('.d.ts'))) {
  const file = new URL(name, DIST);
  writeFileSync(file, older(readFileSync(file, 'utf8')));
}
