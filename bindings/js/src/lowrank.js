import * as abi from './layout.js';
import { LowrankError, failure, integer, number, onlyKnown, shown } from './error.js';
import { Heap } from './heap.js';
import { Layer } from './layer.js';
import { arrayKind, isFloats } from './realm.js';
import { seedOf } from './seed.js';

/** Bytes for labels, orders and the like, which do not lie in the module's memory. It grows where they are more. */
const SCRATCH = 8192;

/** The structs of the calls, one after the other: an error, a layer for the losses, settings, a mean. */
const ERROR = 0;
const LOSS_LAYER = ERROR + abi.ERROR_BYTES + 8 & ~7;
const SETTINGS = LOSS_LAYER + abi.TRAINING_BYTES;
const LOSS = SETTINGS + abi.ADAMW_BYTES;
const STRUCTS = LOSS + abi.MEAN_LOSS_BYTES;

/** @typedef {Uint16Array | Uint32Array | Int32Array | Uint8Array | Float32Array} Shufflable */

/** Numbers in the module's memory. */
export class Vector {
  #heap;
  #block;
  #view;

  /**
   * @param {Heap} heap
   * @param {number} length
   */
  constructor(heap, length) {
    this.#heap = heap;
    this.#block = heap.take(length * 4, 'length');
    /** Number of elements. */
    this.length = length;
    this.#view = new Float32Array(heap.memory.buffer, this.#block.at, length);
    this.#view.fill(0);
  }

  /** The numbers. Ask again after something was created: memory that grows detaches what was there. */
  get view() {
    if (!this.#block.live) throw new LowrankError('Freed', 'vector');
    if (this.#view.buffer !== this.#heap.memory.buffer) {
      this.#view = new Float32Array(this.#heap.memory.buffer, this.#block.at, this.length);
    }
    return this.#view;
  }

  /** Gives the memory back. */
  free() {
    this.#heap.release(this.#block);
  }
}

/**
 * The mean of the losses of a batch, which may come in micro-batches: the gradients are those of the mean over all of its tokens.
 */
export class MeanLoss {
  /** @param {number} tokens of the whole batch */
  constructor(tokens) {
    this.tokens = integer('tokens', tokens);
    /** Tokens so far. */
    this.seen = 0;
    /** Of their losses. */
    this.sum = 0;
  }

  /** The sum so far over the tokens of the batch. */
  get value() {
    return this.tokens === 0 ? 0 : Math.fround(this.sum / this.tokens);
  }
}

/** A module with its memory. */
export class Lowrank {
  #heap;
  #exports;
  #structs;
  #scratch;
  #layers = 0;

  /**
   * @param {WebAssembly.Instance} instance
   * @param {number} wasmBytes
   */
  constructor(instance, wasmBytes) {
    const exports = /** @type {Record<string, any>} */ (instance.exports);
    this.#exports = exports;
    /** The module's memory. @type {WebAssembly.Memory} */
    this.memory = exports.memory;
    this.#heap = new Heap(this.memory, exports.__heap_base.value);
    this.#structs = this.#heap.take(STRUCTS, 'module').at;
    this.#scratch = this.#heap.take(SCRATCH, 'module');
    const text = (/** @type {number} */ at) => {
      const bytes = new Uint8Array(this.memory.buffer, at);
      return String.fromCharCode(...bytes.subarray(0, bytes.indexOf(0)));
    };
    /** Bytes of the module. */
    this.wasmBytes = wasmBytes;
    /** Instruction set. @type {'scalar' | 'simd128'} */
    this.flavour = /** @type {any} */ (text(exports.lowrank_backend_name(abi.BASELINE)));
    /** Arithmetics that the module has; the first one is the fast one. @type {('separate' | 'fused')[]} */
    this.arithmetics = exports.lowrank_backend_name(abi.BASELINE_FUSED) ? ['separate', 'fused'] : ['separate'];
    /** Version of lowrank. */
    this.version = text(exports.lowrank_version());
    /** Results have the same bits wherever this number is the same. @type {number} */
    this.contractVersion = exports.lowrank_contract_version();
    const data = this.#heap.data;
    data.setUint32(this.#structs + ERROR, abi.ERROR_BYTES, true);
    data.setUint32(this.#structs + LOSS_LAYER, abi.TRAINING_BYTES, true);
    data.setUint32(this.#structs + LOSS_LAYER + abi.TRAINING_OPTIMIZER, abi.IN_PLACE, true);
    data.setUint32(this.#structs + LOSS_LAYER + abi.TRAINING_DROPOUT, abi.DROPOUT_BYTES, true);
    data.setUint32(this.#structs + LOSS_LAYER + abi.TRAINING_CLOCK, abi.CLOCK_BYTES, true);
  }

  /**
   * A layer with an adapter that is to be trained.
   * @param {import('./layer.js').LayerOptions} options
   * @returns {Layer}
   */
  layer(options) {
    const parts = {
      heap: this.#heap,
      settings: this.#structs + SETTINGS,
      arithmetics: this.arithmetics,
      has: (/** @type {string} */ name) => name in this.#exports,
      call: this.#call.bind(this),
    };
    const layer = new Layer(parts, options, this.#layers);
    this.#layers++;
    return layer;
  }

  /**
   * Numbers in the module's memory, all 0.
   * @param {number} length
   */
  array(length) {
    return new Vector(this.#heap, integer('length', length, 0, 2 ** 30));
  }

  /**
   * The mean over a batch of `tokens` tokens that comes in micro-batches, for the losses.
   * @param {number} tokens
   */
  meanLoss(tokens) {
    return new MeanLoss(tokens);
  }

  /**
   * Softmax cross-entropy with one label per token; `dlogits` receives the gradient. Returns the mean so far.
   * @param {Vector | Float32Array} logits [tokens, classes], in the module's memory
   * @param {ArrayLike<number>} labels
   * @param {Vector | Float32Array} dlogits
   * @param {MeanLoss} [mean] of the whole batch where this is a part of it
   */
  softmaxCrossEntropy(logits, labels, dlogits, mean = new MeanLoss(labels?.length ?? 0)) {
    if (!Number.isInteger(labels?.length)) throw new LowrankError('Type', 'labels', { expected: 'an array', got: shown(labels) });
    const indices = Uint32Array.from(labels);
    for (let i = 0; i < indices.length; i++) {
      if (indices[i] !== labels[i]) throw new LowrankError('Label', 'labels', { expected: 'numbers of classes', got: shown(labels[i]) });
    }
    const call = (/** @type {number[]} */ [layer, at, loss]) =>
      this.#call({ y: 'logits', dy: 'dlogits', lossGrad: 'dlogits' }, 'lowrank_training_softmax_cross_entropy', layer, indices.length, at, indices.length, loss);
    return this.#loss(logits, 'logits', dlogits, 'dlogits', indices.length, indices, mean, call);
  }

  /**
   * Mean squared error over all elements; `dprediction` receives the gradient. Returns the mean so far.
   * @param {Vector | Float32Array} prediction [tokens, outputs], in the module's memory
   * @param {Vector | Float32Array} targets
   * @param {Vector | Float32Array} dprediction
   * @param {{ tokens?: number, mean?: MeanLoss }} [options] tokens: rows of the prediction, default 1
   */
  meanSquaredError(prediction, targets, dprediction, { tokens = 1, mean = new MeanLoss(tokens) } = {}) {
    integer('tokens', tokens);
    const goal = targets instanceof Vector ? targets.view : targets;
    if (!isFloats(goal)) {
      throw new LowrankError('Type', 'targets', { expected: 'a Float32Array', got: shown(goal) });
    }
    const call = (/** @type {number[]} */ [layer, at, loss]) =>
      this.#call({ y: 'prediction', dy: 'dprediction', matrix: 'targets', lossGrad: 'dprediction' }, 'lowrank_training_mean_squared_error', layer, tokens, at, goal.length, loss);
    return this.#loss(prediction, 'prediction', dprediction, 'dprediction', tokens, goal, mean, call);
  }

  /**
   * @param {Vector | Float32Array} from
   * @param {string} fromName
   * @param {Vector | Float32Array} to
   * @param {string} toName
   * @param {number} tokens
   * @param {Uint32Array | Float32Array} goal
   * @param {MeanLoss} mean
   * @param {(structs: [layer: number, goal: number, loss: number]) => void} call
   */
  #loss(from, fromName, to, toName, tokens, goal, mean, call) {
    const [y, dy] = [from instanceof Vector ? from.view : from, to instanceof Vector ? to.view : to];
    this.#heap.owner(fromName, y);
    this.#heap.owner(toName, dy);
    const outputs = tokens === 0 ? 0 : y.length / tokens;
    if (!Number.isInteger(outputs)) {
      throw new LowrankError('Length', fromName, { expected: `a multiple of ${tokens}`, got: y.length });
    }
    if (dy.length !== y.length) throw new LowrankError('Length', toName, { expected: y.length, got: dy.length });
    // What follows may make the memory grow; then y and dy are empty.
    const [yAt, dyAt, at] = [y.byteOffset, dy.byteOffset, this.#near(goal, 'labels')];
    const data = this.#heap.data;
    const [layer, loss] = [this.#structs + LOSS_LAYER, this.#structs + LOSS];
    data.setUint32(layer + abi.TRAINING_OUTPUTS, outputs, true);
    data.setUint32(layer + abi.TRAINING_TOKENS, tokens, true);
    data.setUint32(layer + abi.TRAINING_Y, yAt, true);
    data.setUint32(layer + abi.TRAINING_DY, dyAt, true);
    data.setUint32(loss, abi.MEAN_LOSS_BYTES, true);
    data.setUint32(loss + abi.MEAN_LOSS_TOKENS, mean.tokens, true);
    data.setUint32(loss + abi.MEAN_LOSS_SEEN, mean.seen, true);
    data.setFloat32(loss + abi.MEAN_LOSS_SUM, mean.sum, true);
    call([layer, at, loss]);
    mean.seen = data.getUint32(loss + abi.MEAN_LOSS_SEEN, true);
    mean.sum = data.getFloat32(loss + abi.MEAN_LOSS_SUM, true);
    return mean.value;
  }

  /**
   * Clips the norm of the gradients of these layers together, between `backward` and `step`: all are multiplied by
   * min(1, maxNorm/(norm + 1e-6)). Returns the norm before.
   * @param {Layer[]} layers
   * @param {number} maxNorm
   */
  clip(layers, maxNorm) {
    number('maxNorm', maxNorm);
    const at = this.#structs + SETTINGS;
    let sum = 0;
    for (const layer of layers) {
      this.#call({}, 'lowrank_training_square_sum', layer.address, at);
      sum = Math.fround(sum + this.#heap.data.getFloat32(at, true));
    }
    for (const layer of layers) this.#call({}, 'lowrank_training_clip', layer.address, sum, maxNorm);
    return Math.fround(Math.sqrt(sum));
  }

  /**
   * Puts the elements into a random order that depends on nothing but these numbers and the length.
   * @template {Shufflable} T
   * @param {T} items
   * @param {{ seed?: number | bigint, stream?: number, step?: number }} [position]
   * @returns {T}
   */
  shuffle(items, position = {}) {
    onlyKnown('position', position, ['seed', 'stream', 'step']);
    const { seed = 0, stream = 0, step = 0 } = position;
    if (!arrayKind(items)) {
      throw new LowrankError('Type', 'items', { expected: 'a typed array', got: shown(items) });
    }
    const { buffer, byteOffset, length } = items;
    const inside = buffer === this.memory.buffer;
    const order = this.#room(4 * length, 'items');
    this.#call({}, 'lowrank_rng_order', seedOf(seed), integer('stream', stream), integer('step', step), order, length);
    // The memory may have grown.
    const to = inside ? new (/** @type {any} */ (items.constructor))(this.memory.buffer, byteOffset, length) : items;
    const before = to.slice();
    new Uint32Array(this.memory.buffer, order, length).forEach((from, i) => {
      to[i] = before[from];
    });
    return to;
  }

  /** Throws where this engine does not keep to IEEE 754, so that results would not be those of other machines. */
  selftest() {
    this.#call({}, 'lowrank_selftest', abi.BASELINE);
  }

  /**
   * Where in the module's memory these elements are; they are copied where they lie elsewhere.
   * @param {Shufflable} elements
   * @param {string} argument
   */
  #near(elements, argument) {
    if (elements.buffer === this.memory.buffer) return elements.byteOffset;
    const at = this.#room(elements.byteLength, argument);
    const bytes = new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
    new Uint8Array(this.memory.buffer, at).set(bytes);
    return at;
  }

  /**
   * Memory until the next call.
   * @param {number} bytes
   * @param {string} argument
   */
  #room(bytes, argument) {
    if (bytes > this.#scratch.bytes) {
      const larger = this.#heap.take(bytes, argument);
      this.#heap.release(this.#scratch);
      this.#scratch = larger;
    }
    return this.#scratch.at;
  }

  /**
   * Calls an export, and throws what it says.
   * @param {Record<string, string>} names of arguments, where they are others than in the ABI
   * @param {string} name
   * @param {...(number | bigint)} args
   */
  #call(names, name, ...args) {
    const at = this.#structs + ERROR;
    if (!this.#exports[name]) throw new LowrankError('Unsupported', name.slice(8), { text: 'not in this module, but in the full ones of lowrank/wasm' });
    if (this.#exports[name](...args, at) === 0) return;
    throw failure(this.#heap.data, at, names);
  }
}
