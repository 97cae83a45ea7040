// The settings of a step, as structs.
import * as abi from './layout.js';
import { LowrankError, boolean, number, shown } from './error.js';

/**
 * Settings of a step. AdamW takes beta1, beta2, epsilon and weightDecay; SGD momentum, dampening, nesterov and weightDecay; in
 * place maxNorm.
 * @typedef {object} StepOptions
 * @property {number} [learningRate] default: 0.001
 * @property {number} [bRate] factor on the learning rate for B, default 1; LoRA+ takes about 16
 * @property {number} [beta1] default: 0.9
 * @property {number} [beta2] default: 0.999
 * @property {number} [epsilon] default: 1e-8
 * @property {number} [weightDecay] default: 0.01 for AdamW, 0 for SGD
 * @property {number} [momentum] default: 0.9 with optimizer momentum, 0 with sgd
 * @property {number} [dampening] default: 0
 * @property {boolean} [nesterov] default: false
 * @property {number} [maxNorm] clips the norm of this layer's gradient; default: not at all
 * @property {number} [tokens] in place: of the last forward pass
 */

const RATES = ['learningRate', 'bRate'];

/**
 * A number that may be left out; null is no number. The module checks ranges, but has one name for both factors of a rate.
 * @param {string} name
 * @param {number | undefined} value
 * @param {number} otherwise
 */
function setting(name, value, otherwise) {
  if (value === undefined) return otherwise;
  if (Number.isNaN(number(name, value)) || (RATES.includes(name) && value < 0)) {
    throw new LowrankError('Range', name, { expected: 'at least 0', got: value });
  }
  return value;
}

/**
 * @param {DataView} data
 * @param {number} at
 * @param {[field: number, name: string, value: number | undefined, otherwise: number][]} fields
 */
function floats(data, at, fields) {
  for (const [field, name, value, otherwise] of fields) data.setFloat32(at + field, setting(name, value, otherwise), true);
}

/** @type {(momentum: number) => (data: DataView, at: number, options: StepOptions) => void} */
const writeSgd = (momentum) => (data, at, o) => {
  if (momentum === 0 && o.momentum !== undefined && number('momentum', o.momentum) !== 0) {
    throw new LowrankError('Unexpected', 'momentum', { text: "a layer with optimizer 'sgd' has no memory for it, one with 'momentum' has" });
  }
  const nesterov = boolean('nesterov', o.nesterov === undefined ? false : o.nesterov);
  data.setUint32(at, abi.SGD_BYTES, true);
  floats(data, at, [
    [abi.SGD_LEARNING_RATE, 'learningRate', o.learningRate, 1e-3], [abi.SGD_B_RATE, 'bRate', o.bRate, 1],
    [abi.SGD_MOMENTUM, 'momentum', o.momentum, momentum], [abi.SGD_DAMPENING, 'dampening', o.dampening, 0],
    [abi.SGD_WEIGHT_DECAY, 'weightDecay', o.weightDecay, 0],
  ]);
  data.setUint32(at + abi.SGD_NESTEROV, Number(nesterov), true);
};

/** @type {(data: DataView, at: number, options: StepOptions) => void} */
const writeAdamw = (data, at, o) => {
  data.setUint32(at, abi.ADAMW_BYTES, true);
  floats(data, at, [
    [abi.ADAMW_LEARNING_RATE, 'learningRate', o.learningRate, 1e-3], [abi.ADAMW_B_RATE, 'bRate', o.bRate, 1],
    [abi.ADAMW_EPSILON, 'epsilon', o.epsilon, 1e-8], [abi.ADAMW_WEIGHT_DECAY, 'weightDecay', o.weightDecay, 1e-2],
  ]);
  data.setFloat64(at + abi.ADAMW_BETA1, setting('beta1', o.beta1, 0.9), true);
  data.setFloat64(at + abi.ADAMW_BETA2, setting('beta2', o.beta2, 0.999), true);
};

/** @type {(data: DataView, at: number, options: StepOptions) => void} */
const writeInPlace = (data, at, o) => {
  if (o.maxNorm !== undefined && !(number('maxNorm', o.maxNorm) >= 0)) {
    throw new LowrankError('Range', 'maxNorm', { expected: 'a number of at least 0', got: shown(o.maxNorm) });
  }
  data.setUint32(at, abi.IN_PLACE_BYTES, true);
  floats(data, at, [
    [abi.IN_PLACE_LEARNING_RATE, 'learningRate', o.learningRate, 1e-3], [abi.IN_PLACE_B_RATE, 'bRate', o.bRate, 1],
    [abi.IN_PLACE_MAX_NORM, 'maxNorm', o.maxNorm, -1],
  ]);
};

const SGD_NAMES = [...RATES, 'momentum', 'dampening', 'nesterov', 'weightDecay'];

/** How a step is made, by optimizer. */
export const STEPS = {
  adamw: { name: 'lowrank_layer_adamw_step', names: [...RATES, 'beta1', 'beta2', 'epsilon', 'weightDecay'], write: writeAdamw },
  momentum: { name: 'lowrank_layer_sgd_step', names: SGD_NAMES, write: writeSgd(0.9) },
  sgd: { name: 'lowrank_layer_sgd_step', names: SGD_NAMES, write: writeSgd(0) },
  'in-place': { name: 'lowrank_layer_in_place_step', names: [...RATES, 'maxNorm', 'tokens'], write: writeInPlace },
  inference: {
    name: '', names: /** @type {string[]} */ ([]),
    write() {
      throw new LowrankError('Unexpected', 'step', { text: 'the layer has no optimizer' });
    },
  },
};
