import { checked } from './entry.js';
import { floats } from './arrays.js';
import * as abi from './layout.js';
import { codec } from './codec.js';
import { LowrankError, boolean, integer, number, object, onlyKnown, string } from './error.js';
import { finite, isDead } from './finite.js';
import { inside, numbers } from './loss.js';
import { LAST_LAYER_NUMBER, OPTIMIZERS, OPTIONS, describe, sizesOf } from './options.js';
import { factorOf } from './scale.js';
import { seedOf } from './seed.js';
import { STEPS } from './steps.js';
import { Views } from './views.js';

/** @typedef {import('./entry.js').Entry} Entry */
/** @typedef {import('./entry.js').Scale} Scale */
/** @typedef {import('./loss.js').Labels} Labels */
/** @typedef {import('./loss.js').MeanLoss} MeanLoss */
/** @typedef {import('./options.js').LayerOptions} LayerOptions */
/** @typedef {import('./options.js').Parts} Parts */
/** @typedef {import('./steps.js').StepOptions} StepOptions */

/** Names of the arguments of the ABI that are others here. */
const NAMES = { dropout: 'dropout.probability', saved: 'forward' };

/** A layer `y = x·Wᵀ + bias + s·(x·Aᵀ)·Bᵀ`, its gradients and its optimizer. */
export class Layer {
  /** Columns of the weights. @readonly @type {number} */
  inputs;
  /** Rows of the weights. @readonly @type {number} */
  outputs;
  /** Rows of A. @readonly @type {number} */
  rank;
  /** The most tokens at a time. @readonly @type {number} */
  tokens;
  #parts;
  #heap;
  #block;
  #struct;
  #optimizer;
  /** Memory of others, by argument. @type {[string, import('./heap.js').Block][]} */
  #borrowed = [];
  /** @type {Record<string, [at: number, length: number]>} */
  #places;
  #views;
  /** Whether a backward pass came since the last step. */
  #graded = false;

  /**
   * @param {Parts} parts
   * @param {LayerOptions} options
   * @param {number} index
   */
  constructor(parts, options, index) {
    onlyKnown('options', options, OPTIONS);
    const [heap, call] = [parts.heap, parts.call];
    const of = sizesOf(options, parts, index);
    const { inputs, outputs, rank, tokens } = of;
    const shared = /** @type {const} */ (['x', 'dx']).flatMap((name) => {
      if (options[name] === undefined) return [];
      const { block, view } = inside(heap, name, options[name]);
      if (view.length !== tokens * inputs) throw new LowrankError('Length', name, { expected: tokens * inputs, got: view.length });
      return [/** @type {const} */ ([name, view.byteOffset, block])];
    });
    // The numbers of the struct until there is memory for it, in a struct of the module that is planned first.
    const head = heap.take(abi.LAYER_BYTES, 'layer');
    /** Elements of each part. @type {Record<string, number>} */
    let own;
    try {
      describe(heap.data, head.at, of);
      call(NAMES, 'lowrank_layer_plan', head.at);
      const arena = heap.data.getUint32(head.at + abi.LAYER_ARENA_LEN, true);
      const borrows = (/** @type {string} */ name) => shared.some(([other]) => other === name);
      own = {
        weights: outputs * inputs, bias: options.bias ? outputs : 0, arena, y: tokens * outputs, dy: tokens * outputs,
        x: borrows('x') ? 0 : tokens * inputs, dx: borrows('dx') || !of.inputGrads ? 0 : tokens * inputs,
      };
      const total = Object.values(own).reduce((sum, length) => sum + length * 4 + 16, 0);
      if (total > 2 ** 32 - 2 ** 20) throw new LowrankError('Overflow', 'options', { got: `${total} bytes` });
      this.#block = heap.take(total, 'layer');
      let at = this.#block.at;
      this.#places = {};
      for (const [name, length] of Object.entries(own)) {
        this.#places[name] = [at, length];
        at += Math.ceil(length / 4) * 16;
      }
    } catch (error) {
      heap.release(head);
      throw error;
    }
    this.#parts = parts;
    this.#heap = heap;
    this.#views = new Views(heap);
    this.#struct = head;
    this.#optimizer = of.optimizer;
    this.#block.rows = /** @type {const} */ ([['y', outputs], ['dy', outputs], ['dx', inputs]]).map(([name, cols]) => {
      const [at, length] = this.#places[name];
      const output = name === 'y';
      return { at, bytes: 4 * length, cols, gradient: !output, tokens: output ? () => this.#get(abi.LAYER_BATCH) : undefined };
    });
    for (const [name, start, block] of shared) {
      this.#places[name] = [start, tokens * inputs];
      this.#borrowed.push([name, block]);
    }
    this.inputs = inputs;
    this.outputs = outputs;
    this.rank = rank;
    this.tokens = tokens;
    this.#scale = of.rule;
    this.#seed = of.seed;
    this.#layerNumber = of.layerNumber;
    try {
      new Float32Array(heap.memory.buffer, this.#block.at, this.#block.bytes / 4).fill(0);
      const absent = [!options.bias && 'bias', !of.inputGrads && 'dx'];
      for (const [field, name] of POINTERS) this.#set(field, absent.includes(name) ? 0 : this.#places[name][0]);
      this.#set(abi.LAYER_ARENA_LEN, own.arena);
      const weights = floats('weights', options.weights);
      if (of.packed) this.#pack(weights);
      else this.#part('weights').set(weights);
      if (options.bias) this.#part('bias').set(floats('bias', options.bias));
      this.#init(this.#seed);
    } catch (error) {
      this.free();
      throw error;
    }
    ['a', 'b', 'trainedBias', 'da', 'db', 'dbias'].forEach((name, i) => {
      const at = this.#get(abi.LAYER_PARTS + 4 * i);
      this.#places[name] = at ? [at, this.#lengths[i % 3]] : [this.#block.at, 0];
    });
    // For `merge` and targets, later, when the caller holds views.
    heap.spare(4 * outputs * (inputs + tokens));
    // The sizes are those of the memory, and a field that is misspelt is found.
    Object.freeze(this);
  }

  #seed;
  #layerNumber;
  #scale;

  /** The factor of the adapter. */
  get scale() {
    return factorOf(this.#scale, this.rank);
  }

  /**
   * @param {number} field
   * @param {number} value
   */
  #set(field, value) {
    this.#heap.data.setUint32(this.#struct.at + field, value, true);
  }

  /** @param {number} field */
  #get(field) {
    return this.#heap.data.getUint32(this.#struct.at + field, true);
  }

  /** Puts the weights into panels, as wide as this module likes them. @param {Float32Array} weights */
  #pack(weights) {
    const { inputs, outputs } = this;
    const [at, length] = this.#places.weights;
    const room = this.#heap.take(abi.MATRIX_BYTES + abi.BASE_BYTES + 4 * length, 'packed');
    const [matrix, base, rows] = [room.at, room.at + abi.MATRIX_BYTES, room.at + abi.MATRIX_BYTES + abi.BASE_BYTES];
    try {
      const data = this.#heap.data;
      new Float32Array(data.buffer, rows, length).set(weights);
      [abi.MATRIX_BYTES, rows, outputs, inputs, inputs].forEach((value, i) => data.setUint32(matrix + 4 * i, value, true));
      for (let i = 0; i < abi.BASE_BYTES; i += 4) data.setUint32(base + i, i ? 0 : abi.BASE_BYTES, true);
      this.#parts.call(NAMES, 'lowrank_pack', this.#get(abi.LAYER_BACKEND), matrix, at, length, base);
      this.#set(abi.LAYER_PANEL_WIDTH, data.getUint32(base + abi.BASE_PANEL_WIDTH, true));
    } finally {
      this.#heap.release(room);
    }
  }

  get #biasName() {
    return this.#get(abi.LAYER_TRAINED) & abi.TRAINS_BIAS ? 'trainedBias' : 'bias';
  }

  /** Of A, of B, of the bias. */
  get #lengths() {
    return [this.rank * this.inputs, this.outputs * this.rank, this.outputs];
  }

  /** A view for the caller. @param {string} name @param {number} [length] of its first elements */
  #view(name, length) {
    this.#alive();
    const [at, all] = this.#places[name];
    const block = this.#borrowed.find(([other]) => other === name)?.[1] ?? this.#block;
    return this.#views.give(name, block, at, length ?? all);
  }

  /** A view for use in here. @param {string} name */
  #part(name) {
    return this.#views.at(name, ...this.#places[name]);
  }

  #alive() {
    if (!this.#block.live) throw new LowrankError('Freed', 'layer');
    for (const [name, block] of this.#borrowed) if (!block.live) throw new LowrankError('Freed', name);
  }

  /** Throws where a call would not see what the caller has written. */
  #ready() {
    this.#alive();
    this.#views.check();
  }

  /** Where the layer's struct is in the module's memory, for glue of one's own: `lowrank_layer` of the C ABI. */
  get address() {
    this.#alive();
    return this.#struct.at;
  }

  /** Input [tokens, inputs]. Write it before `forward`. */
  get x() { return this.#view('x'); }
  /** Output [tokens, outputs]. */
  get y() { return this.#view('y'); }
  /** Gradient of the loss with respect to y. Write it before `backward`. */
  get dy() { return this.#view('dy'); }
  /** Gradient with respect to x; empty without `inputGrads`. */
  get dx() { return this.#view('dx'); }
  /** The frozen weights [outputs, inputs]. */
  get weights() { return this.#view('weights'); }
  /** The bias [outputs]: the trained one where it is trained; empty where there is none. */
  get bias() { return this.#view(this.#biasName); }
  /** A [rank, inputs]. */
  get a() { return this.#view('a'); }
  /** B [outputs, rank]. */
  get b() { return this.#view('b'); }
  /** Gradient of A; empty where it is not trained, or in place. */
  get da() { return this.#view('da'); }
  /** Gradient of B. */
  get db() { return this.#view('db'); }
  /** Gradient of the bias; empty where it is not trained. */
  get dbias() { return this.#view('dbias'); }
  /** Steps of the optimizer; in place nobody counts. */
  get steps() {
    this.#alive();
    return Number(this.#heap.data.getBigUint64(this.#struct.at + abi.LAYER_CLOCK + abi.CLOCK_STEPS, true));
  }

  /**
   * Probability of dropout. Set it to 0 for evaluation. `backward` then needs a `forward` with the new one, whether it differs or not.
   */
  get dropout() {
    this.#alive();
    return this.#heap.data.getFloat32(this.#struct.at + abi.LAYER_DROPOUT + abi.DROPOUT_PROBABILITY, true);
  }

  set dropout(probability) {
    this.#alive();
    if (!(number('dropout', probability) >= 0 && Math.fround(probability) < 1)) {
      throw new LowrankError('Range', 'dropout', { expected: '0 to below 1', got: probability });
    }
    if (probability > 0 && !this.#parts.has('lowrank_layer_set_dropout')) {
      throw new LowrankError('Unsupported', 'dropout', { text: 'only in the full modules of lowrank/wasm' });
    }
    this.#heap.data.setFloat32(this.#struct.at + abi.LAYER_DROPOUT + abi.DROPOUT_PROBABILITY, probability, true);
    this.#forget();
  }

  /**
   * y of the first tokens of x.
   * @param {number} [tokens] default: as many as x has, or all
   * @param {Float32Array} [x] [tokens, inputs], to be copied into the layer's
   * @returns {Float32Array} y [tokens, outputs], in the module's memory
   */
  forward(tokens, x) {
    this.#ready();
    const rows = x === undefined ? undefined : floats('x', x);
    const n = this.#count(tokens, rows, this.inputs, 'x');
    if (rows) this.#part('x').set(rows);
    this.#parts.call(NAMES, 'lowrank_layer_forward', this.#struct.at, n);
    return this.#view('y', n * this.outputs);
  }

  /**
   * Softmax cross-entropy of y, over the tokens of the last `forward`; their gradient goes into dy. Returns the mean so far.
   * @param {Labels} labels numbers of classes, one per token
   * @param {MeanLoss} [mean] of the whole batch where this is a part of it
   */
  softmaxCrossEntropy(labels, mean) {
    const n = this.#batch();
    return this.#parts.losses.softmaxCrossEntropy(this.#struct.at, n, labels, mean, NAMES);
  }

  /**
   * Mean squared error of y, over all elements of the tokens of the last `forward`; their gradient goes into dy. Returns the mean so
   * far.
   * @param {import('./vector.js').Vector | Float32Array} targets [tokens, outputs]
   * @param {MeanLoss} [mean] of the whole batch where this is a part of it
   */
  meanSquaredError(targets, mean) {
    const n = this.#batch();
    const goal = numbers('targets', targets, n * this.outputs);
    return this.#parts.losses.meanSquaredError(this.#struct.at, n, goal, mean, NAMES);
  }

  /**
   * Gradients of the last `forward`, from dy.
   * @param {number} [tokens] default: those of `forward`; others are refused
   * @param {object} [options]
   * @param {boolean | undefined} [options.accumulate] adds to the gradients of the backward passes since the last step, init or
   *   resume: micro-batches give the bits of the batch. The first of them replaces what is there
   * @param {Float32Array | undefined} [options.dy] [tokens, outputs], to be copied into the layer's
   */
  backward(tokens, options = {}) {
    onlyKnown('options', options, ['accumulate', 'dy']);
    const { accumulate = false, dy } = options;
    boolean('accumulate', accumulate);
    if (this.#optimizer === 'in-place') throw new LowrankError('Unexpected', 'optimizer', { text: 'in place, step is the backward pass, too' });
    if (this.#optimizer === 'inference') {
      throw new LowrankError('ForInference', 'optimizer', { text: "optimizer: 'inference' is for no training, a backward pass needs another one" });
    }
    const n = this.#backwards(tokens, dy);
    this.#parts.call(NAMES, 'lowrank_layer_backward', this.#struct.at, n, accumulate && this.#graded ? abi.ACCUMULATE : abi.REPLACE);
    this.#graded = true;
    this.#seen(n);
  }

  /**
   * A step of the optimizer. It uses up the gradient of the backward passes since the last step, and is refused without one, unless
   * `da`, `db` or `dbias` was read: then the caller may have written the gradient. In place it is the backward pass, too.
   * @param {StepOptions} [options]
   */
  step(options = {}) {
    this.#ready();
    const { call, settings } = this.#parts;
    const { name, names, write } = STEPS[this.#optimizer];
    onlyKnown('options', options, names);
    write(this.#heap.data, settings, options);
    const tokens = this.#optimizer === 'in-place' ? [this.#backwards(options.tokens, undefined)] : [];
    if (tokens.length === 0) this.#gradient();
    this.#set(abi.LAYER_GRADED, 1);
    const [step, first] = [abi.LAYER_DROPOUT + abi.DROPOUT_STEP, abi.LAYER_DROPOUT + abi.DROPOUT_FIRST_TOKEN];
    const next = this.#get(step) + 1;
    call(NAMES, name, this.#struct.at, ...tokens, settings);
    this.#graded = false;
    // Without dropout, too, the steps are counted.
    this.#set(step, next);
    this.#set(first, 0);
  }

  /**
   * The weights with the adapter in them, W + s·B·A. The layer stays as it is. Refused are infinite weights, A and B, and NaN.
   * @returns {Float32Array} [outputs, inputs], outside of the module's memory
   */
  merge() {
    this.#ready();
    for (const part of ['weights', 'a', 'b']) finite(part, this.#part(part));
    const length = this.outputs * this.inputs;
    const block = this.#heap.take(length * 4, 'merge');
    try {
      this.#parts.call(NAMES, 'lowrank_layer_merge', this.#struct.at, block.at, length);
      return new Float32Array(this.#heap.memory.buffer, block.at, length).slice();
    } finally {
      this.#heap.release(block);
    }
  }

  /**
   * A new adapter: A random, B zero, no step taken.
   * @param {number | bigint} [seed] default: the one before
   */
  init(seed) {
    this.#alive();
    this.#init(seed === undefined ? this.#seed : seedOf(seed));
    this.#resume();
    this.#forget();
    this.#ungraded();
  }

  /** @param {bigint} seed */
  #init(seed) {
    const { call, has, settings } = this.#parts;
    const bytes = (/** @type {number} */ at) => new Uint8Array(this.#heap.memory.buffer, at, abi.DROPOUT_BYTES);
    const [layer, at, width] = [this.#struct.at, this.#struct.at + abi.LAYER_DROPOUT, this.#get(abi.LAYER_PANEL_WIDTH)];
    const dropout = bytes(at).slice();
    call(NAMES, 'lowrank_layer_init', layer, seed, this.#layerNumber);
    // W is in rows now, and there is no dropout.
    if (width) call(NAMES, 'lowrank_layer_set_panels', layer, width);
    bytes(settings).set(dropout);
    if (has('lowrank_layer_set_dropout')) call(NAMES, 'lowrank_layer_set_dropout', layer, settings);
    else bytes(at).set(dropout);
    if (this.dropout > 0 && !has('lowrank_layer_set_dropout')) throw new LowrankError('Unsupported', 'dropout.probability', { text: 'only in the full modules of lowrank/wasm' });
    this.#seed = seed;
    this.#set(abi.LAYER_DROPOUT + abi.DROPOUT_STEP, 0);
    this.#set(abi.LAYER_DROPOUT + abi.DROPOUT_FIRST_TOKEN, 0);
  }

  /** No forward pass counts any more. */
  #forget() {
    this.#set(abi.LAYER_BATCH, 0);
    this.#set(abi.LAYER_PROGRESS, abi.PROGRESS_NONE);
  }

  /** No gradient counts any more. */
  #ungraded() {
    this.#graded = false;
    for (const name of GRADIENTS) this.#part(name).fill(0);
  }

  /** Throws unless there is a gradient. */
  #gradient() {
    if (!this.#graded && !this.#views.holds(...GRADIENTS)) throw new LowrankError('NoBackward', 'backward');
  }

  /**
   * Where the struct is, for `clip`. Throws unless there are gradients, in this memory.
   * @internal
   * @param {import('./heap.js').Heap} heap
   */
  gradients(heap) {
    this.#ready();
    if (heap !== this.#heap) throw new LowrankError('Foreign', 'layers', { text: 'a layer is of another module' });
    if (this.#optimizer === 'in-place' || this.#optimizer === 'inference') {
      throw new LowrankError('Unexpected', 'layers', { text: `a layer with optimizer ${this.#optimizer} has no gradients in memory` });
    }
    this.#gradient();
    return this.#struct.at;
  }

  /**
   * The entry of this layer for a file: the adapter as it is, with the state of its optimizer, outside of the module's memory. Infinite
   * numbers and NaN are in it, too; files and `resume` refuse them.
   * @param {string} [name]
   * @returns {Entry}
   */
  entry(name = 'adapter') {
    string('name', name);
    this.#ready();
    const { rank, inputs, outputs } = this;
    const copy = (/** @type {string} */ part) => this.#part(part).slice();
    const data = this.#heap.data;
    const [clock, dropout] = [this.#struct.at + abi.LAYER_CLOCK, this.#struct.at + abi.LAYER_DROPOUT];
    const random = {
      seed: data.getBigUint64(dropout + abi.DROPOUT_SEED, true), step: data.getUint32(dropout + abi.DROPOUT_STEP, true),
      layerNumber: data.getUint32(dropout + abi.DROPOUT_LAYER_NUMBER, true), dropout: this.dropout,
    };
    return {
      name, rank, inputs, outputs, scale: this.#scale, a: copy('a'), b: copy('b'),
      ...this.#biasName === 'trainedBias' && { bias: copy('trainedBias') },
      ...this.dropout > 0 && { random },
      ...this.#optimizer !== 'inference' && {
        training: {
          optimizer: OPTIMIZERS[this.#optimizer], trained: data.getUint32(this.#struct.at + abi.LAYER_TRAINED, true),
          steps: data.getBigUint64(clock + abi.CLOCK_STEPS, true),
          weights: [data.getFloat32(clock + abi.CLOCK_WEIGHT1, true), data.getFloat32(clock + abi.CLOCK_WEIGHT2, true)],
          moments: this.#moments().map((moment) => moment.slice()),
        },
      },
    };
  }

  /**
   * Throws unless `resume` would take this entry.
   * @param {Entry} entry
   */
  checkEntry(entry) {
    this.#checked(entry);
  }

  /** @param {Entry} entry */
  #checked(entry) {
    this.#alive();
    const parts = checked(object('entry', entry), this);
    if (parts.bBias) throw new LowrankError('Unexpected', 'bBias', { text: 'layers here have no bias of B' });
    if (isDead(parts)) throw new LowrankError('DeadAdapter', entry.name ?? 'adapter');
    const trains = this.#biasName === 'trainedBias';
    if (parts.bias && !trains) throw new LowrankError('Missing', 'trainBias', { text: 'the entry has a bias, the layer trains none' });
    if (!parts.bias && trains) throw new LowrankError('Unexpected', 'trainBias', { text: 'the layer trains a bias, the entry has none' });
    const resumes = this.#resumes(parts.training);
    if (resumes && parts.random?.dropout && !this.#parts.has('lowrank_layer_set_dropout')) {
      throw new LowrankError('Unsupported', 'dropout.probability', { text: 'training with dropout goes on in the full modules only' });
    }
    if (resumes && parts.random) integer('random.layerNumber', parts.random.layerNumber, 0, LAST_LAYER_NUMBER);
    return { ...parts, resumes };
  }

  /**
   * Goes on with everything that an entry of the same shape has: training goes on with the same bits. Where the entry has no state of an
   * optimizer, a training begins with its adapter. Refused are infinite numbers, NaN, an adapter whose A and B are zero, since it adds
   * nothing and can never learn, and the state of an optimizer with other moments. A layer for inference takes the adapter alone.
   * @param {Entry} entry
   */
  resume(entry) {
    const { a, b, bias, scale, random, training, resumes } = this.#checked(entry);
    this.#scale = scale;
    this.#heap.data.setFloat32(this.#struct.at + abi.LAYER_SCALE, this.scale, true);
    this.#part('a').set(a);
    this.#part('b').set(b);
    if (bias) this.#part('trainedBias').set(bias);
    this.#forget();
    this.#ungraded();
    this.#set(abi.LAYER_DROPOUT + abi.DROPOUT_STEP, 0);
    this.#set(abi.LAYER_DROPOUT + abi.DROPOUT_FIRST_TOKEN, 0);
    this.#resume(resumes ? training : undefined);
    if (resumes && random) this.#random(random);
  }

  /** @param {NonNullable<ReturnType<typeof checked>['random']>} random */
  #random({ seed, step, layerNumber, dropout }) {
    const [data, at] = [this.#heap.data, this.#struct.at + abi.LAYER_DROPOUT];
    data.setBigUint64(at + abi.DROPOUT_SEED, seed, true);
    data.setUint32(at + abi.DROPOUT_STEP, step, true);
    data.setUint32(at + abi.DROPOUT_LAYER_NUMBER, layerNumber, true);
    data.setFloat32(at + abi.DROPOUT_PROBABILITY, dropout, true);
  }

  /** Whether there is a state to go on with. Throws where the moments of this layer are others. @param {Entry['training']} training */
  #resumes(training) {
    if (!training || this.#optimizer === 'inference') return false;
    const { optimizer, moments } = training;
    if (MOMENTS[optimizer] !== MOMENTS[OPTIMIZERS[this.#optimizer]]) {
      const [got = `the code ${optimizer}`] = Object.entries(OPTIMIZERS).flatMap(([name, code]) => (code === optimizer ? [name] : []));
      const text = 'the entry has the state of another optimizer: without its `training`, a training begins with its adapter';
      throw new LowrankError('OtherOptimizer', 'training.optimizer', { text, expected: this.#optimizer, got });
    }
    this.#moments().forEach(({ length }, i) => {
      if (moments[i].length === length) return;
      throw new LowrankError('Length', 'training.moments', { text: 'other parameters were trained', expected: length, got: moments[i].length });
    });
    return true;
  }

  /** @param {Entry['training']} training */
  #resume({ steps, weights, moments } = { optimizer: 0, trained: 0, steps: 0n, weights: [0, 0], moments: [] }) {
    this.#moments().forEach((moment, i) => (moments[i] ? moment.set(moments[i]) : moment.fill(0)));
    const [data, clock] = [this.#heap.data, this.#struct.at + abi.LAYER_CLOCK];
    data.setBigUint64(clock + abi.CLOCK_STEPS, steps, true);
    data.setFloat32(clock + abi.CLOCK_WEIGHT1, weights[0], true);
    data.setFloat32(clock + abi.CLOCK_WEIGHT2, weights[1], true);
  }

  /** First and second moments of A, of B, of the bias; empty where there are none. */
  #moments() {
    return Array.from({ length: 6 }, (_, i) => {
      const at = this.#get(abi.LAYER_PARTS + 4 * (i + 6));
      return new Float32Array(this.#heap.memory.buffer, at, at ? this.#lengths[i >> 1] : 0);
    });
  }

  /**
   * An adapter file, as devices have them: `lowrank/files` is loaded for that.
   * @param {string} [name] of the layer
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   */
  async save(name = 'adapter') {
    const { emit } = await codec();
    return emit([this.entry(name)]);
  }

  /**
   * Goes on with the only entry of a file, as `resume` does; for several see `loadAll` of `lowrank/files`.
   * @param {Uint8Array} file
   */
  async load(file) {
    const { parse } = await codec();
    const { entries } = await parse(file);
    if (entries.length !== 1) throw new LowrankError('Length', 'file', { expected: '1 entry', got: `${entries.length}` });
    this.resume(entries[0]);
  }

  /** Gives the memory back. The layer and its views are not to be used any more. */
  free() {
    this.#heap.release(this.#block);
    this.#heap.release(this.#struct);
  }

  /**
   * Number of tokens of a call.
   * @param {number | undefined} tokens
   * @param {Float32Array | undefined} rows
   * @param {number} cols
   * @param {string} name
   */
  #count(tokens, rows, cols, name) {
    if (rows && tokens === undefined && rows.length % cols !== 0) {
      throw new LowrankError('Length', name, { expected: `a multiple of ${cols}`, got: rows.length });
    }
    const n = integer('tokens', tokens === undefined ? (rows && cols > 0 ? rows.length / cols : this.tokens) : tokens);
    if (n > this.tokens) throw new LowrankError('TooMany', 'tokens', { expected: `at most ${this.tokens}`, got: n });
    if (rows && rows.length !== n * cols) throw new LowrankError('Length', name, { expected: n * cols, got: rows.length });
    return n;
  }

  /** Tokens of the last forward pass. */
  #batch() {
    this.#ready();
    if (this.#get(abi.LAYER_PROGRESS) === abi.PROGRESS_NONE) throw new LowrankError('NoForward', 'forward');
    return this.#get(abi.LAYER_BATCH);
  }

  /**
   * Tokens of a backward pass, whose dy is put in its place.
   * @param {number | undefined} tokens
   * @param {Float32Array | undefined} dy
   */
  #backwards(tokens, dy) {
    const batch = this.#batch();
    const rows = dy === undefined ? undefined : floats('dy', dy);
    const n = this.#count(tokens === undefined ? batch : tokens, rows, this.outputs, 'dy');
    if (n !== batch) throw new LowrankError('Rows', 'dy', { expected: batch, got: n });
    if (rows) this.#part('dy').set(rows);
    return n;
  }

  /**
   * Micro-batches see the dropout of the batch: the tokens of each come after those before.
   * @param {number} tokens
   */
  #seen(tokens) {
    const first = abi.LAYER_DROPOUT + abi.DROPOUT_FIRST_TOKEN;
    this.#set(first, this.#get(first) + tokens);
  }
}

/** How many moments each parameter has, by the code of the optimizer. @type {Record<number, number>} */
const MOMENTS = { [abi.MOMENTUM]: 1, [abi.ADAMW]: 2, [abi.SGD]: 0, [abi.IN_PLACE]: 0 };

/** What a step uses up. */
const GRADIENTS = ['da', 'db', 'dbias'];

const POINTERS = /** @type {const} */ ([
  [abi.LAYER_WEIGHTS, 'weights'], [abi.LAYER_BIAS, 'bias'], [abi.LAYER_X, 'x'], [abi.LAYER_Y, 'y'],
  [abi.LAYER_DY, 'dy'], [abi.LAYER_DX, 'dx'], [abi.LAYER_ARENA, 'arena'],
]);
