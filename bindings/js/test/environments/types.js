// Declarations, checked by compilers from 5.0 on, without `skipLibCheck`.
import { cpSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { output } from './process.js';
import { installed } from './workspace.js';

const PROGRAMS = fileURLToPath(new URL('../types', import.meta.url));
/** That of the package. */
const NEWEST = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url));
export const COMPILERS = ['5.0', '5.4', '5.6', '5.9', '6.0', '7.0'];

/** The libraries of TypeScript are its own matter, and take most of the time. */
const STRICT = { strict: true, noEmit: true, skipDefaultLibCheck: true, target: 'es2022' };
const DOM = { lib: ['es2022', 'dom'], types: [] };

/** How programs are set up. */
const WAYS = [
  { module: 'nodenext', exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, ...DOM },
  { module: 'es2022', moduleResolution: 'bundler', ...DOM },
];
/** A program for Node, without the DOM; the types of Node that are installed need 5.6. */
const NODE = { module: 'nodenext', lib: ['es2022'], types: ['node'], files: ['options.ts'] };
/** Older than `exports`, and gone from 7 on. */
const OLD = { module: 'es2022', moduleResolution: 'node', ...DOM };

/** @type {(version: string) => import('./rows.js').Run} */
export const types = (version) => async ({ space, id }) => {
  const compiler = version === '7.0' ? NEWEST : installed(`typescript-${version}/bin/tsc`);
  cpSync(PROGRAMS, space.at(id), { recursive: true });
  space.write(id, 'package.json', '{ "type": "module" }');
  const ways = [...WAYS, ...version < '5.6' ? [] : [NODE], ...version < '6' ? [OLD] : []];
  for (const { files = ['consumer.ts', 'options.ts'], ...way } of ways) {
    const compilerOptions = { ...STRICT, typeRoots: [installed('@types')], ...way };
    space.write(id, 'tsconfig.json', JSON.stringify({ compilerOptions, files }));
    await output(process.execPath, [compiler, '--project', '.'], { cwd: space.at(id) });
  }
  return { types: 'compiles' };
};
