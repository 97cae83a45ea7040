import { checkEntry } from './check-entry.js';
import { LowrankError, integer, onlyKnown, shown } from './error.js';
import { TENSORS, dead } from './finite.js';
import { numberText, stringify } from './json.js';
import { BYTES, widen } from './numbers.js';
import { escape, exactly } from './pattern.js';
import { Config } from './peft-config.js';
import { classify, refuseWrapped, tensorName, prefixed } from './peft-names.js';
import { TENSOR_FILE, readTensors, writeTensors } from './safetensors.js';
import { factorOf } from './scale.js';
import { byBytes, bytesOf } from './text.js';

export { LowrankError } from './error.js';
export { CONFIG_FILE } from './peft-config.js';
export { TENSOR_FILE } from './safetensors.js';

/** @typedef {import('./layer.js').Entry} Entry */
/** @typedef {import('./peft-names.js').Part} Part */
/** @typedef {import('./safetensors.js').Tensor} Tensor */
/** @typedef {{ name: string, tensor: Tensor }} Found */

/**
 * adapter_config.json: its text, its bytes or its fields. An object of JavaScript has no order among keys that look like integers;
 * where that would decide about a layer, it is refused: the text has an order, and so has a Map in place of a table of patterns.
 * @typedef {string | Uint8Array | ArrayBuffer | DataView | Record<string, unknown>} ConfigSource
 */

/**
 * Reads an adapter of PEFT. Its numbers, in 32 or 16 bits, come out in 32. What is not supported is refused by its name, and so are
 * infinite numbers and NaN.
 *
 * `warnings` are errors that were not thrown: `NotFound` for a key of rank_pattern or alpha_pattern that matches no layer, `DeadAdapter`
 * for a layer whose A and B are zero, `Unexpected` for weights of the base that were saved beside the adapter and are left out.
 * @param {object} files
 * @param {ConfigSource} files.config
 * @param {Uint8Array | ArrayBuffer | DataView} files.tensors adapter_model.safetensors
 * @returns {{ config: Record<string, unknown>, entries: Entry[], warnings: LowrankError[] }} the fields of the configuration, which
 *   `writePeft` writes as they stood in the file, and the entries in the order of their names
 */
export function readPeft(files) {
  onlyKnown('files', files, ['config', 'tensors', 'warnings']);
  const tensors = bytesOf(TENSOR_FILE, files.tensors);
  const config = new Config(files.config);
  /** @type {Map<string, Partial<Record<Part, Found>>>} */
  const layers = new Map();
  for (const [name, tensor] of readTensors(tensors)) {
    const [layer, part] = classify(name);
    layers.set(layer, { ...layers.get(layer), [part]: { name, tensor } });
  }
  if (layers.size === 0) throw new LowrankError('Format', TENSOR_FILE, { text: 'no adapter in it' });
  const sorted = [...layers].sort(([a], [b]) => byBytes(a, b));
  const names = sorted.map(([name]) => name);
  refuseWrapped(names);
  const found = sorted.map(([name, parts]) => entryOf(name, parts, config));
  const left = sorted.flatMap(([, { base }]) => (base ? [leftOut(base)] : []));
  const warnings = [...config.warnings(names), ...prefixed(names), ...left, ...dead(found)];
  // `layers` is what the entries were called before: programs that read it still find them.
  return Object.defineProperty({ config: config.fields, entries: found, warnings }, 'layers', { value: found });
}

/** @param {Found} base */
const leftOut = ({ name }) => new LowrankError('Unexpected', name, {
  text: 'the weights of the base, which PEFT saves along with an adapter of the head (save_embedding_layers); they are left out',
});

/**
 * Writes entries as PEFT does, in 32 bits: with this configuration, which has to agree with them, or with one that is made from them.
 * What is written here, `readPeft` reads, with the same names, scales and numbers. Refused is what PEFT cannot say: two entries of one
 * name, for example.
 * @param {Entry[]} entries
 * @param {ConfigSource} [config]
 * @returns {{ config: string, tensors: Uint8Array<ArrayBuffer>, warnings: LowrankError[] }} as `readPeft` would give them
 */
export function writePeft(entries, config) {
  if (!Array.isArray(entries)) throw new LowrankError('Type', 'entries', { expected: 'an array of entries', got: shown(entries) });
  if (entries.length === 0) throw new LowrankError('Format', 'entries', { expected: 'at least one' });
  entries.forEach(checkEntry);
  entries.forEach(checkSizes);
  const names = entries.map(({ name }) => name);
  const seen = new Set();
  const twice = names.find((name) => seen.size === seen.add(name).size);
  if (twice !== undefined) {
    throw new LowrankError('Unsupported', 'name', { text: 'two entries have it, which PEFT cannot tell apart', got: JSON.stringify(twice) });
  }
  refuseWrapped(names);
  const settings = new Config(config === undefined ? fromTable(entries) : config);
  for (const entry of entries) agree(entry, settings);
  const tensors = entries.flatMap((entry) => {
    const { name, rank, inputs, outputs } = entry;
    const shapes = { a: [rank, inputs], b: [outputs, rank], bias: [outputs], bBias: [outputs] };
    return TENSORS.flatMap((part) => {
      const numbers = entry[part];
      return numbers ? [/** @type {[string, number[], Float32Array]} */ ([tensorName(name, part), shapes[part], numbers])] : [];
    });
  });
  return { config: settings.text, tensors: writeTensors(tensors), warnings: [...settings.warnings(names), ...prefixed(names), ...dead(entries)] };
}

/** PEFT has no layers of rank 0, nor without inputs or outputs. @param {Entry} entry */
function checkSizes({ rank, inputs, outputs }) {
  for (const [name, size] of Object.entries({ rank, inputs, outputs })) integer(name, size, 1);
}

/**
 * @param {string} name
 * @param {Partial<Record<Part, Found>>} parts
 * @param {Config} config
 * @returns {Entry}
 */
function entryOf(name, parts, config) {
  const { a, b, bias, bBias, base } = parts;
  if (!a || !b) throw new LowrankError('Format', tensorName(name, a ? 'b' : 'a'), { text: 'the tensor is missing' });
  const [rank, inputs] = matrix(a);
  const [outputs] = matrix(b);
  const { rank: expected, field } = config.rank(name);
  if (rank !== expected) throw new LowrankError('Format', a.name, { expected: `rank ${expected} by ${field}`, got: rank });
  expectShape(b, [outputs, rank]);
  announced(bias, config.bias !== 'none', outputs, 'bias is "none"');
  announced(bBias, config.bBias, outputs, 'lora_bias is false');
  if (base) checkBase(base, config.fanInFanOut ? [inputs, outputs] : [outputs, inputs]);
  if (config.bBias && !bBias) throw new LowrankError('Format', tensorName(name, 'bBias'), { text: 'the tensor is missing' });
  return {
    name, rank, inputs, outputs, scale: config.scale(name), a: numbers(a), b: numbers(b),
    ...bias && { bias: numbers(bias) },
    ...bBias && { bBias: numbers(bBias) },
    fanInFanOut: config.fanInFanOut,
    ...config.dropout > 0 && { random: { seed: 0n, step: 0, layerNumber: 0, dropout: config.dropout } },
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

/** @param {Found} found @param {number[]} shape */
function checkBase(found, shape) {
  if (!Object.hasOwn(BYTES, found.tensor.dtype)) {
    const text = 'the weights of a quantised base were saved beside the adapter: save it with save_embedding_layers=False';
    throw new LowrankError('Unsupported', found.name, { text, got: found.tensor.dtype });
  }
  expectShape(found, shape);
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
  if (!Object.hasOwn(BYTES, dtype)) throw new LowrankError('Unsupported', name, { expected: 'F32, F16 or BF16', got: dtype });
  const wide = widen(/** @type {keyof typeof BYTES} */ (dtype), bytes);
  const at = wide.findIndex((value) => !Number.isFinite(value));
  if (at >= 0) throw new LowrankError('NonFinite', name, { expected: 'finite numbers', got: `${wide[at]} at ${at}` });
  return wide;
}

/** Checks that a configuration says of a layer what its entry says. @param {Entry} entry @param {Config} config */
function agree(entry, config) {
  const { rank } = entry;
  const pairs = {
    rank: [rank, config.rank(entry.name).rank],
    scale: [factorOf(entry.scale, rank), factorOf(config.scale(entry.name), rank)],
    dropout: [Math.fround(entry.random?.dropout ?? 0), config.dropout],
    fanInFanOut: [entry.fanInFanOut === true, config.fanInFanOut],
    bBias: [entry.bBias !== undefined, config.bBias],
    bias: [entry.bias !== undefined && config.bias === 'none', false],
  };
  for (const [field, [own, other]] of Object.entries(pairs)) {
    if (Object.is(own, other)) continue;
    throw new LowrankError('Format', field, { text: `layer ${entry.name}`, expected: `${other} by the configuration`, got: `${own}` });
  }
}

/** A configuration that says what the entries say, and nothing else. @param {Entry[]} entries */
function fromTable(entries) {
  const rankStabilized = entries.every(({ scale }) => scale.mode === 'rank-stabilized');
  const [r, rankPattern] = usualAndOthers(entries, entries.map(({ rank }) => rank));
  const [alpha, alphaPattern] = usualAndOthers(entries, entries.map((entry) => alphaOf(entry, rankStabilized)));
  return `${stringify('config', {
    alpha_pattern: alphaPattern,
    bias: entries.some(({ bias }) => bias) ? 'lora_only' : 'none',
    fan_in_fan_out: same(entries, 'fanInFanOut', ({ fanInFanOut }) => fanInFanOut === true),
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_bias: same(entries, 'bBias', ({ bBias }) => bBias !== undefined),
    lora_dropout: shortest(same(entries, 'dropout', ({ random }) => Math.fround(random?.dropout ?? 0))),
    peft_type: 'LORA',
    r,
    rank_pattern: rankPattern,
    target_modules: `(?:${entries.map(({ name }) => escape(name)).join('|')})`,
    use_rslora: rankStabilized,
  })}\n`;
}

/** The alpha that gives the factor of a layer. @param {Entry} entry @param {boolean} rankStabilized */
function alphaOf({ scale, rank }, rankStabilized) {
  if (scale.mode === 'alpha' || (scale.mode === 'rank-stabilized' && rankStabilized)) return scale.alpha;
  // Exact below a rank of 2²⁹, and so is dividing by the rank again.
  return factorOf(scale, rank) * rank;
}

/**
 * The most frequent value, of several the first one, and a pattern for each layer with another one.
 * @param {Entry[]} entries
 * @param {number[]} values
 * @returns {[number, Map<string, number>]}
 */
function usualAndOthers(entries, values) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const value of values.map(numberText)) counts.set(value, (counts.get(value) ?? 0) + 1);
  const [most] = [...counts].reduce((best, each) => (each[1] > best[1] ? each : best));
  // A layer whose name is the key of another one would be looked up by it, if it had no key of its own.
  const keys = new Set(entries.map(({ name }) => exactly(name)));
  const usual = (/** @type {number} */ value) => numberText(value) === most;
  const own = entries.flatMap(({ name }, i) => (usual(values[i]) && !keys.has(name) ? [] : [/** @type {const} */ ([exactly(name), values[i]])]));
  // With the usual value alone, a table says nothing.
  return [Number(most), new Map(own.every(([, value]) => usual(value)) ? [] : own)];
}

/**
 * What all entries have in common.
 * @template T
 * @param {Entry[]} entries
 * @param {string} field
 * @param {(entry: Entry) => T} of
 */
function same(entries, field, of) {
  const expected = of(entries[0]);
  const other = entries.find((entry) => of(entry) !== expected);
  if (!other) return expected;
  const text = `layer ${other.name}: PEFT has one setting for all layers`;
  throw new LowrankError('Unsupported', field, { text, expected: `${expected}`, got: `${of(other)}` });
}

/** The decimal number with the fewest digits that is this one in binary32. @param {number} value */
function shortest(value) {
  for (let digits = 1; digits < 9; digits++) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === value) return decimal;
  }
  return value;
}
