// lowrank in WebAssembly beside TensorFlow.js and its XNNPACK, in turn, in one process, on one thread. Started by `run`.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { allCases } from './cases.mjs';
import { Checks, same } from './check.mjs';
import { OPTIONS, ours, theirs } from './contenders.mjs';
import { Library } from './ours.mjs';
import { Line, print, writeCsv } from './report.mjs';
import * as tfjs from './tfjs.mjs';
import { inTurn } from './timing.mjs';

const HELP = `Times lowrank in WebAssembly beside TensorFlow.js, in turn, in one process, on one thread.

  --only TEXT     only cases whose name (as in the tables, "step 384x384 n 128") contains TEXT
  --rounds N      rounds of each case at least (9)
  --seconds S     seconds that one case takes at least (2)
  --timing MS     milliseconds that one timing takes at least (1)
  --csv FILE      write every figure into FILE
  --require       exit with 1 unless ours is at least as fast as tfjs with 8 tokens and more, and 1.3 times as fast at
                  64x64, by fastest rounds and by medians
  --help          this text
`;

/** Seconds that every contender runs before it is timed, in which the engine compiles JavaScript that runs often. */
const WARM_UP = 0.2;

const GROUPS = [
  ['Products', ['base', 'thin A', 'thin B']],
  ['A layer with an adapter of rank 8. step: forward, backward with dX, AdamW', ['forward', 'step']],
];

function options() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      rounds: { type: 'string', default: '9' },
      seconds: { type: 'string', default: '2' },
      timing: { type: 'string', default: '1' },
      csv: { type: 'string' },
      require: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const number = (name) => {
    if (!(Number(values[name]) >= 0)) throw new Error(`--${name}: expected a number, got "${values[name]}"`);
    return Number(values[name]);
  };
  const effort = {
    warmUp: WARM_UP, timing: number('timing') * 1e-3, total: number('seconds'), rounds: Math.max(1, number('rounds')),
  };
  return { ...values, effort };
}

/** Lets everybody compute the case once, and compares. */
function check(measured, list, matrices) {
  const checks = new Checks(measured.sizes, matrices, OPTIONS);
  const results = list.map((contender) => contender.result());
  list.forEach(({ name, variant, expected }, i) => {
    const who = `${measured.name}: ${name} ${variant}`.trim();
    for (const [matrix, as] of Object.entries(expected)) checks.close(who, as, results[i][matrix]);
    if (measured.kind === 'step') {
      checks.stepped(who, 'a', results[i].da, results[i].a);
      checks.stepped(who, 'b', results[i].db, results[i].b);
    }
    const twin = list.findIndex((other) => other.name === 'scalar' && other.variant === variant);
    if (name === 'ours') same(`${who} and scalar`, results[i], results[twin]);
  });
}

function measure(measured, libraries, effort) {
  const tensors = tfjs.count();
  const own = [...ours('ours', libraries.simd128, measured), ...ours('scalar', libraries.scalar, measured)];
  const matrices = own[0].matrices;
  const peers = theirs(measured, matrices);
  const list = [...own, ...peers.list];
  check(measured, list, matrices);
  const times = inTurn(effort, list.map(({ run }) => run));
  own.forEach((contender) => contender.dispose());
  peers.dispose();
  if (tfjs.count() !== tensors) throw new Error(`${measured.name}: ${tfjs.count() - tensors} tensors are left`);
  return new Line(measured, list.map(({ name, variant }, i) => ({ name, variant, times: times[i] })));
}

async function load() {
  // The optimizing compiler compiles every module at once, instead of some time after the quick one.
  setFlagsFromString('--no-liftoff');
  const file = (build) => fileURLToPath(new URL(`target/${build}.wasm`, import.meta.url));
  const [simd128, scalar] = await Promise.all(['simd128', 'scalar'].map((build) => Library.load(file(build))));
  if (simd128.backend !== 'simd128' || scalar.backend !== 'scalar') {
    throw new Error('a module has not the backend of its name');
  }
  const peer = await tfjs.start();
  if (peer.binary !== 'tfjs-backend-wasm-simd.wasm') throw new Error(`tfjs loaded ${peer.binary}`);
  for (const { backend, panelWidth } of [simd128, scalar]) console.log(`ours: ${backend}, panels of ${panelWidth}`);
  console.log(`tfjs: core ${peer.core}, backend ${peer.backend}, ${peer.binary}, 1 thread`);
  console.log(`node ${process.versions.node}, V8 ${process.versions.v8}`);
  return { simd128, scalar };
}

async function main() {
  const { only, csv, require, help, effort } = options();
  if (help) return process.stdout.write(HELP);
  const cases = allCases().filter(({ name }) => name.includes(only));
  if (cases.length === 0) throw new Error(`no case has "${only}" in its name`);
  const libraries = await load();
  const lines = cases.map((measured, i) => {
    const line = measure(measured, libraries, effort);
    process.stderr.write(`${i + 1} of ${cases.length}: ${measured.name}, ${line.rounds} rounds\n`);
    return line;
  });
  print(lines, GROUPS);
  if (csv !== undefined) writeCsv(lines, csv);
  const shortfalls = lines.map((line) => line.shortfall()).filter((text) => text !== undefined);
  console.log(['\nBelow the bar:', ...shortfalls.length === 0 ? ['nothing'] : shortfalls].join('\n  '));
  if (require && shortfalls.length > 0) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
