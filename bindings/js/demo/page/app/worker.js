// Everything that computes.

import { create, hasSimd } from '../lowrank/index.js';
import { serve } from '../lowrank/worker.js';
import { LAYERS, openFiles, saveDevice, savePeft } from './adapters.js';
import { decodeBase, decodeDigits, Scenario } from './scenario.js';
import { FULL, imagesOf, transformOf } from './tasks.js';

/** Computing goes on for so long before requests are looked at, in milliseconds. */
const SLICE = 12;
/** When it should be watched: steps of a frame, and how long that is. */
const [WATCHED_STEPS, FRAME] = [8, 16];

const wait = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));

const data = { base: undefined, digits: undefined };
/** What runs now: the network with its adapter, and without one; `loaded` are adapters from a file, by layer. */
const now = { lowrank: undefined, scenario: undefined, before: undefined, loaded: undefined };
let settings = {};

serve({
  /** Takes the bytes of both data files. */
  data({ base, digits }) {
    [data.base, data.digits] = [decodeBase(base), decodeDigits(digits)];
  },

  /** Starts anew with other settings. An adapter from a file stays, unless it is told to go. */
  async configure({ keepLoaded, ...wanted }) {
    await choose(wanted);
    settings = wanted;
    return begin(keepLoaded ? now.loaded : undefined);
  },

  /** Trains up to `steps` steps, on from where it was stopped. */
  train({ steps, learningRate, watch }, context) {
    if (now.scenario.steps >= steps) restart();
    now.scenario.settings.learningRate = learningRate;
    return run(steps, watch, context);
  },

  /** Logits of an image without and with the adapter. */
  predict(pixels) {
    const input = Float32Array.from(pixels, (pixel) => pixel / FULL);
    return { before: now.before.logits(input), after: now.scenario.logits(input) };
  },

  save: () => saveDevice(now.scenario),
  savePeft: () => savePeft(now.scenario),

  /** Takes the adapter of files { name, bytes } in the place of the one there is. */
  open: async (files) => begin(await openFiles(files)),
});

/** Loads the module that the settings ask for, when it is another one. */
async function choose({ flavour, arithmetic }) {
  if (now.lowrank && flavour === settings.flavour && arithmetic === settings.arithmetic) return;
  const simd = flavour === 'auto' ? hasSimd() : flavour === 'simd128';
  // The modules that come inline have no fused arithmetic: that one is loaded when it is asked for.
  const module = arithmetic === 'fused' ? await fullModule(simd) : undefined;
  now.lowrank = await create({ simd, module });
  now.scenario = now.before = undefined;
}

async function fullModule(simd) {
  const { bytes } = await import('../lowrank/wasm.js');
  return bytes(simd ? 'full-simd128' : 'full-scalar');
}

/** Networks as the settings say, and what they read. `loaded` are adapters to start from, by layer. */
function begin(loaded) {
  const { task, own, rank, seed, arithmetic } = settings;
  const { digits, ...numbers } = imagesOf(task, data.digits, own);
  const options = { ...numbers, task: transformOf(task), arithmetic, seed, epochs: Infinity };
  const ranks = loaded ? { hidden: loaded.hidden.rank, output: loaded.output.rank } : rank;
  const networks = [new Scenario(now.lowrank, data.base, digits, { ...options, rank: ranks })];
  networks.push(new Scenario(now.lowrank, data.base, digits, { ...options, rank: 1 }));
  now.scenario?.free();
  now.before?.free();
  [now.scenario, now.before] = networks;
  now.loaded = loaded;
  takeOver();
  const { flavour, wasmBytes, version } = now.lowrank;
  const { scenario, before } = now;
  const parameters = LAYERS.reduce((sum, name) => sum + scenario[name].a.length + scenario[name].b.length, 0);
  return {
    flavour,
    wasmBytes,
    version,
    parameters,
    rank: scenario.hidden.rank,
    test: numbers.test.slice(),
    read: scenario.read(),
    readBefore: before.read(),
  };
}

/** To the first step again: of a fresh adapter, or of that of the file. */
function restart() {
  now.scenario.reset();
  takeOver();
}

function takeOver() {
  for (const name of now.loaded ? LAYERS : []) now.scenario[name].resume(now.loaded[name]);
}

async function run(steps, watch, { signal, progress, pause }) {
  const { scenario } = now;
  const first = scenario.steps;
  let computing = 0;
  while (!signal.aborted && scenario.steps < steps) {
    const started = performance.now();
    const losses = slice(steps, watch);
    computing += performance.now() - started;
    const computed = scenario.steps - first;
    progress({ losses, read: scenario.read(), steps: scenario.steps, computing, computed, operations: scenario.flopsPerStep });
    // Either lets messages in.
    const rest = watch ? started + FRAME - performance.now() : 0;
    await (rest > 0 ? wait(rest) : pause());
  }
  return { steps: scenario.steps, digest: scenario.digest(), finished: scenario.steps >= steps };
}

/** Some steps; their losses. */
function slice(steps, watch) {
  const [losses, end] = [[], performance.now() + SLICE];
  const most = watch ? WATCHED_STEPS : Infinity;
  do losses.push(now.scenario.step().loss);
  while (now.scenario.steps < steps && losses.length < most && performance.now() < end);
  return Float32Array.from(losses);
}
