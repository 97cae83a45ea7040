// Writes src/peft-fields.js: the fields of adapter_config.json that are known, from the table that the command reads.
// With --check it only compares.
import { readFileSync, writeFileSync } from 'node:fs';

const TABLE = new URL('../../../tools/src/peft/fields.json', import.meta.url);
const OUT = new URL('../src/peft-fields.js', import.meta.url);

const table = JSON.parse(readFileSync(TABLE, 'utf8'));
const text = (value) => `'${value.replace(/['\\]/g, '\\$&')}'`;
const used = (use) => table.filter((line) => line.use === use);
const list = (lines) => lines.map(({ field }) => `  ${text(field)},`);
const named = (key) => table.filter((line) => line[key]).map((line) => `  ${line.field}: [${line[key].map(text).join(', ')}],`);

const made = [
  '// Made by scripts/fields.mjs from tools/src/peft/fields.json: change it there.',
  '/** Fields that are read. */', 'export const READ = [', ...list(used('read')), '];',
  '/** Fields that say where an adapter comes from, where it goes or how it was made: they change no number of a layer. */',
  'export const CARRIED = [', ...list(used('carried')), '];',
  '/** Variants that are not implemented, and what they mean. @type {Record<string, string>} */',
  'export const VARIANTS = {', ...used('refused').map(({ field, means }) => `  ${field}: ${text(means)},`), '};',
  '/** The JSON of what PEFT takes where a field is not there. */',
  'export const DEFAULTS = {', ...table.filter((line) => 'default' in line).map((line) => `  ${line.field}: ${text(JSON.stringify(line.default))},`), '};',
  '/** The names that a field may hold. */', 'export const NAMES = {', ...named('names'), '};',
  '/** Others, in lower case, whose case does not matter. */', 'export const NAMES_IN_ANY_CASE = {', ...named('names_in_any_case'), '};', '',
].join('\n');
if (!process.argv.includes('--check')) {
  writeFileSync(OUT, made);
} else if (readFileSync(OUT, 'utf8') !== made) {
  console.error('peft-fields.js is not what scripts/fields.mjs makes of fields.json');
  process.exit(1);
}
