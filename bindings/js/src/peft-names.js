// What the name of a tensor says about it.
import { LowrankError } from './error.js';

const PREFIX = 'base_model.model.';
/** The step under which PEFT keeps a module that it has wrapped. */
const WRAPPED = /\.base_layer(?=\.|$)/g;

/** What a tensor is to its layer. None of these ends in another one, so that a name of a tensor has one layer and one part. */
const SUFFIXES = /** @type {const} */ ({
  a: '.lora_A.weight', b: '.lora_B.weight', bias: '.base_layer.bias', bBias: '.lora_B.bias', base: '.base_layer.weight',
});
/** @typedef {keyof typeof SUFFIXES} Part */

/** The name of a tensor of a layer. @param {string} layer @param {Part} part */
export const tensorName = (layer, part) => PREFIX + layer + SUFFIXES[part];

/** Warnings of layers whose name has the prefix in it already. @param {string[]} layers */
export const prefixed = (layers) => layers.filter((name) => name.startsWith(PREFIX)).map((name) => new LowrankError('Unexpected', name, {
  text: `PEFT puts ${PREFIX} in front of the name, which has it already: its tensors have it twice`,
}));

/** Tensors that belong to no layer here, by what is in their names. @type {[part: RegExp, what: string][]} */
const OTHERS = [
  [/(^|\.)lora_embedding_/, 'adapters of embeddings are not supported'],
  [/lora_magnitude_vector/, 'DoRA is not supported'],
  [/\.base_layer\.weight\./, 'it is a part of a quantised base, which was saved beside the adapter: save it with save_embedding_layers=False'],
  [/\.base_layer\./, 'it is a part of the base, which was saved beside the adapter: save it with save_embedding_layers=False'],
  [/(^|\.)(embed_tokens|lm_head|wte|word_embeddings|embed_in|embed_out)\.(weight|bias)$/,
    'an embedding or the head was saved beside the adapter: save it with save_embedding_layers=False, unless it was resized or trained'],
  [/\.lora_[AB]\.[^.]+\.weight$/, 'it has the name of an adapter in it: save_pretrained leaves that out, state_dict does not'],
];

/**
 * The layer that a tensor belongs to, and what it is there. The name of a layer is whatever stands in front.
 * @param {string} tensor
 * @returns {[layer: string, part: Part]}
 */
export function classify(tensor) {
  if (!tensor.startsWith(PREFIX)) throw new LowrankError('Format', tensor, { expected: `a name that starts with ${PREFIX}` });
  const path = tensor.slice(PREFIX.length);
  const found = Object.entries(SUFFIXES).find(([, suffix]) => path.endsWith(suffix));
  if (found) return [path.slice(0, -found[1].length), /** @type {Part} */ (found[0])];
  const text = OTHERS.find(([part]) => part.test(path))?.[1] ?? 'whole modules (modules_to_save) and other methods are not supported';
  throw new LowrankError('Unsupported', tensor, { text });
}

/**
 * Throws where a layer lies inside of another one. PEFT makes them for nn.MultiheadAttention, whose own adapter is not that of a linear
 * layer.
 * @param {string[]} layers
 */
export function refuseWrapped(layers) {
  const all = new Set(layers);
  const lengths = new Set(layers.map((layer) => layer.length));
  for (const layer of layers) {
    for (const { index } of layer.matchAll(WRAPPED)) {
      // Few places can be the end of another layer: names of many megabytes take no time.
      if (!lengths.has(index) || !all.has(layer.slice(0, index))) continue;
      const text = `it lies inside of another adapted module, ${layer.slice(0, index)} (nn.MultiheadAttention)`;
      throw new LowrankError('Unsupported', layer, { text });
    }
  }
}
