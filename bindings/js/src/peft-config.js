import { LowrankError } from './error.js';
import { members, stringify } from './json.js';
import { refuseOther } from './other-files.js';
import { Table, isIndex } from './pattern-table.js';
import { CARRIED, DEFAULTS, NAMES, NAMES_IN_ANY_CASE, READ, VARIANTS } from './peft-fields.js';
import { tagged } from './realm.js';
import { factorOf, inSingle } from './scale.js';
import { bytesOf, decode } from './text.js';

/** Tables of patterns. */
const PATTERNS = ['rank_pattern', 'alpha_pattern'];

/** The name of the file. */
export const CONFIG_FILE = 'adapter_config.json';
const LONGEST = 4 << 20;

/** @param {string} field @param {string} expected @param {string} got the JSON of the value */
const wrong = (field, expected, got) => new LowrankError('Format', field, { expected, got: shortly(got) });

const shortly = (/** @type {string} */ json) => (json.length > 80 ? `${json.slice(0, 80)}…` : json);

/** @type {(field: string, json: string) => number} */
const asRank = (field, json) => {
  const value = Number(json);
  // `8.0` is no integer in Python, and no size of a tensor.
  if (/^\d+$/.test(json) && value >= 1 && value < 2 ** 32) return value;
  throw wrong(field, 'a whole number from 1 to 4294967295', json);
};

/** @type {(field: string, json: string) => number} */
const asAlpha = (field, json) => {
  const value = JSON.parse(json);
  if (typeof value !== 'number') throw wrong(field, 'a number', json);
  if (!/^-?\d+$/.test(json) || !Number.isFinite(value)) return value;
  if (BigInt(value) !== BigInt(json)) throw wrong(field, 'a whole number that 64-bit floating point holds, or one with a decimal point', json);
  // Whole numbers of Python have no -0.
  return value + 0;
};

/** The texts that fields were read from, which have the order of keys and the digits of numbers. @type {WeakMap<object, string>} */
const TEXTS = new WeakMap();

/** The text that these fields were read from, if nothing in them was changed. @param {object} fields */
function textOfFields(fields) {
  const text = TEXTS.get(fields);
  return text !== undefined && JSON.stringify(JSON.parse(text)) === JSON.stringify(fields) ? text : undefined;
}

/**
 * The text of a configuration. An object of JavaScript has lost the order of keys that look like integers, unless it is a Map.
 * @param {unknown} source text, bytes or fields
 * @returns {{ text: string, unordered: string[] }} and the tables that have lost their order
 */
function textAndOrder(source) {
  if (typeof source === 'string') return { text: source, unordered: [] };
  if (tagged(source, 'Object')) {
    const fields = /** @type {Record<string, any>} */ (source);
    const own = textOfFields(fields);
    if (own !== undefined) return { text: own, unordered: [] };
    const unordered = PATTERNS.filter((field) => tagged(fields[field], 'Object') && Object.keys(fields[field]).some(isIndex));
    return { text: `${stringify('config', source)}\n`, unordered };
  }
  const bytes = bytesOf(CONFIG_FILE, source, 'its text, its bytes or its fields');
  refuseOther(CONFIG_FILE, bytes);
  try {
    return { text: decode(bytes), unordered: [] };
  } catch {
    throw new LowrankError('Format', CONFIG_FILE, { expected: 'UTF-8' });
  }
}

/** The settings of an adapter. */
export class Config {
  #ranks;
  #alphas;
  #rank;
  #alpha;
  #rankStabilized;

  /** @param {unknown} source adapter_config.json: its text, bytes or fields */
  constructor(source) {
    const { text, unordered } = textAndOrder(source);
    const fields = parseObject(text);
    const json = members(CONFIG_FILE, text);
    refuse(fields);
    if (unordered.length === 0) TEXTS.set(fields, text);
    /** What stands in the file, and its text. */
    this.fields = fields;
    this.text = text;
    this.#rank = asRank('r', json.get('r') ?? DEFAULTS.r);
    this.#alpha = asAlpha('lora_alpha', json.get('lora_alpha') ?? DEFAULTS.lora_alpha);
    const table = (/** @type {string} */ field, /** @type {typeof asRank} */ as) =>
      new Table(field, tableOf(field, json.get(field), as), !unordered.includes(field));
    this.#ranks = table('rank_pattern', asRank);
    this.#alphas = table('alpha_pattern', asAlpha);
    this.#rankStabilized = flag(fields, 'use_rslora');
    this.fanInFanOut = flag(fields, 'fan_in_fan_out');
    this.bBias = flag(fields, 'lora_bias');
    this.bias = biasOf(json.get('bias') ?? '"none"');
    this.dropout = dropoutOf(json.get('lora_dropout') ?? DEFAULTS.lora_dropout);
  }

  /** The rank of a layer, and the field that says so. @param {string} layer */
  rank(layer) {
    const found = this.#ranks.find(layer);
    return found ? { rank: found.value, field: `rank_pattern[${JSON.stringify(found.key)}]` } : { rank: this.#rank, field: 'r' };
  }

  /**
   * The factor of a layer, from numbers of 32 bits.
   * @param {string} layer
   * @returns {import('./layer.js').Scale}
   */
  scale(layer) {
    const { rank } = this.rank(layer);
    const alpha = this.#alphas.find(layer)?.value ?? this.#alpha;
    const scale = /** @type {const} */ ({ mode: this.#rankStabilized ? 'rank-stabilized' : 'alpha', alpha });
    if (Number.isFinite(factorOf(scale, rank))) return inSingle(scale, rank);
    throw new LowrankError('Range', 'lora_alpha', { text: `layer ${layer}: the scale is out of the range of f32` });
  }

  /** What PEFT warns of, as errors that are not thrown. @param {string[]} layers */
  warnings(layers) {
    return [this.#ranks, this.#alphas].flatMap((table) => table.unused(layers).map((key) =>
      new LowrankError('NotFound', table.field, { text: `the key ${JSON.stringify(key)} matches no layer and is not used` })));
  }
}

/** @param {string} text @returns {Record<string, any>} */
function parseObject(text) {
  if (text.length > LONGEST) throw new LowrankError('Format', CONFIG_FILE, { expected: `at most ${LONGEST} characters`, got: text.length });
  let fields;
  try {
    fields = JSON.parse(text);
  } catch {
    throw new LowrankError('Format', CONFIG_FILE, { expected: text.startsWith('\ufeff') ? 'JSON without a byte order mark, as PEFT does' : 'JSON' });
  }
  if (typeof fields === 'object' && fields !== null && !Array.isArray(fields)) return fields;
  throw new LowrankError('Format', CONFIG_FILE, { expected: 'a JSON object', got: shortly(JSON.stringify(fields)) });
}

/** @param {string} json */
function biasOf(json) {
  const bias = JSON.parse(json);
  if (bias === 'none' || bias === 'lora_only') return bias;
  if (bias === 'all') throw new LowrankError('Unsupported', 'bias', { text: 'biases of layers without adapter are trained too', got: json });
  throw wrong('bias', '"none" or "lora_only"', json);
}

/** @param {string} json */
function dropoutOf(json) {
  const dropout = Math.fround(asAlpha('lora_dropout', json));
  if (dropout >= 0 && dropout < 1) return dropout;
  throw wrong('lora_dropout', 'a number from 0 to below 1', json);
}

/** Whether a field holds more than nothing. @param {any} value */
const isSet = (value) => typeof value === 'number' || (typeof value === 'object' && value !== null ? Object.keys(value).length > 0 : Boolean(value));

/** Refuses other methods, variants, unknown fields, and bases that were changed. @param {Record<string, any>} fields */
function refuse(fields) {
  const refusal = (/** @type {string} */ field, /** @type {string} */ text, /** @type {string} */ expected) =>
    new LowrankError('Unsupported', field, { text, expected, got: fields[field] === undefined ? undefined : shortly(JSON.stringify(fields[field])) });
  if (fields.peft_type === undefined) throw refusal('peft_type', 'the field is missing; the config.json of a model has none', '"LORA"');
  if (fields.peft_type !== 'LORA') throw refusal('peft_type', 'another method', '"LORA"');
  const how = fields.init_lora_weights ?? true;
  if (typeof how !== 'boolean' && !isInitialisation(how)) {
    const known = typeof how === 'string' && BASE_CHANGED.test(how);
    const convert = 'the initialisation has changed the base; convert the adapter with path_initial_model_for_weight_conversion of PEFT';
    throw refusal('init_lora_weights', known ? convert : 'not known', 'true, false, "gaussian", "orthogonal" or "eva"');
  }
  for (const [field, value] of Object.entries(fields)) {
    if (!isSet(value) || READ.includes(field) || CARRIED.includes(field)) continue;
    throw refusal(field, Object.hasOwn(VARIANTS, field) ? VARIANTS[field] : 'the field is not known', 'null, false or empty');
  }
}

/** Whether a value is the name of an initialisation that leaves the base as it is. @param {unknown} how */
function isInitialisation(how) {
  if (typeof how !== 'string') return false;
  const lower = how.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  return NAMES.init_lora_weights.includes(how) || NAMES_IN_ANY_CASE.init_lora_weights.includes(lower);
}

const BASE_CHANGED = /^(pissa.*|corda.*|olora|mica|loftq|lora_ga)$/i;

/** Null is false where PEFT only asks whether a field holds. @param {Record<string, any>} fields @param {string} field */
function flag(fields, field) {
  const value = fields[field] ?? false;
  if (typeof value === 'boolean') return value;
  throw wrong(field, 'true or false', JSON.stringify(value));
}

/**
 * The keys of a table and their values, in the order of the text.
 * @param {string} field
 * @param {string | undefined} json
 * @param {(field: string, json: string) => number} as
 * @returns {Map<string, number>}
 */
function tableOf(field, json, as) {
  if (json === undefined) return new Map();
  if (!json.startsWith('{')) throw wrong(field, 'a table of patterns', json);
  return new Map([...members(field, json)].map(([key, value]) => [key, as(`${field}[${JSON.stringify(key)}]`, value)]));
}
