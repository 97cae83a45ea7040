// Everything that computes: it answers requests { id, name, argument } by { id, result } or { id, error }, and tells how a
// training goes by { progress }.

import { create, hasSimd } from '../lowrank/index.js';
import { LAYERS, openFiles, saveDevice, savePeft } from './adapters.js';
import { decodeBase, decodeDigits, Scenario } from './scenario.js';
import { FULL, imagesOf, transformOf } from './tasks.js';

/** Computing goes on for so long before requests are looked at, in milliseconds. */
const SLICE = 12;
/** When it should be watched: steps between two pauses, and how long those are. */
const [WATCHED_STEPS, FRAME] = [8, 16];

const data = { base: undefined, digits: undefined };
/** What runs now: the network with its adapter, and without one; `loaded` are adapters from a file, by layer. */
const now = { lowrank: undefined, scenario: undefined, before: undefined, loaded: undefined };
let settings = {};
let stopping = false;
let running = false;

const pause = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));

const requests = {
  /** Takes the bytes of both data files; gives the digits back. */
  data({ base, digits }) {
    [data.base, data.digits] = [decodeBase(base), decodeDigits(digits)];
    return data.digits;
  },

  /** Starts anew with other settings. An adapter from a file stays, unless it is told to go. */
  async configure({ keepLoaded, ...wanted }) {
    await requests.stop();
    await choose(wanted);
    settings = wanted;
    return begin(keepLoaded ? now.loaded : undefined);
  },

  /** Trains up to `steps` steps, on from where it was stopped. */
  async train({ steps, learningRate, watch }) {
    if (now.scenario.steps >= steps) restart();
    now.scenario.settings.learningRate = learningRate;
    [running, stopping] = [true, false];
    try {
      return await run(steps, watch);
    } finally {
      running = false;
    }
  },

  async stop() {
    stopping = true;
    while (running) await pause(1);
  },

  /** Logits of an image without and with the adapter. */
  predict(pixels) {
    const input = Float32Array.from(pixels, (pixel) => pixel / FULL);
    return { before: now.before.logits(input), after: now.scenario.logits(input) };
  },

  save: () => saveDevice(now.scenario),
  savePeft: () => savePeft(now.scenario),

  /** Takes the adapter of files { name, bytes } in the place of the one there is. */
  async open(files) {
    await requests.stop();
    return begin(await openFiles(files));
  },
};

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
  return { flavour, wasmBytes, version, test: numbers.test, rank: scenario.hidden.rank, parameters, read: scenario.read(), readBefore: before.read() };
}

/** To the first step again: of a fresh adapter, or of that of the file. */
function restart() {
  now.scenario.reset();
  takeOver();
}

function takeOver() {
  for (const name of now.loaded ? LAYERS : []) now.scenario[name].fromAdapter(now.loaded[name]);
}

async function run(steps, watch) {
  const { scenario } = now;
  const first = scenario.steps;
  let computing = 0;
  while (!stopping && scenario.steps < steps) {
    const started = performance.now();
    const losses = slice(steps, watch);
    computing += performance.now() - started;
    report(losses, first, computing);
    await pause(watch ? Math.max(started + FRAME - performance.now(), 0) : 0);
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

function report(losses, first, computing) {
  const { steps, flopsPerStep } = now.scenario;
  const read = now.scenario.read();
  const progress = { losses, read, steps, computing, computed: steps - first, operations: flopsPerStep };
  postMessage({ progress }, [losses.buffer, read.buffer]);
}

/** An error as it can be posted: with the fields of a LowrankError. */
function described({ name, message, code, argument, expected, got }) {
  return { name, message, code, argument, expected, got };
}

self.addEventListener('message', async ({ data: { id, name, argument } }) => {
  try {
    postMessage({ id, result: await requests[name](argument) });
  } catch (error) {
    postMessage({ id, error: described(error) });
  }
});
