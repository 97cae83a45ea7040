import { LowrankError } from './error.js';
import { pattern } from './pattern.js';

/** Fields that say where an adapter comes from, where it goes or how it was made: they change no number of a layer. */
const CARRIED = [
  'auto_mapping', 'base_model_name_or_path', 'corda_config', 'eva_config', 'exclude_modules', 'inference_mode', 'layers_pattern',
  'layers_to_transform', 'loftq_config', 'lora_ga_config', 'megatron_core', 'peft_version', 'qalora_group_size', 'revision',
  'runtime_config', 'target_modules', 'task_type',
];

/** Fields that are read below. */
const READ = [
  'peft_type', 'r', 'lora_alpha', 'lora_dropout', 'rank_pattern', 'alpha_pattern', 'use_rslora', 'fan_in_fan_out', 'bias',
  'lora_bias', 'init_lora_weights',
];

/** Variants that are not implemented, and what they mean. */
const VARIANTS = {
  use_dora: 'DoRA scales the rows of the sum',
  modules_to_save: 'whole modules are trained beside the adapter',
  trainable_token_indices: 'rows of an embedding are trained beside the adapter',
  target_parameters: 'parameters are adapted that are not those of a linear layer',
  layer_replication: 'layers of the base are repeated',
  alora_invocation_tokens: 'an activated LoRA is in effect after certain tokens only',
  ensure_weight_tying: 'the adapters of tied layers are tied',
  megatron_config: 'the layers are those of Megatron',
  use_qalora: 'QA-LoRA pools the inputs',
  use_bdlora: 'BD-LoRA has block-diagonal matrices',
  velora_config: 'VeLoRA projects what is saved for the backward pass',
  arrow_config: 'Arrow routes between adapters',
  kasa_config: 'KaSA has singular values of its own',
  monteclora_config: 'MonteCLoRA samples its matrices',
};

const got = (/** @type {unknown} */ value) => JSON.stringify(value);

/**
 * @param {string} field
 * @param {string} expected
 * @param {unknown} value
 */
const wrong = (field, expected, value) => new LowrankError('Format', field, { expected, got: got(value) });

/** @type {(field: string, value: unknown) => number} */
const asRank = (field, value) => {
  if (Number.isInteger(value) && /** @type {number} */ (value) >= 1 && /** @type {number} */ (value) < 2 ** 32) return /** @type {number} */ (value);
  throw wrong(field, 'a whole number from 1 to 4294967295', value);
};

/** @type {(field: string, value: unknown) => number} */
const asAlpha = (field, value) => {
  if (typeof value === 'number') return value;
  throw wrong(field, 'a number', value);
};

/** The settings of an adapter. */
export class Config {
  /** @type {{ key: string, matches: (name: string) => boolean, value: number }[]} */
  #ranks;
  #alphas;
  #rank;
  #alpha;
  #rslora;

  /** @param {Record<string, any>} fields of adapter_config.json */
  constructor(fields) {
    refuse(fields);
    this.fields = fields;
    this.#rank = asRank('r', fields.r ?? 8);
    this.#alpha = asAlpha('lora_alpha', fields.lora_alpha ?? 8);
    this.#ranks = patterns(fields, 'rank_pattern', asRank);
    this.#alphas = patterns(fields, 'alpha_pattern', asAlpha);
    this.#rslora = flag(fields, 'use_rslora');
    this.fanInFanOut = flag(fields, 'fan_in_fan_out');
    this.bBias = flag(fields, 'lora_bias');
    this.bias = fields.bias ?? 'none';
    this.dropout = Math.fround(asAlpha('lora_dropout', fields.lora_dropout ?? 0));
    if (!(this.dropout >= 0 && this.dropout < 1)) throw wrong('lora_dropout', 'a number from 0 to below 1', fields.lora_dropout);
    if (this.bias !== 'none' && this.bias !== 'lora_only') {
      if (this.bias === 'all') {
        throw new LowrankError('Unsupported', 'bias', { text: 'biases of layers without adapter are trained too', got: '"all"' });
      }
      throw wrong('bias', '"none" or "lora_only"', this.bias);
    }
  }

  /** Whether names of layers have to be matched. */
  get hasPatterns() {
    return this.#ranks.length + this.#alphas.length > 0;
  }

  /** The rank of a layer, and the field that says so. @param {string} layer */
  rank(layer) {
    const found = this.#ranks.find(({ matches }) => matches(layer));
    return found ? { rank: found.value, field: `rank_pattern[${got(found.key)}]` } : { rank: this.#rank, field: 'r' };
  }

  /**
   * The factor of a layer. An alpha that is no number of 32 bits becomes the factor itself.
   * @param {string} layer
   * @returns {import('./layer.js').Scale}
   */
  scale(layer) {
    const { rank } = this.rank(layer);
    const alpha = this.#alphas.find(({ matches }) => matches(layer))?.value ?? this.#alpha;
    const factor = Math.fround(alpha / (this.#rslora ? Math.sqrt(rank) : rank));
    if (!Number.isFinite(factor)) throw new LowrankError('Range', 'lora_alpha', { text: `layer ${layer}: the scale is out of the range of f32` });
    if (Math.fround(alpha) !== alpha) return { mode: 'direct', alpha: factor };
    return { mode: this.#rslora ? 'rslora' : 'alpha', alpha };
  }
}

/** Whether a field holds more than nothing. @param {any} value */
const isSet = (value) => typeof value === 'number' || (typeof value === 'object' && value !== null ? Object.keys(value).length > 0 : Boolean(value));

/** Refuses other methods, variants, unknown fields, and bases that were changed. @param {Record<string, any>} fields */
function refuse(fields) {
  if (fields.peft_type !== 'LORA') throw new LowrankError('Unsupported', 'peft_type', { text: 'another method', expected: '"LORA"', got: got(fields.peft_type) });
  const how = fields.init_lora_weights ?? true;
  if (typeof how !== 'boolean' && !['gaussian', 'orthogonal', 'eva'].includes(how)) {
    const text = 'the initialisation has changed the base; convert the adapter with path_initial_model_for_weight_conversion of PEFT';
    throw new LowrankError('Unsupported', 'init_lora_weights', { text, got: got(how) });
  }
  for (const [field, value] of Object.entries(fields)) {
    if (!isSet(value)) continue;
    if (Object.hasOwn(VARIANTS, field)) {
      throw new LowrankError('Unsupported', field, { text: VARIANTS[/** @type {keyof typeof VARIANTS} */ (field)], expected: 'null, false or empty', got: got(value) });
    }
    if (!READ.includes(field) && !CARRIED.includes(field)) {
      throw new LowrankError('Unsupported', field, { text: 'the field is not known', expected: 'null, false or empty', got: got(value) });
    }
  }
}

/** @param {Record<string, any>} fields @param {string} field */
function flag(fields, field) {
  const value = fields[field] ?? false;
  if (typeof value === 'boolean') return value;
  throw wrong(field, 'true or false', value);
}

/**
 * @param {Record<string, any>} fields
 * @param {string} field
 * @param {(field: string, value: unknown) => number} as
 */
function patterns(fields, field, as) {
  const table = fields[field] ?? {};
  if (typeof table !== 'object' || Array.isArray(table)) throw wrong(field, 'a table of patterns', table);
  return Object.entries(table).map(([key, each]) => {
    const value = as(`${field}[${got(key)}]`, each);
    const made = pattern(key);
    if ('flaw' in made) throw new LowrankError('Unsupported', field, { text: `the pattern ${got(key)} has ${made.flaw}` });
    return { key, value, matches: made.matches };
  });
}
