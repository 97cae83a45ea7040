// What dist/ and package.json have to be for those who install, bundle and debug.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const text = (name) => readFileSync(path(name), 'utf8');
const PACKAGE = JSON.parse(text('package.json'));
const scripts = readdirSync(path('dist')).filter((name) => name.endsWith('.js'));
const modules = readdirSync(path('dist')).filter((name) => name.endsWith('.wasm'));

const room = mkdtempSync(join(tmpdir(), 'lowrank-packaging-'));
after(() => rmSync(room, { recursive: true }));

/** Errors from each entry, as programs that do not catch them. */
const UNCAUGHT = {
  lowrank: "import { create } from 'lowrank'; (await create()).layer({ inputs: 2, outputs: 3, rank: 1.5, tokens: 4 });",
  'lowrank, of a module': "import { create } from 'lowrank'; await create({ module: Uint8Array.of(1, 2, 3) });",
  'lowrank/files': "import { parse } from 'lowrank/files'; await parse(new Uint8Array(100));",
  'lowrank/peft': "import { readPeft } from 'lowrank/peft'; readPeft({ config: '{', tensors: new Uint8Array() });",
  'lowrank/wasm': "import { bytes } from 'lowrank/wasm'; await bytes('medium');",
  'lowrank/worker': "import { connect, serve } from 'lowrank/worker'; import { MessageChannel } from 'node:worker_threads';\n"
    + "const { port1, port2 } = new MessageChannel(); serve({}, port1); await connect(port2).call('train');",
};

for (const [name, program] of Object.entries(UNCAUGHT)) {
  test(`an error that nobody catches is short, and says where: ${name}`, () => {
    const options = { cwd: path('.'), encoding: 'utf8', timeout: 20_000 };
    const run = (...flags) => spawnSync(process.execPath, [...flags, '--input-type=module', '-e', program], options);
    const plain = run();
    assert.equal(plain.status, 1);
    assert.ok(plain.stderr.length < 2000, `${plain.stderr.length} characters`);
    assert.match(plain.stderr, /^LowrankError: /m);
    assert.match(plain.stderr, /^ {2}code: '\w+',$/m);
    assert.match(plain.stderr, /^ {4}at .*dist\/[\w-]+\.js:\d+:\d+\)?$/m);
    // The first call is in a line of the source that makes an error.
    const mapped = run('--enable-source-maps').stderr;
    const [, file, line] = /^ {4}at .*?(?:file:\/\/)?(\/[^:]*\/src\/[\w-]+\.js):(\d+):\d+/m.exec(mapped) ?? assert.fail(mapped);
    const from = text(`src/${file.split('/').pop()}`).split('\n').slice(line - 1, Number(line) + 2).join('\n');
    assert.match(from, /LowrankError\(|new Error\(|damaged\(|failure\(/, `${file}:${line}`);
  });
}

test('classes have the names that they are exported under', async () => {
  for (const entry of ['lowrank', 'lowrank/files', 'lowrank/peft', 'lowrank/worker']) {
    const classes = Object.entries(await import(entry)).filter(([, value]) => typeof value === 'function' && /^class\b/.test(`${value}`));
    for (const [name, value] of classes) assert.equal(value.name, name, entry);
  }
  const lowrank = await import('lowrank');
  for (const name of ['LowrankError', 'Layer', 'Lowrank', 'MeanLoss', 'Vector']) assert.equal(lowrank[name].name, name);
});

test('base64 is in modules that hold nothing else, in short lines; scripts have short lines, too', () => {
  const data = readdirSync(path('dist/inline')).filter((name) => name.endsWith('.js'));
  assert.deepEqual(data.sort(), ['files.js', 'small.js']);
  for (const name of data) {
    const code = text(`dist/inline/${name}`).replace(/^(\/\/.*|\/\*\*.*\*\/)\n/gm, '');
    assert.match(code, /^export const lengths = \[[\d,]+\];\nexport const deflated = `\n([\w+/=]{1,120}\n)+`;\n$/);
  }
  for (const name of scripts) {
    assert.doesNotMatch(text(`dist/${name}`), /[\w+/=]{80}/, `${name}: base64`);
    const longest = Math.max(...text(`dist/${name}`).split('\n').map(({ length }) => length));
    assert.ok(longest <= 400, `${name}: a line of ${longest} characters`);
  }
});

test('every script has a source map, with its sources in it', () => {
  for (const name of scripts) {
    assert.ok(text(`dist/${name}`).endsWith(`//# sourceMappingURL=${name}.map\n`), name);
    const { sources, sourcesContent } = JSON.parse(text(`dist/${name}.map`));
    assert.equal(sources.length, sourcesContent.length);
    sources.forEach((source, i) => assert.equal(sourcesContent[i], text(`dist/${source}`), source));
  }
});

test('bundlers are told to leave the import of the disk alone', () => {
  const imports = [...text('dist/wasm.js').matchAll(/\bimport\(([^]*?)\bdisk\s*\)/g)].map(([, comments]) => comments);
  assert.equal(imports.length, 1);
  assert.match(imports[0], /\/\* webpackIgnore: true \*\//);
  assert.match(imports[0], /\/\* @vite-ignore \*\//);
});

test('every path of package.json is there, for old resolvers and for new ones', async () => {
  const entries = Object.entries(PACKAGE.exports).filter(([, target]) => typeof target === 'object');
  assert.deepEqual(entries.map(([name]) => name), ['.', './wasm', './files', './peft', './worker']);
  for (const [name, { types, default: script }] of entries) {
    assert.ok(text(types).length > 0 && text(script).length > 0, name);
    if (name === '.') assert.deepEqual([PACKAGE.main, PACKAGE.types], [script, types]);
    else assert.deepEqual(PACKAGE.typesVersions['*'][name.slice(2)], [types], name);
  }
  assert.deepEqual(Object.keys(PACKAGE.typesVersions['*']).length, entries.length - 1);
});

test('every module has an address of its own', async () => {
  assert.deepEqual(modules.sort(), ['files.wasm', 'full-scalar.wasm', 'full-simd128.wasm', 'small-scalar.wasm', 'small-simd128.wasm']);
  for (const name of modules) {
    const address = import.meta.resolve(`lowrank/${name}`);
    assert.equal(address, new URL(`../dist/${name}`, import.meta.url).href);
    assert.ok(WebAssembly.validate(readFileSync(fileURLToPath(address))), name);
  }
});

test("import 'lowrank/files' is not dropped by a bundler", async () => {
  const stdin = { contents: "import 'lowrank/files';", resolveDir: path('.') };
  const { outputFiles: [{ text: bundle }] } = await build({ stdin, bundle: true, format: 'esm', write: false, logLevel: 'error' });
  assert.match(bundle, /"lowrank_emit"/);
});

test('a size that is not that of figures.json fails, and so does one that is in one place only', () => {
  for (const name of ['scripts', 'dist', 'figures.json', 'README.md', 'package.json']) cpSync(path(name), join(room, name), { recursive: true });
  const sizes = (...args) => spawnSync(process.execPath, ['scripts/sizes.mjs', ...args], { cwd: room, encoding: 'utf8' });
  assert.equal(sizes('--write').status, 0);
  const { status: passed, stdout: said } = sizes('--check');
  assert.equal(passed, 0);
  assert.doesNotMatch(said, /missed|over|not/i, 'what passes has nothing to complain about');
  const figures = JSON.parse(readFileSync(join(room, 'figures.json'), 'utf8'));
  const checked = (changed) => {
    writeFileSync(join(room, 'figures.json'), JSON.stringify(changed));
    return sizes('--check');
  };
  for (const factor of [0.97, 1.03]) {
    const scaled = Object.entries(figures).map(([name, { raw, gz }]) => [name, { raw: raw * factor, gz: gz * factor }]);
    const { status, stderr } = checked(Object.fromEntries(scaled));
    assert.equal(status, 1);
    assert.equal([...stderr.matchAll(/^[\w./-]+: \d+ bytes (raw|gz), not/gm)].length, 2 * scaled.length, stderr);
  }
  const { lowrank, ...others } = figures;
  assert.equal(checked(others).status, 1);
  assert.equal(checked({ ...figures, more: lowrank }).status, 1);
});
