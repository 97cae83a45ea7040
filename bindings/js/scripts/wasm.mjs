// Builds wasm/*.wasm and src/inline/*.js: the modules, and those that are inlined, deflated, in base64.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import zopfli from '@gfx/zopfli';

const here = new URL('../', import.meta.url);
const ROOT = fileURLToPath(new URL('../../', here));
const TARGET = `${ROOT}target/js`;
/** Bytes of the stack, of which no call takes more than half: test/stack.test.js. */
const STACK = 65536;
/** Bytes that the memory may grow to: all that 32 bits address. Engines keep views alive only where a maximum is declared. */
const MOST_MEMORY = 2 ** 32;

const WORDS = ['backend_name', 'version', 'contract_version'];
const LAYER = [
  'plan', 'init', 'forward', 'backward', 'adamw_step', 'sgd_step', 'square_sum', 'clip', 'merge', 'softmax_cross_entropy', 'mean_squared_error',
].map((name) => `layer_${name}`);
const SMALL = [...WORDS, ...LAYER, 'rng_order'];
const FILES = ['parse', 'entry_at', 'encoded_len', 'emit'];

/** Every function of the header. */
function everything() {
  const lines = readFileSync(new URL('../c/lowrank.h', here), 'utf8').split('\n').filter((line) => !line.startsWith('static'));
  return lines.flatMap((line) => /^[a-z][\w *]*\blowrank_(\w+)\(/.exec(line)?.[1] ?? []);
}

const SEPARATE = ['--cfg', 'lowrank_separate_only'];
const SIMD = ['-C', 'target-feature=+simd128'];
const BUILDS = [
  { name: 'small-scalar', level: '"s"', flags: [...SEPARATE, '--cfg', 'lowrank_small'], names: SMALL },
  { name: 'small-simd128', level: '"s"', flags: [...SEPARATE, '--cfg', 'lowrank_small', ...SIMD], names: SMALL },
  { name: 'files', level: '"s"', flags: [...SEPARATE, '--cfg', 'lowrank_small'], names: FILES },
  { name: 'full-scalar', level: '3', flags: [], names: undefined },
  { name: 'full-simd128', level: '3', flags: SIMD, names: undefined },
];

const sysroot = execFileSync('rustc', ['--print', 'sysroot'], { encoding: 'utf8' }).trim();
const host = /host: (.*)/.exec(execFileSync('rustc', ['-vV'], { encoding: 'utf8' }))?.[1];
const linker = `${sysroot}/lib/rustlib/${host}/bin/rust-lld`;

function build({ name, level, flags, names }) {
  const release = (key, value) => ['--config', `profile.release.${key}=${value}`];
  const env = { ...process.env, CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f') };
  const where = `${TARGET}/${name}`;
  execFileSync('cargo', [
    'rustc', '--quiet', '--package', 'lowrank-abi', '--lib', '--release', '--target', 'wasm32-unknown-unknown', '--crate-type',
    'staticlib', '--features', 'panic-is-a-link-error', '--target-dir', where, ...release('panic', '"abort"'), ...release('opt-level', level),
  ], { cwd: ROOT, env, stdio: 'inherit' });
  const archive = `${where}/wasm32-unknown-unknown/release/liblowrank_abi.a`;
  const out = fileURLToPath(new URL(`wasm/${name}.wasm`, here));
  execFileSync(linker, [
    '-flavor', 'wasm', '--no-entry', '--gc-sections', '--strip-all', '--compress-relocations', '--stack-first', '-z', `stack-size=${STACK}`,
    `--max-memory=${MOST_MEMORY}`, '--export=__heap_base', ...(names ?? everything()).map((each) => `--export=lowrank_${each}`), archive, '-o', out,
  ], { stdio: 'inherit' });
  const bytes = readFileSync(out);
  if (WebAssembly.Module.imports(new WebAssembly.Module(bytes)).length > 0) throw new Error(`${name}: imports something`);
  console.log(`${name}: ${bytes.length} bytes`);
  return bytes;
}

/**
 * Modules one after the other, deflated together: they have much in common, but less of it after wasm-opt, which makes each of them
 * 7 % shorter and both together 5 % longer.
 */
async function inline(file, names) {
  const parts = names.map((name) => modules[name]);
  const deflated = await zopfli.zlibAsync(Buffer.concat(parts), {});
  // Short lines: an engine prints the line where an error was thrown. `atob` skips what ends them.
  const lines = Buffer.from(deflated).toString('base64').match(/.{1,120}/g) ?? [];
  const source = [
    '// Made by scripts/wasm.mjs.', `/** Bytes of ${names.join(', ')}. */`, `export const lengths = [${parts.map(({ length }) => length)}];`,
    '/** All of them, deflated, in base64. @type {string} */', 'export const deflated = `', ...lines, '`;', '',
  ];
  writeFileSync(new URL(`src/inline/${file}.js`, here), source.join('\n'));
}

mkdirSync(new URL('wasm/', here), { recursive: true });
mkdirSync(new URL('src/inline/', here), { recursive: true });
const modules = Object.fromEntries(BUILDS.map((each) => [each.name, build(each)]));
// The shorter one first: what the second one has in common with it is then within the 32 KiB that deflate looks back.
await inline('small', ['small-scalar', 'small-simd128']);
await inline('files', ['files']);
