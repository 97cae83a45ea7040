// Made by scripts/fields.mjs from tools/src/peft/fields.json: change it there.
/** Fields that are read. */
export const READ = [
  'peft_type',
  'r',
  'lora_alpha',
  'lora_dropout',
  'rank_pattern',
  'alpha_pattern',
  'use_rslora',
  'fan_in_fan_out',
  'bias',
  'lora_bias',
  'init_lora_weights',
];
/** Fields that say where an adapter comes from, where it goes or how it was made: they change no number of a layer. */
export const CARRIED = [
  'auto_mapping',
  'base_model_name_or_path',
  'corda_config',
  'eva_config',
  'exclude_modules',
  'inference_mode',
  'layers_pattern',
  'layers_to_transform',
  'loftq_config',
  'lora_ga_config',
  'megatron_core',
  'peft_version',
  'qalora_group_size',
  'revision',
  'runtime_config',
  'target_modules',
  'task_type',
];
/** Variants that are not implemented, and what they mean. @type {Record<string, string>} */
export const VARIANTS = {
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
/** The JSON of what PEFT takes where a field is not there. */
export const DEFAULTS = {
  r: '8',
  lora_alpha: '8',
  lora_dropout: '0',
};
/** The names that a field may hold. */
export const NAMES = {
  init_lora_weights: ['orthogonal', 'eva'],
};
/** Others, in lower case, whose case does not matter. */
export const NAMES_IN_ANY_CASE = {
  init_lora_weights: ['gaussian'],
};
