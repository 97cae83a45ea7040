// Writes src/layout.js: offsets, sizes and codes of the C ABI on wasm32, from what Rust says of its structs and from the header; and
// src/flaws.js, with the words of bindings/abi/src/text.rs, for whoever reads files.
// With --check it only compares.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = new URL('../', import.meta.url);
const OUT = new URL('src/layout.js', here);
const FLAWS = new URL('src/flaws.js', here);
const ROOT = fileURLToPath(new URL('../../', here));

const SIZE = /^LAYOUT\(sizeof\(lowrank_(\w+)\) == (\d+), \w+\);$/;
const FIELD = /^LAYOUT\(offsetof\(lowrank_(\w+), (\w+)\) == (\d+) && .*$/;
const CODE = /^#define LOWRANK_(\w+) (-?\d+)$/;

/** The names of arguments in JavaScript, where they are not those of C. */
const RENAMED = { W: 'weights' };

const pascal = (name) => name.toLowerCase().replace(/(?:^|_)(\w)/g, (_, letter) => letter.toUpperCase());
const camel = (name) => pascal(name).replace(/^\w/, (letter) => letter.toLowerCase());

function structs() {
  const { RUSTFLAGS, ...env } = process.env;
  const args = ['run', '--quiet', '--package', 'lowrank-abi', '--example', 'layout', '--target', 'wasm32-wasip1'];
  const lines = execFileSync('cargo', args, { cwd: ROOT, encoding: 'utf8', env }).split('\n');
  return lines.flatMap((line) => {
    const [, struct, bytes] = SIZE.exec(line) ?? [];
    if (struct) return [`export const ${struct.toUpperCase()}_BYTES = ${bytes};`];
    const [, of, field, offset] = FIELD.exec(line) ?? [];
    return field && field !== 'size' ? [`export const ${of.toUpperCase()}_${field.toUpperCase()} = ${offset};`] : [];
  });
}

/** What is said of a file, where it is not what the ABI says of it. */
const REWORDED = {
  FLAW_TRUNCATED: 'it is cut off: bytes are missing', FLAW_LENGTH: 'it is cut off, or something follows its end: the number of its bytes is wrong',
  FLAW_CRC: 'it is damaged: a checksum does not match',
};

function flaws(all) {
  const text = readFileSync(`${ROOT}bindings/abi/src/text.rs`, 'utf8');
  const words = Object.fromEntries([...text.matchAll(/LOWRANK_(FLAW_\w+) => \(c"([^"]*)"/g)].map(([, ...pair]) => pair));
  const lines = all.filter(([name]) => name.startsWith('FLAW_')).map(([name, code]) => `  ${code}: '${REWORDED[name] ?? words[name] ?? 'it has an unknown flaw'}',`);
  return `/** What is wrong with a file. @type {Record<number, string>} */\nexport const FLAW = {\n${lines.join('\n')}\n};`;
}

function codes(all) {
  const group = (prefix) => all.filter(([name]) => name.startsWith(prefix)).map(([name, code]) => [name.slice(prefix.length), code]);
  const table = (entries) => `{ ${entries.map(([name, code]) => `${code}: '${name}'`).join(', ')} }`;
  // Nothing here reaches flash.
  const isOfFlash = (name) => /^(FLASH|VERIFY|TOO_LONG|NO_SEAL_LEFT|SLOT\w*|PAGE)$/.test(name);
  const isMet = (name, code) => code < 100 || ['BACKEND', 'OPTIMIZER', 'TRAINED', 'ACCUMULATE', 'LOSS', 'ITEMS', 'ADAPTER', 'ENTRY', 'NAME', 'METADATA', 'ROOM', 'LAYER'].includes(name);
  const statuses = all.filter(([name, code]) => code.startsWith('-') && !isOfFlash(name)).map(([name, code]) => [pascal(name), code.slice(1)]);
  const args = group('ARGUMENT_').filter(([name, code]) => isMet(name, code)).map(([name, code]) => [RENAMED[name] ?? camel(name), code]);
  const plain = all.filter(([name, code]) => !/^(ARGUMENT|FLAW)_/.test(name) && !code.startsWith('-') && name !== 'OK');
  return [
    ...plain.map(([name, code]) => `export const ${name} = ${code};`),
    '/** Names of the statuses, by what they are below 0. */',
    `export const STATUS = /** @type {Record<number, string>} */ (${table(statuses)});`,
    '/** Names of the arguments. */',
    `export const ARGUMENT = /** @type {Record<number, string>} */ (${table(args)});`,
  ];
}

const header = readFileSync(new URL('../c/lowrank.h', here), 'utf8').split('\n');
const all = header.flatMap((line) => (CODE.exec(line) ? [CODE.exec(line).slice(1)] : []));
const text = [
  '// Made by scripts/layout.mjs from bindings/abi and lowrank.h: change it there.',
  '// Structs: NAME_BYTES is the size, NAME_FIELD an offset.', ...structs(), '// Codes.', ...codes(all), '',
].join('\n');
const flawText = `// Made by scripts/layout.mjs from lowrank.h: change it there.\n${flaws(all)}\n`;
for (const [file, made] of [[OUT, text], [FLAWS, flawText]]) {
  if (!process.argv.includes('--check')) {
    writeFileSync(file, made);
  } else if (readFileSync(file, 'utf8') !== made) {
    console.error(`${file.pathname.split('/').pop()} is not what scripts/layout.mjs makes of the ABI`);
    process.exit(1);
  }
}
