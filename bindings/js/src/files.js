import * as abi from './layout.js';
import { register } from './codec.js';
import { checkEntry } from './check-entry.js';
import { LowrankError, failure, integer, onlyKnown, shown, unsigned } from './error.js';
import { checkFinite, dead, isDead } from './finite.js';
import { FLAW } from './flaws.js';
import { Heap } from './heap.js';
import { inflate } from './inflate.js';
import * as inline from './inline/files.js';
import { compile } from './module.js';
import { widen } from './numbers.js';
import { tagged } from './realm.js';
import { inSingle } from './scale.js';
import { byBytes, bytesOf, decode, textOf } from './text.js';

/** @typedef {import('./layer.js').Entry} Entry */
/** @typedef {import('./layer.js').Layer} Layer */

/**
 * What an adapter file holds.
 * @typedef {object} Contents
 * @property {Entry[]} entries
 * @property {string} metadata
 * @property {bigint} fingerprint of the base; 0 when it is not known
 * @property {number} generation number of the save
 * @property {LowrankError[]} warnings errors that were not thrown: `DeadAdapter` for an entry whose A and B are zero
 */

/**
 * What goes into a file beside its entries. `parse` gives these, too: its `entries` and `warnings` are left aside here.
 * @typedef {object} SaveOptions
 * @property {string} [metadata]
 * @property {bigint} [fingerprint] of the base, 64 bits without a sign
 * @property {number} [generation]
 * @property {unknown} [entries]
 * @property {unknown} [warnings]
 */

/** @typedef {Uint8Array | ArrayBuffer | DataView} Bytes */
/** @typedef {Record<string, Layer> | Map<string, Layer>} Layers by name */

const TYPES = /** @type {const} */ ({ [abi.F32]: 'F32', [abi.F16]: 'F16', [abi.BF16]: 'BF16' });
const MODES = /** @type {const} */ (['direct', 'alpha', 'rank-stabilized']);

/**
 * Saves several layers in one adapter file, the format that devices have in flash.
 * @param {Layers} layers
 * @param {SaveOptions} [options]
 */
export async function saveAll(layers, options) {
  return emit(named(layers).map(([name, layer]) => layer.entry(name)), options);
}

/**
 * Loads layers from an adapter file: all of those that are given, or none. Refused is a name that the file has twice, and an adapter whose
 * A and B are zero.
 * @param {Bytes} file
 * @param {Layers} layers
 */
export async function loadAll(file, layers) {
  const wanted = named(layers);
  const contents = await parse(file);
  const pairs = wanted.map(([name, layer]) => {
    const found = contents.entries.filter((each) => each.name === name);
    if (found.length === 0) {
      const names = contents.entries.map((each) => each.name).join(', ');
      throw new LowrankError('NotFound', name, { text: 'no such entry in the file', expected: `one of ${names}` });
    }
    if (found.length > 1) {
      const text = `the file has ${found.length} entries of this name, with the ids ${found.map(({ id }) => id).join(', ')}: parse tells them apart`;
      throw new LowrankError('Unsupported', name, { text });
    }
    layer.checkEntry(found[0]);
    return /** @type {const} */ ([layer, found[0]]);
  });
  for (const [layer, entry] of pairs) layer.resume(entry);
  return contents;
}

/**
 * Layers by name, in an object or a Map.
 * @param {Layers} layers
 * @returns {[string, Layer][]}
 */
function named(layers) {
  const refusal = (/** @type {string} */ argument, /** @type {string} */ expected, /** @type {unknown} */ value) =>
    new LowrankError('Type', argument, { expected, got: shown(value) });
  if (ArrayBuffer.isView(layers) || tagged(layers, 'ArrayBuffer') || tagged(layers, 'SharedArrayBuffer')) {
    throw new LowrankError('Type', 'layers', { text: 'these are bytes: in loadAll the file comes first', expected: 'layers by name', got: shown(layers) });
  }
  // What names nothing: a promise, a set, a layer alone or as the prototype, as in `{ __proto__: layer }`.
  if (!['Object', 'Map', 'Module'].some((name) => tagged(layers, name)) || typeof /** @type {any} */ (layers).entry === 'function') {
    throw refusal('layers', 'layers by name, in an object or a Map', layers);
  }
  const pairs = tagged(layers, 'Map') ? [.../** @type {Map<string, Layer>} */ (layers)] : Object.entries(layers);
  for (const [name, layer] of pairs) {
    if (typeof layer?.entry !== 'function') throw refusal(textOf('name', name), 'a Layer', layer);
  }
  return pairs;
}

/**
 * The bytes of an adapter file. Refused is what it cannot hold: two entries of one name and id, infinite numbers and NaN, and the state
 * of a training that can never learn, since A and B are zero.
 * @param {Entry[]} entries
 * @param {SaveOptions} [options]
 */
export async function emit(entries, options = {}) {
  onlyKnown('options', options, ['metadata', 'fingerprint', 'generation', 'entries', 'warnings']);
  const { metadata = '', fingerprint = 0n, generation = 0 } = options;
  const text = new TextEncoder().encode(textOf('metadata', metadata));
  unsigned('fingerprint', fingerprint);
  if (!Array.isArray(entries)) throw new LowrankError('Type', 'entries', { expected: 'an array of entries', got: shown(entries) });
  for (const entry of entries) {
    checkEntry(entry);
    if (entry.training && isDead(entry)) throw new LowrankError('DeadAdapter', entry.name);
  }
  const room = await Room.make();
  const sorted = [...entries].sort((a, b) => byBytes(a.name, b.name) || (a.id ?? 0) - (b.id ?? 0));
  const structs = room.take(sorted.length * abi.ENTRY_BYTES);
  sorted.forEach((entry, i) => room.describe(structs + i * abi.ENTRY_BYTES, entry));
  const contents = room.take(abi.CONTENTS_BYTES);
  const length = sorted.length * abi.ENTRY_ROOM;
  room.u32(contents, 0, abi.CONTENTS_BYTES);
  room.u32(contents, abi.CONTENTS_ENTRIES, structs);
  room.u32(contents, abi.CONTENTS_ENTRIES_LEN, sorted.length);
  room.u32(contents, abi.CONTENTS_METADATA, room.put(text));
  room.u32(contents, abi.CONTENTS_METADATA_LEN, text.length);
  room.data.setBigUint64(contents + abi.CONTENTS_FINGERPRINT, fingerprint, true);
  room.u32(contents, abi.CONTENTS_GENERATION, integer('generation', generation));
  room.u32(contents, abi.CONTENTS_ROOM, room.take(length * 8));
  room.u32(contents, abi.CONTENTS_ROOM_LEN, length);
  const number = room.take(8);
  room.call('lowrank_encoded_len', contents, number);
  const bytes = room.data.getUint32(number, true);
  const file = room.take(bytes);
  room.call('lowrank_emit', contents, file, bytes, number);
  return new Uint8Array(room.memory.buffer, file, bytes).slice();
}

/**
 * What is in an adapter file, after a check of all of its bytes. Infinite numbers and NaN are refused.
 * @param {Bytes} file
 * @returns {Promise<Contents>}
 */
export async function parse(file) {
  const bytes = bytesOf('file', file);
  const room = await Room.make();
  const at = room.put(bytes);
  const head = room.take(abi.FILE_BYTES);
  room.u32(head, 0, abi.FILE_BYTES);
  room.call('lowrank_parse', at, bytes.length, head);
  const entries = Array.from({ length: room.get(head, abi.FILE_ENTRIES) }, (_, i) => room.entry(at, bytes.length, i));
  entries.forEach(checkFinite);
  const [text, length] = [room.get(head, abi.FILE_METADATA), room.get(head, abi.FILE_METADATA_LEN)];
  return {
    entries,
    metadata: room.text(text, length),
    fingerprint: room.data.getBigUint64(head + abi.FILE_FINGERPRINT, true),
    generation: room.get(head, abi.FILE_GENERATION),
    warnings: dead(entries),
  };
}

/** @type {Promise<WebAssembly.Module> | undefined} */
let compiled;

/**
 * Gives the module for files, where none can be compiled from the bytes that come along: `lowrank/files.wasm`, compiled.
 * @param {import('./module.js').ModuleSource | Promise<import('./module.js').ModuleSource>} module
 */
export async function setModule(module) {
  const [given] = await compile(await module, 'lowrank_emit');
  compiled = Promise.resolve(given);
}

/** The module of files with memory of its own, for one call. */
class Room {
  static async make() {
    compiled ??= inflate(inline, 0).then((bytes) => compile(bytes, 'lowrank_emit')).then(([module]) => module);
    return new Room(await WebAssembly.instantiate(await compiled));
  }

  #heap;
  #exports;
  #error;

  /** @param {WebAssembly.Instance} instance */
  constructor(instance) {
    this.#exports = /** @type {Record<string, any>} */ (instance.exports);
    /** @type {WebAssembly.Memory} */
    this.memory = this.#exports.memory;
    this.#heap = new Heap(this.memory, this.#exports.__heap_base.value);
    this.#error = this.take(abi.ERROR_BYTES);
    this.u32(this.#error, 0, abi.ERROR_BYTES);
  }

  get data() {
    return this.#heap.data;
  }

  /** Memory, all 0. @param {number} bytes */
  take(bytes) {
    return this.#heap.take(bytes, 'file').at;
  }

  /** Where a copy is; 0 of nothing. @param {Uint8Array | Float32Array} from */
  put(from) {
    if (from.byteLength === 0) return 0;
    const at = this.take(from.byteLength);
    new Uint8Array(this.memory.buffer).set(new Uint8Array(from.buffer, from.byteOffset, from.byteLength), at);
    return at;
  }

  /** @param {number} struct @param {number} field @param {number} value */
  u32(struct, field, value) {
    this.data.setUint32(struct + field, value, true);
  }

  /** @param {number} struct @param {number} field */
  get(struct, field) {
    return this.data.getUint32(struct + field, true);
  }

  /** @param {number} at @param {number} length */
  text(at, length) {
    return decode(new Uint8Array(this.memory.buffer, at, length));
  }

  /** @param {string} name @param {...number} args */
  call(name, ...args) {
    if (this.#exports[name](...args, this.#error) !== 0) throw failure(this.data, this.#error, {}, FLAW);
  }

  /**
   * Fills in a struct.
   * @param {number} at
   * @param {Entry} entry
   */
  describe(at, entry) {
    const { rank, inputs, outputs, training, random } = entry;
    const [scale, utf8] = [inSingle(entry.scale, rank), new TextEncoder().encode(entry.name)];
    this.u32(at, 0, abi.ENTRY_BYTES);
    this.u32(at, abi.ENTRY_NAME, this.put(utf8));
    this.u32(at, abi.ENTRY_NAME_LEN, utf8.length);
    this.u32(at, abi.ENTRY_ID, integer('id', entry.id ?? 0));
    this.u32(at, abi.ENTRY_SCALE_MODE, MODES.indexOf(scale.mode));
    this.data.setFloat32(at + abi.ENTRY_ALPHA, scale.alpha, true);
    this.u32(at, abi.ENTRY_FAN_IN_FAN_OUT, entry.fanInFanOut ? 1 : 0);
    this.#tensor(at + abi.ENTRY_A, 'a', entry.a, rank, inputs);
    this.#tensor(at + abi.ENTRY_B, 'b', entry.b, outputs, rank);
    this.#tensor(at + abi.ENTRY_BIAS, 'bias', entry.bias, 1, outputs);
    this.#tensor(at + abi.ENTRY_B_BIAS, 'bBias', entry.bBias, 1, outputs);
    const shapes = [[rank, inputs], [outputs, rank], [1, outputs]];
    for (let i = 0; i < 6; i++) {
      const moment = training?.moments[i];
      const [rows, cols] = shapes[i >> 1];
      this.#tensor(at + abi.ENTRY_MOMENTS + i * abi.TENSOR_BYTES, 'moments', moment?.length ? moment : undefined, rows, cols);
    }
    const clock = at + abi.ENTRY_CLOCK;
    this.u32(at, abi.ENTRY_OPTIMIZER, training?.optimizer ?? abi.INFERENCE);
    this.u32(at, abi.ENTRY_TRAINED, training?.trained ?? 0);
    this.u32(clock, 0, abi.CLOCK_BYTES);
    this.data.setBigUint64(clock + abi.CLOCK_STEPS, training?.steps ?? 0n, true);
    this.data.setFloat32(clock + abi.CLOCK_WEIGHT1, training?.weights[0] ?? 0, true);
    this.data.setFloat32(clock + abi.CLOCK_WEIGHT2, training?.weights[1] ?? 0, true);
    const numbers = at + abi.ENTRY_RANDOM;
    this.u32(numbers, 0, abi.RANDOM_STATE_BYTES);
    this.data.setBigUint64(numbers + abi.RANDOM_STATE_SEED, random?.seed ?? 0n, true);
    this.u32(numbers, abi.RANDOM_STATE_STEP, random?.step ?? 0);
    this.u32(numbers, abi.RANDOM_STATE_LAYER_NUMBER, random?.layerNumber ?? 0);
    this.data.setFloat32(numbers + abi.RANDOM_STATE_DROPOUT, random?.dropout ?? 0, true);
  }

  /**
   * @param {number} at
   * @param {string} name
   * @param {Float32Array | undefined} numbers
   * @param {number} rows
   * @param {number} cols
   */
  #tensor(at, name, numbers, rows, cols) {
    this.u32(at, 0, abi.TENSOR_BYTES);
    this.u32(at, abi.TENSOR_DTYPE, abi.F32);
    if (!numbers) return;
    if (numbers.length !== rows * cols) throw new LowrankError('Length', name, { expected: rows * cols, got: numbers.length });
    // A matrix without elements lies somewhere, too.
    this.u32(at, abi.TENSOR_DATA, this.put(numbers) || this.take(4));
    this.u32(at, abi.TENSOR_ROWS, rows);
    this.u32(at, abi.TENSOR_COLS, cols);
  }

  /**
   * An entry of a file.
   * @param {number} file
   * @param {number} bytes
   * @param {number} index
   * @returns {Entry}
   */
  entry(file, bytes, index) {
    const at = this.take(abi.ENTRY_BYTES);
    this.u32(at, 0, abi.ENTRY_BYTES);
    this.call('lowrank_entry_at', file, bytes, index, at);
    const [f32, u64] = [
      (/** @type {number} */ from) => this.data.getFloat32(from, true),
      (/** @type {number} */ from) => this.data.getBigUint64(from, true),
    ];
    const tensor = (/** @type {number} */ from) => this.#numbers(at + from);
    const [bias, bBias, optimizer] = [tensor(abi.ENTRY_BIAS), tensor(abi.ENTRY_B_BIAS), this.get(at, abi.ENTRY_OPTIMIZER)];
    const [clock, random] = [at + abi.ENTRY_CLOCK, at + abi.ENTRY_RANDOM];
    const stands = {
      seed: u64(random + abi.RANDOM_STATE_SEED), step: this.get(random, abi.RANDOM_STATE_STEP),
      layerNumber: this.get(random, abi.RANDOM_STATE_LAYER_NUMBER), dropout: f32(random + abi.RANDOM_STATE_DROPOUT),
    };
    const numbers = Object.values(stands).some((value) => Number(value) !== 0) ? { random: stands } : {};
    const moment = (/** @type {unknown} */ _, /** @type {number} */ i) =>
      tensor(abi.ENTRY_MOMENTS + i * abi.TENSOR_BYTES) ?? new Float32Array();
    return {
      name: this.text(this.get(at, abi.ENTRY_NAME), this.get(at, abi.ENTRY_NAME_LEN)),
      id: this.get(at, abi.ENTRY_ID),
      rank: this.get(at, abi.ENTRY_A + abi.TENSOR_ROWS),
      inputs: this.get(at, abi.ENTRY_A + abi.TENSOR_COLS),
      outputs: this.get(at, abi.ENTRY_B + abi.TENSOR_ROWS),
      scale: { mode: MODES[this.get(at, abi.ENTRY_SCALE_MODE)], alpha: f32(at + abi.ENTRY_ALPHA) },
      a: tensor(abi.ENTRY_A) ?? new Float32Array(),
      b: tensor(abi.ENTRY_B) ?? new Float32Array(),
      ...bias && { bias },
      ...bBias && { bBias },
      fanInFanOut: this.get(at, abi.ENTRY_FAN_IN_FAN_OUT) === 1,
      ...numbers,
      ...optimizer !== abi.INFERENCE && {
        training: {
          optimizer, trained: this.get(at, abi.ENTRY_TRAINED), steps: u64(clock + abi.CLOCK_STEPS),
          weights: [f32(clock + abi.CLOCK_WEIGHT1), f32(clock + abi.CLOCK_WEIGHT2)],
          moments: Array.from({ length: 6 }, moment),
        },
      },
    };
  }

  /** The numbers of a tensor, if it is there. @param {number} at */
  #numbers(at) {
    const data = this.get(at, abi.TENSOR_DATA);
    if (data === 0) return undefined;
    const type = TYPES[/** @type {keyof typeof TYPES} */ (this.get(at, abi.TENSOR_DTYPE))];
    const count = this.get(at, abi.TENSOR_ROWS) * this.get(at, abi.TENSOR_COLS);
    return widen(type, new Uint8Array(this.memory.buffer, data, count * (type === 'F32' ? 4 : 2)));
  }
}

register({ emit, parse });
