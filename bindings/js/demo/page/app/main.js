// Puts the parts of the page together.

import { connect } from '../lowrank/worker.js';
import { Bars } from './bars.js';
import { Chart } from './chart.js';
import { download, onFiles } from './files.js';
import { Figures } from './figures.js';
import { Grid } from './grid.js';
import { offlineUse } from './offline.js';
import { Own } from './own.js';
import { Pad } from './pad.js';
import { show } from './paint.js';
import { Settings } from './settings.js';
import { decodeDigits } from './scenario.js';
import { seen } from './tasks.js';
import { inWords } from './words.js';

const $ = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

const TASK_WORDS = { rotated: 'turned ones', mirrored: 'mirrored ones', own: 'what it has never seen' };

const worker = connect(new Worker(new URL('./worker.js', import.meta.url), { type: 'module' }));
const settings = new Settings((keepLoaded) => configure({ keepLoaded }));
const figures = new Figures($);
const charts = {
  accuracy: new Chart($('accuracy-chart'), {
    name: 'Digits read correctly',
    highest: 1,
    ticks: () => [0, 0.5, 1],
    write: (share) => `${Math.round(100 * share)} %`,
  }),
  loss: new Chart($('loss-chart'), {
    name: 'Loss',
    highest: 3,
    ticks: (highest) => [0, highest / 2, highest],
    write: (loss) => loss.toFixed(1),
  }),
};
const bars = { before: new Bars($('before-bars'), $('before-digit')), after: new Bars($('after-bars'), $('after-digit')) };
const grid = new Grid({ grid: $('grid'), back: $('grid-back'), next: $('grid-next'), page: $('grid-page') }, (image) => pad.set(image));
const own = new Own($, () => configure({ keepLoaded: true }));
const pad = new Pad($('pad'), $('pad-cell'), drawn);

/** What the page knows of the network. */
const state = { ready: false, busy: false, stop: undefined, steps: 0, task: 'rotated', test: [], labels: [], before: 0 };
let digits;

/** The curves of a training, shown once a frame. */
const run = {
  loss: { x: [], y: [] },
  accuracy: { x: [], y: [] },
  wanted: false,

  /** @param {number} first the accuracy before the first step */
  clear(first) {
    [this.loss, this.accuracy] = [{ x: [], y: [] }, { x: [0], y: [first] }];
  },

  add(progress) {
    for (const loss of progress.losses) this.loss.x.push(this.loss.y.push(loss));
    this.accuracy.x.push(progress.steps);
    this.accuracy.y.push(accuracy(progress.read));
    state.steps = progress.steps;
    this.progress = progress;
    if (this.wanted) return;
    this.wanted = true;
    requestAnimationFrame(() => this.show());
  },

  show() {
    this.wanted = false;
    grid.setRead(this.progress.read);
    figures.setRates(this.progress);
    drawCharts();
    predict();
    if (state.stop) $('status').textContent = `step ${state.steps} of ${settings.steps}`;
  },
};

function accuracy(read) {
  let right = 0;
  read.forEach((digit, i) => (right += digit === state.labels[state.test[i]]));
  return read.length ? right / read.length : 0;
}

function drawCharts() {
  const steps = Math.max(settings.steps || 1, state.steps);
  charts.loss.set({ ...run.loss, steps });
  charts.accuracy.set({ ...run.accuracy, steps, mark: state.before });
  $('accuracy').value = state.test.length ? percent(run.accuracy.y.at(-1)) : '–';
  $('loss').value = run.loss.y.at(-1)?.toFixed(3) ?? '–';
}

// ---------------------------------------------------------------------------------------------------------------- network

async function configure({ keepLoaded = false } = {}) {
  if (!settings.check()) return;
  const made = await attempt('Loading …', async () => {
    const { task } = settings;
    const images = task === 'own' ? own.images : digits;
    const begun = await worker.call('configure', { ...settings.network, own: own.images, keepLoaded });
    begin(task, images, begun);
    $('status').textContent = task === 'own' && own.isEmpty ? 'Draw digits and say what they are' : 'Ready';
  });
  if (made) settings.accept();
  else settings.revert();
}

/** Shows a network before its training. */
function begin(task, images, begun) {
  const changed = task !== state.task || state.test.length !== begun.test.length;
  Object.assign(state, { ready: true, steps: 0, finished: false, task, test: begun.test, labels: images.labels });
  state.before = accuracy(begun.readBefore);
  run.clear(accuracy(begun.read));
  if (changed || !$('grid').children.length) grid.setImages(task, images, begun.test);
  grid.setRead(begun.read);
  own.show(task === 'own');
  settings.showRank(begun.rank);
  figures.begin(begun);
  $('task-words').textContent = TASK_WORDS[task];
  $('parameters').textContent = begun.parameters;
  drawCharts();
  drawn(pad.image);
}

async function train() {
  if (!settings.check()) return;
  if (state.finished) run.clear(run.accuracy.y[0]);
  const started = performance.now();
  state.stop = new AbortController();
  await attempt('', async () => {
    const { steps, learningRate, watch } = settings;
    const progress = (value) => run.add(value);
    const ended = await worker.call('train', { steps, learningRate, watch }, { progress, signal: state.stop.signal });
    const seconds = (performance.now() - started) / 1000;
    state.finished = ended.finished;
    figures.end(ended);
    if (run.wanted) run.show();
    $('status').textContent = `${ended.finished ? 'Done' : 'Stopped'}: ${ended.steps} steps in ${seconds.toFixed(2)} s`;
  });
}

/** Does something while the buttons cannot be pressed; says what went wrong, and whether all went well. */
async function attempt(doing, work) {
  const focused = document.activeElement;
  state.busy = true;
  enable();
  if (doing) $('status').textContent = doing;
  let well = true;
  try {
    await work();
  } catch (error) {
    well = false;
    complain(inWords(error));
    $('status').textContent = 'That did not work';
  }
  [state.busy, state.stop] = [false, undefined];
  enable();
  // What was disabled has lost it.
  if (document.activeElement === document.body) focused.focus({ preventScroll: true });
  return well;
}

function enable() {
  const idle = state.ready && !state.busy;
  const some = state.test.length > 0;
  $('train').disabled = !idle || !some;
  $('train').textContent = state.finished ? 'Train again' : state.steps > 0 ? 'Continue' : 'Train';
  $('stop').disabled = !state.stop;
  $('reset').disabled = !idle;
  for (const id of ['save', 'save-peft', 'save-config', 'open']) $(id).disabled = !idle;
  settings.enable(idle);
  own.enable(idle);
  // What counts up is not to be read aloud.
  $('status').ariaBusy = String(state.busy);
}

// ----------------------------------------------------------------------------------------------------------------- digits

/** Shows an image as the network sees it, and what it makes of it. */
function drawn(image) {
  show($('seen'), seen(state.task, image));
  const words = { rotated: 'what the network sees: turned', mirrored: 'what the network sees: mirrored', own: 'what the network sees' };
  $('seen-caption').textContent = words[state.task];
  predict();
}

/** Asks for one prediction at a time, and again if the image, the task or the network has changed in the meantime. */
const asked = { waiting: false, again: false };
async function predict() {
  asked.again = true;
  if (asked.waiting) return;
  asked.waiting = true;
  busy(true);
  while (asked.again) {
    asked.again = false;
    await predictOnce();
  }
  asked.waiting = false;
  busy(false);
}

async function predictOnce() {
  if (!state.ready || pad.isEmpty) {
    for (const each of Object.values(bars)) each.clear();
    return;
  }
  try {
    const { before, after } = await worker.call('predict', seen(state.task, pad.image));
    bars.before.set(before);
    bars.after.set(after);
  } catch (error) {
    complain(inWords(error));
  }
}

function busy(yes) {
  for (const each of Object.values(bars)) each.busy = yes;
}

// ------------------------------------------------------------------------------------------------------------------ files

const openFiles = (files) =>
  attempt('Reading the file …', async () => {
    const begun = await worker.call('open', files);
    begin(state.task, state.task === 'own' ? own.images : digits, begun);
    const names = files.map(({ name }) => name).join(' and ');
    $('loaded').textContent = `Opened ${names}: ${begun.parameters} numbers, ${percent(run.accuracy.y[0])} read correctly.`;
    $('status').textContent = 'Adapter opened';
  });

async function save(name) {
  await attempt('', async () => {
    const peft = name !== 'adapter.lowrank';
    const made = await worker.call(peft ? 'savePeft' : 'save');
    download(name, peft ? made[name] : made);
  });
}

function complain(message) {
  $('error-text').textContent = message;
  $('error').hidden = false;
}

// ------------------------------------------------------------------------------------------------------------------ start

function listen() {
  $('train').addEventListener('click', train);
  $('stop').addEventListener('click', () => state.stop.abort());
  $('reset').addEventListener('click', () => {
    $('loaded').textContent = '';
    configure();
  });
  $('clear').addEventListener('click', () => {
    grid.release();
    pad.clear();
  });
  $('pad').addEventListener('pointerdown', () => grid.release());
  $('save').addEventListener('click', () => save('adapter.lowrank'));
  $('save-peft').addEventListener('click', () => save('adapter_model.safetensors'));
  $('save-config').addEventListener('click', () => save('adapter_config.json'));
  $('error-close').addEventListener('click', () => ($('error').hidden = true));
  onFiles({ input: $('open'), cover: $('drop-here') }, openFiles, (error) => complain(inWords(error)));
  own.listen(() => pad);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    grid.draw();
    pad.draw();
    show($('seen'), seen(state.task, pad.image));
  });
}

async function bytesOf(path) {
  const response = await fetch(new URL(path, document.baseURI));
  if (!response.ok) throw new Error(`${path}: expected the file, got the answer ${response.status}`);
  return response.arrayBuffer();
}

async function start() {
  listen();
  offlineUse($('offline'));
  const loaded = await attempt('Loading …', async () => {
    const [base, images] = await Promise.all([bytesOf('data/base.bin'), bytesOf('data/digits.bin')]);
    digits = decodeDigits(images);
    await worker.call('data', { base, digits: images }, { transfer: [base] });
  });
  if (!loaded) return;
  await configure();
  $('grid').firstElementChild?.click();
}

start();
