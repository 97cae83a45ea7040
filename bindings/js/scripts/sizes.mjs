// What is loaded, in bytes. Without arguments it prints; --check compares with figures.json, to 2 %; --write writes figures.json and
// the table of README.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const here = new URL('../', import.meta.url);
const FIGURES = new URL('figures.json', here);
const README = new URL('README.md', here);
const TOLERANCE = 0.02;

const MODULES = ['small-scalar', 'small-simd128', 'full-scalar', 'full-simd128', 'files'];
const ENTRIES = {
  'lowrank': ['index', 'both small modules in it'],
  'lowrank/files': ['files', 'adapter files; loaded by save and load'],
  'lowrank/peft': ['peft', 'PEFT directories'],
  'lowrank/worker': ['worker', 'calls to a worker'],
};

const size = (bytes) => ({ raw: bytes.length, gz: gzipSync(bytes, { level: 9 }).length });

/** An entry with all that it imports statically. */
function closure(name, seen = new Map()) {
  if (seen.has(name)) return seen;
  const text = readFileSync(new URL(`dist/${name}`, here), 'utf8');
  seen.set(name, text);
  for (const [, other] of text.matchAll(/(?:\bfrom|\bimport)\s*["']\.\/([^"']+)["']/g)) closure(other, seen);
  return seen;
}

function measure() {
  const modules = MODULES.map((name) => [`${name}.wasm`, size(readFileSync(new URL(`dist/${name}.wasm`, here)))]);
  const entries = Object.entries(ENTRIES).map(([name, [file]]) => {
    const parts = [...closure(`${file}.js`).values()].map((text) => size(Buffer.from(text)));
    return [name, { raw: parts.reduce((sum, { raw }) => sum + raw, 0), gz: parts.reduce((sum, { gz }) => sum + gz, 0) }];
  });
  return Object.fromEntries([...entries, ...modules]);
}

const WHAT = {
  'small-scalar.wasm': 'training, separate arithmetic', 'small-simd128.wasm': 'the same with vectors',
  'full-scalar.wasm': 'every function, both arithmetics, for speed', 'full-simd128.wasm': 'the same with vectors',
  'files.wasm': 'adapter files',
};

function table(figures) {
  const number = (value) => value.toLocaleString('en-US');
  const rows = Object.entries(figures).map(([name, { raw, gz }]) =>
    `| \`${name}\` | ${WHAT[name] ?? ENTRIES[name][1]} | ${number(raw)} | ${number(gz)} |`);
  return ['| what | with | bytes | gzipped |', '|---|---|---:|---:|', ...rows].join('\n');
}

const figures = measure();
console.log(Object.entries(figures).map(([name, { raw, gz }]) => `${name}: ${raw} bytes, ${gz} gzipped`).join('\n'));
if (process.argv.includes('--write')) {
  writeFileSync(FIGURES, `${JSON.stringify(figures, undefined, 2)}\n`);
  const readme = readFileSync(README, 'utf8');
  writeFileSync(README, readme.replace(/(<!-- table: sizes -->\n)[^]*?(<!-- end -->)/, (_, start, end) => `${start}${table(figures)}\n${end}`));
}
if (process.argv.includes('--check')) {
  const failures = [];
  const known = JSON.parse(readFileSync(FIGURES, 'utf8'));
  if (Object.keys(known).join() !== Object.keys(figures).join()) failures.push(`figures.json has ${Object.keys(known)}, not ${Object.keys(figures)}`);
  for (const [name, { raw, gz }] of Object.entries(known).filter(([name]) => name in figures)) {
    for (const [kind, expected, got] of [['raw', raw, figures[name].raw], ['gz', gz, figures[name].gz]]) {
      if (Math.abs(got - expected) > TOLERANCE * expected) failures.push(`${name}: ${got} bytes ${kind}, not ${expected} as in figures.json`);
    }
  }
  if (!readFileSync(README, 'utf8').includes(table(known))) failures.push('README.md: the table is not figures.json');
  if (failures.length > 0) {
    console.error(failures.join('\n'));
    process.exitCode = 1;
  }
}
