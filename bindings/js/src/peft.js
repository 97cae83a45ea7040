import { LowrankError, shown } from './error.js';
import { BYTES, widen } from './numbers.js';
import { escape, exactly } from './pattern.js';
import { Config } from './peft-config.js';
import { isBuffer, isBytes } from './realm.js';
import { readTensors, writeTensors } from './safetensors.js';

export { LowrankError } from './error.js';

/** @typedef {import('./layer.js').Adapter} Adapter */
/** @typedef {import('./safetensors.js').Tensor} Tensor */

/** The files of a PEFT directory. */
export const CONFIG_FILE = 'adapter_config.json';
export const TENSOR_FILE = 'adapter_model.safetensors';

const PREFIX = 'base_model.model.';
const LONGEST_CONFIG = 4 << 20;

/** What a tensor is to its layer. */
const PARTS = /** @type {const} */ ({ a: '.lora_A.weight', b: '.lora_B.weight', bias: '.base_layer.bias', bBias: '.lora_B.bias' });
/** @typedef {keyof typeof PARTS} Part */
/** @typedef {{ name: string, tensor: Tensor }} Found */

/**
 * Reads an adapter of PEFT. Its numbers, in 32 or 16 bits, come out in 32. What is not supported is refused by its name.
 * @param {object} files
 * @param {string | Uint8Array | ArrayBuffer | Record<string, unknown>} files.config adapter_config.json: its text, bytes or fields
 * @param {Uint8Array | ArrayBuffer} files.tensors adapter_model.safetensors
 * @returns {{ config: Record<string, unknown>, layers: Adapter[] }} layers in the order of their names
 */
export function readPeft({ config, tensors }) {
  const settings = new Config(fieldsOf(config));
  /** @type {Map<string, Partial<Record<Part, Found>>>} */
  const layers = new Map();
  for (const [name, tensor] of readTensors(bytesOf(TENSOR_FILE, tensors))) {
    const [layer, part] = classify(name);
    layers.set(layer, { ...layers.get(layer), [part]: { name, tensor } });
  }
  if (layers.size === 0) throw new LowrankError('Format', TENSOR_FILE, { text: 'no adapter in it' });
  const sorted = [...layers].sort(([a], [b]) => (a < b ? -1 : 1));
  return { config: settings.fields, layers: sorted.map(([name, parts]) => layerOf(name, parts, settings)) };
}

/**
 * Writes layers as PEFT does, in 32 bits: with this configuration, which has to agree with them, or with one that is made from them.
 * @param {Adapter[]} layers
 * @param {Record<string, unknown>} [config]
 * @returns {{ config: string, tensors: Uint8Array<ArrayBuffer> }}
 */
export function writePeft(layers, config) {
  if (config) {
    const settings = new Config(config);
    for (const layer of layers) agree(layer, settings);
  }
  const fields = config ?? fromTable(layers);
  const tensors = layers.flatMap((layer) => {
    const { name, rank, inputs, outputs } = layer;
    const shapes = { a: [rank, inputs], b: [outputs, rank], bias: [outputs], bBias: [outputs] };
    return /** @type {Part[]} */ (Object.keys(PARTS)).flatMap((part) => {
      const numbers = layer[part];
      return numbers ? [/** @type {[string, number[], Float32Array]} */ ([PREFIX + name + PARTS[part], shapes[part], numbers])] : [];
    });
  });
  return { config: `${JSON.stringify(fields, undefined, 2)}\n`, tensors: writeTensors(tensors) };
}

/** @param {string} argument @param {unknown} source */
function bytesOf(argument, source) {
  if (isBytes(source)) return source;
  if (isBuffer(source)) return new Uint8Array(source);
  throw new LowrankError('Type', argument, { expected: 'a Uint8Array or an ArrayBuffer', got: shown(source) });
}

/** @param {unknown} source @returns {Record<string, any>} */
function fieldsOf(source) {
  let fields = source;
  if (typeof source === 'string' || isBytes(source) || isBuffer(source)) {
    const text = typeof source === 'string' ? source : decode(bytesOf(CONFIG_FILE, source));
    if (text.length > LONGEST_CONFIG) throw new LowrankError('Format', CONFIG_FILE, { expected: `at most ${LONGEST_CONFIG} bytes`, got: text.length });
    try {
      fields = JSON.parse(text);
    } catch {
      throw new LowrankError('Format', CONFIG_FILE, { expected: 'JSON' });
    }
  }
  if (typeof fields === 'object' && fields !== null && !Array.isArray(fields)) return fields;
  throw new LowrankError('Format', CONFIG_FILE, { expected: 'a JSON object', got: shown(fields) });
}

/** @param {Uint8Array} bytes */
function decode(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new LowrankError('Format', CONFIG_FILE, { expected: 'UTF-8' });
  }
}

/**
 * The layer that a tensor belongs to, and what it is there.
 * @param {string} tensor
 * @returns {[layer: string, part: Part]}
 */
function classify(tensor) {
  const refuse = (/** @type {string} */ text) => new LowrankError('Unsupported', tensor, { text });
  if (!tensor.startsWith(PREFIX)) throw new LowrankError('Format', tensor, { expected: `a name that starts with ${PREFIX}` });
  const path = tensor.slice(PREFIX.length);
  if (/(^|\.)lora_embedding_/.test(path)) throw refuse('adapters of embeddings are not supported');
  if (path.includes('lora_magnitude_vector')) throw refuse('DoRA is not supported');
  const found = Object.entries(PARTS).find(([, suffix]) => path.endsWith(suffix));
  if (!found) throw refuse('whole modules (modules_to_save) and other methods are not supported');
  const layer = path.slice(0, -found[1].length);
  if (layer.split('.').includes('base_layer')) throw refuse('it lies inside another adapted module (nn.MultiheadAttention)');
  if (layer === '' || /[\u0000-\u001f\u007f-\u009f]/.test(layer)) throw new LowrankError('Format', tensor, { expected: 'the name of a layer' });
  return [layer, /** @type {Part} */ (found[0])];
}

/**
 * @param {string} name
 * @param {Partial<Record<Part, Found>>} parts
 * @param {Config} config
 * @returns {Adapter}
 */
function layerOf(name, parts, config) {
  if (config.hasPatterns && /[^\u0000-\u007f]/.test(name)) {
    throw new LowrankError('Unsupported', name, { text: 'a name that rank_pattern or alpha_pattern has to match has to be ASCII' });
  }
  const { a, b, bias, bBias } = parts;
  if (!a || !b) throw new LowrankError('Format', PREFIX + name + PARTS[a ? 'b' : 'a'], { text: 'the tensor is missing' });
  const [rank, inputs] = matrix(a);
  const [outputs] = matrix(b);
  const { rank: expected, field } = config.rank(name);
  if (rank !== expected) throw new LowrankError('Format', a.name, { expected: `rank ${expected} by ${field}`, got: rank });
  expectShape(b, [outputs, rank]);
  announced(bias, config.bias !== 'none', outputs, 'bias is "none"');
  announced(bBias, config.bBias, outputs, 'lora_bias is false');
  if (config.bBias && !bBias) throw new LowrankError('Format', PREFIX + name + PARTS.bBias, { text: 'the tensor is missing' });
  return {
    name, rank, inputs, outputs, scale: config.scale(name), a: numbers(a), b: numbers(b),
    ...bias && { bias: numbers(bias) },
    ...bBias && { bBias: numbers(bBias) },
    fanInFanOut: config.fanInFanOut,
    ...config.dropout > 0 && { random: { seed: 0n, step: 0, stream: 0, dropout: config.dropout } },
  };
}

/** @param {Found} found */
function matrix({ name, tensor: { shape } }) {
  if (shape.length > 2) throw new LowrankError('Unsupported', name, { text: 'adapters of convolutions are not supported', got: `[${shape}]` });
  if (shape.length < 2 || shape.includes(0)) throw new LowrankError('Format', name, { expected: 'a matrix', got: `[${shape}]` });
  return shape;
}

/** @param {Found} found @param {number[]} shape */
function expectShape({ name, tensor }, shape) {
  if (String(tensor.shape) !== String(shape)) throw new LowrankError('Format', name, { expected: `[${shape}]`, got: `[${tensor.shape}]` });
}

/**
 * @param {Found | undefined} found
 * @param {boolean} wanted
 * @param {number} outputs
 * @param {string} why
 */
function announced(found, wanted, outputs, why) {
  if (!found) return;
  if (!wanted) throw new LowrankError('Format', found.name, { text: `not expected, since ${why}` });
  expectShape(found, [outputs]);
}

/** @param {Found} found */
function numbers({ name, tensor: { dtype, bytes } }) {
  if (Object.hasOwn(BYTES, dtype)) return widen(/** @type {keyof typeof BYTES} */ (dtype), bytes);
  throw new LowrankError('Unsupported', name, { expected: 'F32, F16 or BF16', got: dtype });
}

/** Checks that a configuration says of a layer what the layer says. @param {Adapter} layer @param {Config} config */
function agree(layer, config) {
  const factor = (/** @type {import('./layer.js').Scale} */ { mode, alpha }) =>
    mode === 'direct' ? alpha : Math.fround(alpha / (mode === 'rslora' ? Math.sqrt(layer.rank) : layer.rank));
  const pairs = {
    rank: [layer.rank, config.rank(layer.name).rank],
    scale: [factor(layer.scale), factor(config.scale(layer.name))],
    dropout: [layer.random?.dropout ?? 0, config.dropout],
    fanInFanOut: [layer.fanInFanOut === true, config.fanInFanOut],
    bBias: [layer.bBias !== undefined, config.bBias],
    bias: [layer.bias !== undefined && config.bias === 'none', false],
  };
  for (const [field, [own, other]] of Object.entries(pairs)) {
    if (own !== other) throw new LowrankError('Format', field, { text: `layer ${layer.name}`, expected: `${other} by the configuration`, got: `${own}` });
  }
}

/** A configuration that says what the layers say, and nothing else. @param {Adapter[]} layers */
function fromTable(layers) {
  if (layers.length === 0) throw new LowrankError('Format', 'layers', { expected: 'at least one' });
  const rslora = layers.every(({ scale }) => scale.mode === 'rslora');
  const [r, rankPattern] = usual(layers, layers.map(({ rank }) => rank));
  const [alpha, alphaPattern] = usual(layers, layers.map((layer) => alphaOf(layer, rslora)));
  return {
    alpha_pattern: alphaPattern,
    bias: layers.some(({ bias }) => bias) ? 'lora_only' : 'none',
    fan_in_fan_out: same(layers, 'fanInFanOut', ({ fanInFanOut }) => fanInFanOut === true),
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_bias: same(layers, 'bBias', ({ bBias }) => bBias !== undefined),
    lora_dropout: shortest(same(layers, 'dropout', ({ random }) => random?.dropout ?? 0)),
    peft_type: 'LORA',
    r,
    rank_pattern: rankPattern,
    target_modules: `(?:${layers.map(({ name }) => escape(name)).join('|')})`,
    use_rslora: rslora,
  };
}

/** The alpha that gives the factor of a layer. @param {Adapter} layer @param {boolean} rslora */
function alphaOf({ scale: { mode, alpha }, rank }, rslora) {
  if (mode === 'alpha' || (mode === 'rslora' && rslora)) return alpha;
  return (mode === 'direct' ? alpha : Math.fround(alpha / Math.sqrt(rank))) * rank;
}

/**
 * The most frequent value, and a pattern for each layer with another one.
 * @param {Adapter[]} layers
 * @param {number[]} values
 * @returns {[number, Record<string, number>]}
 */
function usual(layers, values) {
  const count = (/** @type {number} */ value) => values.filter((other) => other === value).length;
  const most = values.reduce((best, value) => (count(value) > count(best) ? value : best));
  const others = layers.flatMap(({ name }, i) => (values[i] === most ? [] : [[exactly(name), values[i]]]));
  return [most, Object.fromEntries(others)];
}

/**
 * What all layers have in common.
 * @template T
 * @param {Adapter[]} layers
 * @param {string} field
 * @param {(layer: Adapter) => T} of
 */
function same(layers, field, of) {
  const expected = of(layers[0]);
  const other = layers.find((layer) => of(layer) !== expected);
  if (!other) return expected;
  throw new LowrankError('Unsupported', field, { text: `layer ${other.name}: PEFT has one setting for all layers`, expected: `${expected}`, got: `${of(other)}` });
}

/** The decimal number with the fewest digits that is this one in binary32. @param {number} value */
function shortest(value) {
  for (let digits = 1; digits < 9; digits++) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === value) return decimal;
  }
  return value;
}
