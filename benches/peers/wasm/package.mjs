// The npm package beside TensorFlow.js, in turn, in one process, on one thread: a layer forward, and a whole training step. Started by
// `run --package`.
import { setFlagsFromString } from 'node:v8';

import { create } from '../../../bindings/js/dist/index.js';
import { bytes } from '../../../bindings/js/dist/wasm.js';
import { allCases } from './cases.mjs';
import { Checks } from './check.mjs';
import { OPTIONS, theirs } from './contenders.mjs';
import * as tfjs from './tfjs.mjs';
import { inTurn } from './timing.mjs';

/** How many times as fast the package has to be: with the module that is meant for speed, from 8 tokens on. */
const BARS = { forward: 1.0, step: 3.0 };
const EFFORT = { warmUp: 0.2, timing: 1e-3, total: 1, rounds: 9 };

/** Numbers from -0.5 to 0.5. */
function numbers(length, seed) {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = Math.imul(state, 1664525) + 1013904223 | 0;
    return (state >>> 8) / 2 ** 24 - 0.5;
  });
}

function matricesOf({ outputs, inputs, rank, tokens }) {
  const lengths = { w: outputs * inputs, bias: outputs, a: rank * inputs, b: outputs * rank, x: tokens * inputs, dy: tokens * outputs };
  return Object.fromEntries(Object.entries(lengths).map(([name, length], i) => [name, numbers(length, i + 1)]));
}

/** A layer of the package, with one thing that it does. */
function ours(name, [lowrank, options], { kind, sizes }, matrices) {
  const layer = lowrank.layer({ ...sizes, ...options, weights: matrices.w, bias: matrices.bias, scale: OPTIONS.scale, inputGrads: true });
  for (const part of ['a', 'b', 'x', 'dy']) layer[part].set(matrices[part]);
  const { lr: learningRate, beta1, beta2, eps: epsilon, weightDecay } = OPTIONS.adamw;
  const settings = { learningRate, beta1, beta2, epsilon, weightDecay };
  const step = () => {
    layer.forward();
    layer.backward();
    layer.step(settings);
  };
  const run = kind === 'step' ? step : () => layer.forward();
  const names = kind === 'step' ? ['y', 'dx', 'da', 'db'] : ['y'];
  const result = () => {
    run();
    return Object.fromEntries(names.map((matrix) => [matrix, layer[matrix].slice()]));
  };
  return { name, run, result, expected: Object.fromEntries(names.map((matrix) => [matrix, matrix])), dispose: () => layer.free() };
}

function measure(measured, modules) {
  const matrices = matricesOf(measured.sizes);
  const checks = new Checks(measured.sizes, matrices, OPTIONS);
  const peers = theirs(measured, matrices);
  const own = Object.entries(modules).map(([name, module]) => ours(name, module, measured, matrices));
  const list = [...own, ...peers.list];
  for (const { name, result, expected } of list) {
    const results = result();
    for (const [matrix, as] of Object.entries(expected)) checks.close(`${measured.name}: ${name}`, as, results[matrix]);
  }
  const times = inTurn(EFFORT, list.map(({ run }) => run));
  own.forEach((each) => each.dispose());
  peers.dispose();
  // The fastest way of the peer, by the median over the rounds of how much longer it takes.
  const lead = (i) => Math.min(...peers.list.map((_, j) => times[i].medianLead(times[own.length + j])));
  return Object.fromEntries(own.map(({ name }, i) => [name, lead(i)]));
}

setFlagsFromString('--no-liftoff');
const modules = {
  full: [await create({ module: bytes('full-simd128') }), {}],
  packed: [await create({ module: bytes('full-simd128') }), { packed: true }],
  small: [await create({ simd: true }), {}],
  scalar: [await create({ simd: false }), {}],
};
const peer = await tfjs.start();
if (peer.binary !== 'tfjs-backend-wasm-simd.wasm') throw new Error(`tfjs loaded ${peer.binary}`);
console.log(`tfjs: core ${peer.core}, ${peer.binary}, 1 thread; node ${process.versions.node}`);
console.log('How many times as fast as tfjs the package is, by its modules.');
const only = process.argv[2] ?? '';
const below = [];
for (const measured of allCases().filter(({ kind, name }) => kind in BARS && name.includes(only))) {
  const leads = measure(measured, modules);
  console.log([measured.name.padEnd(26), ...Object.entries(leads).map(([name, lead]) => `${name} ${lead.toFixed(2)}`)].join('  '));
  const asked = measured.kind === 'step' || measured.sizes.tokens >= 8;
  const best = Math.max(leads.full, leads.packed);
  if (asked && best < BARS[measured.kind]) below.push(`${measured.name}: ${best.toFixed(2)} of ${BARS[measured.kind]}`);
}
console.log(['Below the bar:', ...below.length === 0 ? ['nothing'] : below].join('\n  '));
