import * as abi from './layout.js';
import { codec } from './codec.js';
import { LowrankError, integer, number, onlyKnown, shown } from './error.js';
import { OPTIMIZERS, OPTIONS, describe, factorOf, floatsOf, lasting, sizesOf } from './options.js';
import { isFloats } from './realm.js';
import { seedOf } from './seed.js';
import { STEPS } from './steps.js';

/** @typedef {import('./options.js').LayerOptions} LayerOptions */
/** @typedef {import('./options.js').Parts} Parts */
/** @typedef {import('./steps.js').StepOptions} StepOptions */

/**
 * How the factor of an adapter follows: alpha/rank, alpha/√rank, or alpha itself.
 * @typedef {{ mode: 'alpha' | 'rslora' | 'direct', alpha: number }} Scale
 */

/**
 * An adapter outside of the module's memory.
 * @typedef {object} Adapter
 * @property {string} name
 * @property {number} [id] tells layers of one name apart
 * @property {number} rank
 * @property {number} inputs
 * @property {number} outputs
 * @property {Scale} scale
 * @property {Float32Array} a [rank, inputs]
 * @property {Float32Array} b [outputs, rank]
 * @property {Float32Array} [bias] [outputs], in place of the base's
 * @property {Float32Array} [bBias] [outputs], of B
 * @property {boolean} [fanInFanOut] whether the base is stored as [inputs, outputs] where it comes from
 * @property {{ seed: bigint, step: number, stream: number, dropout: number }} [random]
 * @property {{ optimizer: number, trained: number, steps: bigint, weights: number[], moments: Float32Array[] }} [training] codes and
 *   state of the optimizer
 */


/** Names of the arguments of the ABI that are others here. */
const NAMES = { dropout: 'dropout.rate', momentum: 'beta1, beta2 or momentum', saved: 'forward' };

/** A layer `y = x·Wᵀ + bias + s·(x·Aᵀ)·Bᵀ`, its gradients and its optimizer. */
export class Layer {
  #parts;
  #heap;
  #block;
  #struct;
  #optimizer;
  /** Memory of others, by argument. @type {[string, import('./heap.js').Block][]} */
  #borrowed = [];
  /** @type {Record<string, [at: number, length: number]>} */
  #places;
  /** @type {Record<string, Float32Array>} */
  #views = {};
  /** @type {ArrayBufferLike | undefined} */
  #buffer;

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
    const shared = ['x', 'dx'].flatMap((name) => {
      const given = /** @type {any} */ (options)[name];
      if (given === undefined) return [];
      const view = isFloats(given) ? given : given?.view;
      const block = heap.owner(name, view);
      if (view.length !== tokens * inputs) throw new LowrankError('Length', name, { expected: tokens * inputs, got: view.length });
      return [/** @type {const} */ ([name, view.byteOffset, block])];
    });
    const [weights, bias] = [options.weights, options.bias].map((array) => lasting(heap, array));
    // The numbers of the struct until there is memory for it, in a struct of the module that is planned first.
    const head = heap.take(abi.TRAINING_BYTES, 'layer');
    try {
      describe(heap.data, head.at, of);
      call(NAMES, 'lowrank_training_plan', head.at);
      const arena = heap.data.getUint32(head.at + abi.TRAINING_ARENA_LEN, true);
      const borrows = (/** @type {string} */ name) => shared.some(([other]) => other === name);
      const own = {
        weights: outputs * inputs, bias: options.bias ? outputs : 0, arena, y: tokens * outputs, dy: tokens * outputs,
        x: borrows('x') ? 0 : tokens * inputs, dx: borrows('dx') || !of.inputGrads ? 0 : tokens * inputs,
      };
      const total = Object.values(own).reduce((sum, length) => sum + length * 4 + 16, 0);
      if (total > 2 ** 32 - 2 ** 20) throw new LowrankError('Overflow', 'options', { got: `${total} bytes` });
      this.#block = heap.take(total, 'layer');
      let at = this.#block.at;
      this.#places = {};
      for (const [name, length] of Object.entries(own)) {
        if (length > 0) this.#places[name] = [at, length];
        at += Math.ceil(length / 4) * 16;
      }
    } catch (error) {
      heap.release(head);
      throw error;
    }
    this.#parts = parts;
    this.#heap = heap;
    this.#struct = head;
    this.#optimizer = of.optimizer;
    for (const [name, start, block] of shared) {
      this.#places[name] = [start, tokens * inputs];
      this.#borrowed.push([name, block]);
    }
    /** Columns of the weights. */
    this.inputs = inputs;
    /** Rows of the weights. */
    this.outputs = outputs;
    /** Rows of A. */
    this.rank = rank;
    /** The most tokens at a time. */
    this.tokens = tokens;
    this.#scale = of.rule;
    this.#seed = seedOf(options.seed ?? 0);
    this.#stream = of.stream;
    try {
      new Float32Array(heap.memory.buffer, this.#block.at, this.#block.bytes / 4).fill(0);
      for (const [field, name] of POINTERS) this.#set(field, this.#places[name]?.[0] ?? 0);
      this.#set(abi.TRAINING_ARENA_LEN, this.#places.arena?.[1] ?? 0);
      if (options.packed) this.#pack(weights);
      else this.weights.set(weights());
      this.bias.set(bias());
      this.reset();
    } catch (error) {
      this.free();
      throw error;
    }
    ['a', 'b', 'trainedBias', 'da', 'db', 'dbias'].forEach((name, i) => {
      const at = this.#get(abi.TRAINING_PARTS + 4 * i);
      if (at) this.#places[name] = [at, this.#lengths[i % 3]];
    });
  }

  #seed;
  #stream;
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

  /** Puts the weights into panels, as wide as this module likes them. @param {() => Float32Array} weights */
  #pack(weights) {
    const { inputs, outputs } = this;
    const [at, length] = this.#places.weights ?? [0, 0];
    const room = this.#heap.take(abi.MATRIX_BYTES + abi.BASE_BYTES + 4 * length, 'packed');
    const [matrix, base, rows] = [room.at, room.at + abi.MATRIX_BYTES, room.at + abi.MATRIX_BYTES + abi.BASE_BYTES];
    try {
      const data = this.#heap.data;
      new Float32Array(data.buffer, rows, length).set(weights());
      [abi.MATRIX_BYTES, rows, outputs, inputs, inputs].forEach((value, i) => data.setUint32(matrix + 4 * i, value, true));
      for (let i = 0; i < abi.BASE_BYTES; i += 4) data.setUint32(base + i, i ? 0 : abi.BASE_BYTES, true);
      this.#parts.call(NAMES, 'lowrank_pack', this.#get(abi.TRAINING_BACKEND), matrix, at, length, base);
      this.#set(abi.TRAINING_PANEL, data.getUint32(base + abi.BASE_PANEL, true));
    } finally {
      this.#heap.release(room);
    }
  }

  /** Of A, of B, of the bias. */
  get #lengths() {
    return [this.rank * this.inputs, this.outputs * this.rank, this.outputs];
  }

  /** @param {string} name */
  #view(name) {
    this.#alive();
    if (this.#buffer !== this.#heap.memory.buffer) {
      this.#buffer = this.#heap.memory.buffer;
      this.#views = {};
    }
    const [at, length] = this.#places[name] ?? [0, 0];
    return (this.#views[name] ??= new Float32Array(this.#buffer, at, length));
  }

  #alive() {
    if (!this.#block.live) throw new LowrankError('Freed', 'layer');
    for (const [name, block] of this.#borrowed) if (!block.live) throw new LowrankError('Freed', name);
  }

  /** Where the layer's struct is in the module's memory, for glue of one's own: `lowrank_training` of the C ABI. */
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
  get bias() { return this.#view(this.#places.trainedBias ? 'trainedBias' : 'bias'); }
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
    return Number(this.#heap.data.getBigUint64(this.#struct.at + abi.TRAINING_CLOCK + abi.CLOCK_STEPS, true));
  }

  /** Rate of the dropout. Set it to 0 for evaluation; not between `forward` and `backward`. */
  get dropout() {
    this.#alive();
    return this.#heap.data.getFloat32(this.#struct.at + abi.TRAINING_DROPOUT + abi.DROPOUT_P, true);
  }

  set dropout(rate) {
    this.#alive();
    if (!(number('dropout', rate) >= 0 && rate < 1)) throw new LowrankError('Range', 'dropout', { expected: '0 to below 1', got: rate });
    this.#heap.data.setFloat32(this.#struct.at + abi.TRAINING_DROPOUT + abi.DROPOUT_P, rate, true);
  }

  /**
   * y of the first tokens of x.
   * @param {number} [tokens] default: as many as x has, or all
   * @param {Float32Array} [x] [tokens, inputs], to be copied into the layer's
   * @returns {Float32Array} y [tokens, outputs], in the module's memory
   */
  forward(tokens, x) {
    const n = this.#count(tokens, x, this.inputs, 'x');
    if (x) this.#copy('x', x);
    this.#parts.call(NAMES, 'lowrank_training_forward', this.#struct.at, n);
    return this.#rows('y', n * this.outputs);
  }

  /**
   * Gradients of the last `forward`, from dy.
   * @param {number} [tokens] default: those of `forward`
   * @param {object} [options]
   * @param {boolean} [options.accumulate] adds to the gradients that are there: micro-batches give the bits of the batch
   * @param {Float32Array} [options.dy] [tokens, outputs], to be copied into the layer's
   */
  backward(tokens, options = {}) {
    onlyKnown('options', options, ['accumulate', 'dy']);
    const { accumulate = false, dy } = options;
    const n = this.#batch(tokens, dy);
    if (this.#optimizer === 'in-place') throw new LowrankError('Unexpected', 'optimizer', { text: 'in place, step is the backward pass, too' });
    if (dy) this.#copy('dy', dy);
    this.#parts.call(NAMES, 'lowrank_training_backward', this.#struct.at, n, accumulate ? abi.ADD : abi.REPLACE);
    this.#seen(n);
  }

  /**
   * A step of the optimizer. In place it is the backward pass, too.
   * @param {StepOptions} [options]
   */
  step(options = {}) {
    this.#alive();
    const { call, settings } = this.#parts;
    const { name, names, write } = STEPS[this.#optimizer];
    onlyKnown('options', options, names);
    const tokens = this.#optimizer === 'in-place' ? [this.#batch(options.tokens, undefined)] : [];
    write(this.#heap.data, settings, options);
    call(NAMES, name, this.#struct.at, ...tokens, settings);
    const [step, first] = [abi.TRAINING_DROPOUT + abi.DROPOUT_STEP, abi.TRAINING_DROPOUT + abi.DROPOUT_FIRST_TOKEN];
    this.#set(step, this.#get(step) + 1);
    this.#set(first, 0);
  }

  /**
   * The weights with the adapter in them, W + s·B·A. The layer stays as it is.
   * @returns {Float32Array} [outputs, inputs], outside of the module's memory
   */
  merge() {
    this.#alive();
    const length = this.outputs * this.inputs;
    const block = this.#heap.take(length * 4, 'merge');
    try {
      this.#parts.call(NAMES, 'lowrank_training_merge', this.#struct.at, block.at, length);
      return new Float32Array(this.#heap.memory.buffer, block.at, length).slice();
    } finally {
      this.#heap.release(block);
    }
  }

  /**
   * A new adapter: A random, B zero, no step taken.
   * @param {number | bigint} [seed] default: the one before
   */
  reset(seed) {
    this.#alive();
    if (seed !== undefined) this.#seed = seedOf(seed);
    this.#parts.call(NAMES, 'lowrank_training_open', this.#struct.at, this.#seed, this.#stream);
    this.#set(abi.TRAINING_DROPOUT + abi.DROPOUT_STEP, 0);
    this.#set(abi.TRAINING_DROPOUT + abi.DROPOUT_FIRST_TOKEN, 0);
  }

  /**
   * The adapter as it is, with the state of its optimizer, outside of the module's memory: for files.
   * @param {string} [name]
   * @returns {Adapter}
   */
  toAdapter(name = 'adapter') {
    const { rank, inputs, outputs } = this;
    const copy = (/** @type {string} */ part) => this.#view(part).slice();
    const data = this.#heap.data;
    const [clock, dropout] = [this.#struct.at + abi.TRAINING_CLOCK, this.#struct.at + abi.TRAINING_DROPOUT];
    const random = {
      seed: data.getBigUint64(dropout + abi.DROPOUT_SEED, true), step: data.getUint32(dropout + abi.DROPOUT_STEP, true),
      stream: data.getUint32(dropout + abi.DROPOUT_LAYER, true), dropout: this.dropout,
    };
    return {
      name, rank, inputs, outputs, scale: this.#scale, a: copy('a'), b: copy('b'),
      ...this.#places.trainedBias && { bias: copy('trainedBias') },
      ...this.dropout > 0 && { random },
      ...this.#optimizer !== 'none' && {
        training: {
          optimizer: OPTIMIZERS[this.#optimizer], trained: data.getUint32(this.#struct.at + abi.TRAINING_TRAINED, true),
          steps: data.getBigUint64(clock + abi.CLOCK_STEPS, true),
          weights: [data.getFloat32(clock + abi.CLOCK_WEIGHT1, true), data.getFloat32(clock + abi.CLOCK_WEIGHT2, true)],
          moments: this.#moments().map((moment) => moment.slice()),
        },
      },
    };
  }

  /**
   * Throws unless `fromAdapter` would take this adapter.
   * @param {Adapter} adapter
   */
  checkAdapter(adapter) {
    this.#alive();
    for (const name of /** @type {const} */ (['inputs', 'outputs', 'rank'])) {
      if (adapter[name] !== this[name]) throw new LowrankError('Length', name, { expected: this[name], got: adapter[name] });
    }
    const lengths = { a: this.rank * this.inputs, b: this.outputs * this.rank, ...adapter.bias && { bias: this.outputs } };
    for (const [name, length] of Object.entries(lengths)) floatsOf(name, adapter[/** @type {'a'} */ (name)], length);
    const bias = this.#places.trainedBias;
    if (adapter.bias && !bias) throw new LowrankError('Missing', 'trainBias', { text: 'the adapter has a bias, the layer trains none' });
    if (!adapter.bias && bias) throw new LowrankError('Unexpected', 'trainBias', { text: 'the layer trains a bias, the adapter has none' });
    if (adapter.bBias) throw new LowrankError('Unexpected', 'bBias', { text: 'layers here have no bias of B' });
    const factor = factorOf(adapter.scale, this.rank);
    if (!Number.isFinite(factor)) throw new LowrankError('Range', 'scale', { expected: 'a finite number', got: factor });
    if (this.#resumes(adapter.training) && adapter.random?.dropout && !this.#parts.has('lowrank_set_dropout')) {
      throw new LowrankError('Unsupported', 'dropout.rate', { text: 'training with dropout goes on in the full modules only' });
    }
  }

  /**
   * Takes over an adapter of the same shape. Where it has the state of the same optimizer, training goes on with the same bits;
   * otherwise the next step is the first one.
   * @param {Adapter} adapter
   */
  fromAdapter(adapter) {
    this.checkAdapter(adapter);
    const data = this.#heap.data;
    this.#scale = adapter.scale;
    data.setFloat32(this.#struct.at + abi.TRAINING_SCALE, this.scale, true);
    this.a.set(adapter.a);
    this.b.set(adapter.b);
    if (adapter.bias) this.bias.set(adapter.bias);
    this.#set(abi.TRAINING_BATCH, 0);
    this.#set(abi.TRAINING_PROGRESS, abi.PROGRESS_NONE);
    this.#set(abi.TRAINING_DROPOUT + abi.DROPOUT_STEP, 0);
    this.#set(abi.TRAINING_DROPOUT + abi.DROPOUT_FIRST_TOKEN, 0);
    this.#resume(adapter.training);
    if (this.#resumes(adapter.training) && adapter.random) this.#random(adapter.random);
  }

  /** @param {NonNullable<Adapter['random']>} random */
  #random({ seed, step, stream, dropout }) {
    const [data, at] = [this.#heap.data, this.#struct.at + abi.TRAINING_DROPOUT];
    data.setBigUint64(at + abi.DROPOUT_SEED, seed, true);
    data.setUint32(at + abi.DROPOUT_STEP, step, true);
    data.setUint32(at + abi.DROPOUT_LAYER, stream, true);
    data.setFloat32(at + abi.DROPOUT_P, dropout, true);
  }

  /** Whether the state is that of this optimizer. @param {Adapter['training']} training */
  #resumes(training) {
    return training?.optimizer === OPTIMIZERS[this.#optimizer] && training.trained === this.#get(abi.TRAINING_TRAINED)
      && this.#moments().every((moment, i) => moment.length === training.moments[i].length);
  }

  /** @param {Adapter['training']} training */
  #resume(training) {
    const { steps, weights, moments } = training && this.#resumes(training) ? training : { steps: 0n, weights: [0, 0], moments: [] };
    const own = this.#moments();
    own.forEach((moment, i) => moment.set(moments[i] ?? []));
    const [data, clock] = [this.#heap.data, this.#struct.at + abi.TRAINING_CLOCK];
    data.setBigUint64(clock + abi.CLOCK_STEPS, steps, true);
    data.setFloat32(clock + abi.CLOCK_WEIGHT1, weights[0], true);
    data.setFloat32(clock + abi.CLOCK_WEIGHT2, weights[1], true);
  }

  /** First and second moments of A, of B, of the bias; empty where there are none. */
  #moments() {
    return Array.from({ length: 6 }, (_, i) => {
      const at = this.#get(abi.TRAINING_PARTS + 4 * (i + 6));
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
    return emit([this.toAdapter(name)]);
  }

  /**
   * Takes over the only adapter of a file; for several see `loadAll` of `lowrank/files`.
   * @param {Uint8Array} file
   */
  async load(file) {
    const { parse } = await codec();
    const { layers } = await parse(file);
    if (layers.length !== 1) throw new LowrankError('Length', 'file', { expected: '1 layer', got: `${layers.length}` });
    this.fromAdapter(layers[0]);
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
    this.#alive();
    if (rows !== undefined && !isFloats(rows)) {
      throw new LowrankError('Type', name, { expected: 'a Float32Array', got: shown(rows) });
    }
    if (rows && tokens === undefined && rows.length % cols !== 0) {
      throw new LowrankError('Length', name, { expected: `a multiple of ${cols}`, got: rows.length });
    }
    const n = integer('tokens', tokens ?? (rows && cols > 0 ? rows.length / cols : this.tokens));
    if (n > this.tokens) throw new LowrankError('TooMany', 'tokens', { expected: `at most ${this.tokens}`, got: n });
    if (rows && rows.length !== n * cols) throw new LowrankError('Length', name, { expected: n * cols, got: rows.length });
    return n;
  }

  /**
   * Tokens of the last forward pass, unless others are given.
   * @param {number | undefined} tokens
   * @param {Float32Array | undefined} dy
   */
  #batch(tokens, dy) {
    this.#alive();
    return this.#count(tokens ?? this.#get(abi.TRAINING_BATCH), dy, this.outputs, 'dy');
  }

  /**
   * @param {'x' | 'dy'} name
   * @param {Float32Array} from
   */
  #copy(name, from) {
    const to = this.#view(name);
    if (from.buffer !== to.buffer || from.byteOffset !== to.byteOffset) to.set(from);
  }

  /**
   * The first elements of a view, all of them if need be.
   * @param {string} name
   * @param {number} length
   */
  #rows(name, length) {
    const all = this.#view(name);
    if (length === all.length) return all;
    const cached = this.#views['first'];
    if (cached?.length === length) return cached;
    return (this.#views['first'] = all.subarray(0, length));
  }

  /**
   * Micro-batches see the dropout of the batch: the tokens of each come after those before.
   * @param {number} tokens
   */
  #seen(tokens) {
    const first = abi.TRAINING_DROPOUT + abi.DROPOUT_FIRST_TOKEN;
    this.#set(first, this.#get(first) + tokens);
  }
}

const POINTERS = /** @type {const} */ ([
  [abi.TRAINING_WEIGHTS, 'weights'], [abi.TRAINING_BIAS, 'bias'], [abi.TRAINING_X, 'x'], [abi.TRAINING_Y, 'y'],
  [abi.TRAINING_DY, 'dy'], [abi.TRAINING_DX, 'dx'], [abi.TRAINING_ARENA, 'arena'],
]);
