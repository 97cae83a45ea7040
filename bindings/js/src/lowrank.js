import * as abi from './layout.js';
import { plain } from './arrays.js';
import { LowrankError, failure, integer, number, onlyKnown, shown } from './error.js';
import { Heap } from './heap.js';
import { Layer } from './layer.js';
import { Losses, MeanLoss, numbers, rowsOf } from './loss.js';
import { Scratch } from './scratch.js';
import { seedOf } from './seed.js';
import { Vector } from './vector.js';
import { arrayKind } from './realm.js';

/** The structs of the calls, one after the other: an error, a layer for the losses, settings, a mean. */
const ERROR = 0;
const LOSS_LAYER = ERROR + abi.ERROR_BYTES + 8 & ~7;
const SETTINGS = LOSS_LAYER + abi.LAYER_BYTES;
const LOSS = SETTINGS + abi.ADAMW_BYTES;
const STRUCTS = LOSS + abi.MEAN_LOSS_BYTES;

/** Elements as words, which move without a look at what they mean. @type {Record<number, any>} */
const WORDS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array };

/** @typedef {import('./loss.js').Labels} Labels */
/**
 * @typedef {Uint8Array | Uint8ClampedArray | Uint16Array | Uint32Array | BigUint64Array | Int8Array | Int16Array | Int32Array
 *   | BigInt64Array | Float32Array | Float64Array} Shufflable
 */

/** A module with its memory. */
export class Lowrank {
  /** The module's memory. Whoever grows it empties views that were handed out. @readonly @type {WebAssembly.Memory} */
  memory;
  /** Bytes of the module. @readonly @type {number} */
  wasmBytes;
  /** Instruction set. @readonly @type {'scalar' | 'simd128'} */
  flavour;
  /** Arithmetics that the module has; the first one is the fast one. @readonly @type {('separate' | 'fused')[]} */
  arithmetics;
  /** Version of lowrank. @readonly @type {string} */
  version;
  /** Results have the same bits wherever this number is the same. @readonly @type {number} */
  contractVersion;
  #heap;
  #exports;
  #structs;
  #scratch;
  #losses;
  #layers = 0;

  /**
   * @param {WebAssembly.Instance} instance
   * @param {number} wasmBytes
   * @param {number} [reserve] bytes for layers and arrays
   */
  constructor(instance, wasmBytes, reserve) {
    const exports = /** @type {Record<string, any>} */ (instance.exports);
    this.#exports = exports;
    this.memory = exports.memory;
    this.#heap = new Heap(this.memory, exports.__heap_base.value);
    this.#heap.keepViews(reserve);
    this.#structs = this.#heap.take(STRUCTS, 'module').at;
    this.#scratch = new Scratch(this.#heap);
    this.#losses = new Losses({ heap: this.#heap, call: this.#call.bind(this), scratch: this.#scratch }, this.#structs + LOSS);
    const text = (/** @type {number} */ at) => {
      const bytes = new Uint8Array(this.memory.buffer, at);
      return String.fromCharCode(...bytes.subarray(0, bytes.indexOf(0)));
    };
    this.wasmBytes = wasmBytes;
    this.flavour = /** @type {any} */ (text(exports.lowrank_backend_name(abi.BASELINE)));
    this.arithmetics = exports.lowrank_backend_name(abi.BASELINE_FUSED) ? ['separate', 'fused'] : ['separate'];
    Object.freeze(this.arithmetics);
    this.version = text(exports.lowrank_version());
    this.contractVersion = exports.lowrank_contract_version();
    const data = this.#heap.data;
    data.setUint32(this.#structs + ERROR, abi.ERROR_BYTES, true);
    data.setUint32(this.#structs + LOSS_LAYER, abi.LAYER_BYTES, true);
    data.setUint32(this.#structs + LOSS_LAYER + abi.LAYER_OPTIMIZER, abi.IN_PLACE, true);
    data.setUint32(this.#structs + LOSS_LAYER + abi.LAYER_DROPOUT, abi.DROPOUT_BYTES, true);
    data.setUint32(this.#structs + LOSS_LAYER + abi.LAYER_CLOCK, abi.CLOCK_BYTES, true);
    Object.freeze(this);
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
      losses: this.#losses,
      arithmetics: this.arithmetics,
      has: (/** @type {string} */ name) => name in this.#exports,
      call: this.#call.bind(this),
    };
    const layer = new Layer(parts, options, this.#layers);
    this.#layers++;
    return layer;
  }

  /**
   * Numbers in the module's memory, all 0: write and read its `view`.
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
   * Softmax cross-entropy with one label per token; `dlogits` receives the gradient. Returns the mean so far. For the y and dy of a
   * layer see its `softmaxCrossEntropy`, which takes the tokens of the last forward pass; here they are all rows of `logits`.
   * @param {Vector | Float32Array} logits [tokens, classes], in the module's memory
   * @param {Labels} labels [tokens]
   * @param {Vector | Float32Array} dlogits [tokens, classes], in the module's memory
   * @param {{ classes?: number | undefined, mean?: MeanLoss | undefined }} [options] classes: needed where `logits` is not of a layer;
   *   mean: of the whole batch where this is a part of it
   */
  softmaxCrossEntropy(logits, labels, dlogits, options = {}) {
    onlyKnown('options', options, ['classes', 'mean']);
    const { classes, mean } = options;
    if (classes !== undefined) integer('classes', classes);
    const rows = rowsOf(this.#heap, ['logits', logits], ['dlogits', dlogits], () => ['classes', classes]);
    const names = { y: 'logits', dy: 'dlogits', lossGrad: 'dlogits' };
    return this.#losses.softmaxCrossEntropy(this.#rows(rows), rows.tokens, labels, mean, names);
  }

  /**
   * Mean squared error over all elements; `dprediction` receives the gradient. Returns the mean so far. For the y and dy of a layer
   * see its `meanSquaredError`.
   * @param {Vector | Float32Array} prediction [tokens, outputs], in the module's memory
   * @param {Vector | Float32Array} targets [tokens, outputs]
   * @param {Vector | Float32Array} dprediction [tokens, outputs], in the module's memory
   * @param {{ tokens?: number | undefined, mean?: MeanLoss | undefined }} [options] tokens: rows of the prediction, needed where it is
   *   not of a layer; mean: of the whole batch where this is a part of it
   */
  meanSquaredError(prediction, targets, dprediction, options = {}) {
    onlyKnown('options', options, ['tokens', 'mean']);
    const { tokens, mean } = options;
    if (tokens !== undefined) integer('tokens', tokens);
    const cols = (/** @type {number} */ length) => tokens && length / tokens;
    const rows = rowsOf(this.#heap, ['prediction', prediction], ['dprediction', dprediction], (length) => ['tokens', cols(length)]);
    const names = { y: 'prediction', dy: 'dprediction', lossGrad: 'dprediction' };
    const goal = numbers('targets', targets, rows.y.length);
    return this.#losses.meanSquaredError(this.#rows(rows), rows.tokens, goal, mean, names);
  }

  /** A struct with these rows. @param {ReturnType<typeof rowsOf>} rows */
  #rows({ y, dy, cols, tokens }) {
    const [data, at] = [this.#heap.data, this.#structs + LOSS_LAYER];
    data.setUint32(at + abi.LAYER_OUTPUTS, cols, true);
    data.setUint32(at + abi.LAYER_TOKENS, tokens, true);
    data.setUint32(at + abi.LAYER_Y, y.byteOffset, true);
    data.setUint32(at + abi.LAYER_DY, dy.byteOffset, true);
    return at;
  }

  /**
   * Clips the norm of the gradients of these layers together, between `backward` and `step`: all are multiplied by
   * min(1, maxNorm/(norm + 1e-6)). Returns the norm before.
   * @param {Layer[]} layers of this module, each once
   * @param {number} maxNorm
   */
  clip(layers, maxNorm) {
    if (!(number('maxNorm', maxNorm) >= 0)) throw new LowrankError('Range', 'maxNorm', { expected: 'at least 0', got: maxNorm });
    if (!Array.isArray(layers)) throw new LowrankError('Type', 'layers', { expected: 'an array of layers', got: shown(layers) });
    const structs = layers.map((layer) => {
      if (!(layer instanceof Layer)) throw new LowrankError('Type', 'layers', { expected: 'layers', got: shown(layer) });
      return layer.gradients(this.#heap);
    });
    if (new Set(structs).size < structs.length) throw new LowrankError('Unexpected', 'layers', { text: 'a layer is there twice' });
    const at = this.#structs + SETTINGS;
    let sum = 0;
    for (const struct of structs) {
      this.#call({}, 'lowrank_layer_square_sum', struct, at);
      sum = Math.fround(sum + this.#heap.data.getFloat32(at, true));
    }
    for (const struct of structs) this.#call({}, 'lowrank_layer_clip', struct, sum, maxNorm);
    return Math.fround(Math.sqrt(sum));
  }

  /**
   * Puts the elements into a random order that depends on nothing but these numbers and the length.
   * @template {Shufflable} T
   * @param {T} items
   * @param {{ seed?: number | bigint | undefined, stream?: number | undefined, step?: number | undefined }} [position]
   * @returns {T} the same array
   */
  shuffle(items, position = {}) {
    onlyKnown('position', position, ['seed', 'stream', 'step']);
    const { seed = 0, stream = 0, step = 0 } = position;
    const numbers = /** @type {const} */ ([seedOf(seed), integer('stream', stream), integer('step', step)]);
    if (!arrayKind(items)) throw new LowrankError('Type', 'items', { expected: 'a typed array', got: shown(items) });
    const { length } = plain('items', items);
    const order = this.#scratch.room(4 * length, 'items');
    this.#call({}, 'lowrank_rng_order', ...numbers, order, length);
    const { buffer, byteOffset, BYTES_PER_ELEMENT } = plain('items', items);
    const to = new WORDS[BYTES_PER_ELEMENT](buffer, byteOffset, length);
    const before = to.slice();
    new Uint32Array(this.memory.buffer, order, length).forEach((from, i) => {
      to[i] = before[from];
    });
    return items;
  }

  /** Throws where this engine does not keep to IEEE 754, so that results would not be those of other machines. */
  selftest() {
    this.#call({}, 'lowrank_selftest', abi.BASELINE);
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
