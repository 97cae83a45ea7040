import * as abi from './layout.js';
import { floats, plain } from './arrays.js';
import { LowrankError, integer, shown } from './error.js';
import { within } from './heap.js';
import { Vector } from './vector.js';
import { arrayKind } from './realm.js';

/** @typedef {ArrayLike<number>} Labels numbers of classes; in no BigInt64Array */
/** @typedef {Record<string, string>} Names of arguments, where they are others than in the ABI */

/**
 * The mean of the losses of a batch, which may come in micro-batches: the gradients are those of the mean over all of its tokens.
 */
export class MeanLoss {
  /** Tokens of the whole batch. @readonly @type {number} */
  tokens;
  #seen = 0;
  #sum = 0;

  /** @param {number} tokens of the whole batch */
  constructor(tokens) {
    this.tokens = integer('tokens', tokens);
    Object.freeze(this);
  }

  /** Tokens so far. */
  get seen() {
    return this.#seen;
  }

  /** Of their losses. */
  get sum() {
    return this.#sum;
  }

  /** The sum so far over the tokens of the batch. */
  get value() {
    return this.tokens === 0 ? 0 : Math.fround(this.#sum / this.tokens);
  }

  /**
   * Takes over what a call has added.
   * @internal
   * @param {number} seen
   * @param {number} sum
   */
  keep(seen, sum) {
    [this.#seen, this.#sum] = [seen, sum];
  }
}

/** Losses of the rows y and dy of a struct of a layer. */
export class Losses {
  #parts;
  #loss;

  /**
   * @param {{ heap: import('./heap.js').Heap, call: import('./options.js').Parts['call'], scratch: import('./scratch.js').Scratch }} parts
   * @param {number} loss where the struct of a mean has room
   */
  constructor(parts, loss) {
    this.#parts = parts;
    this.#loss = loss;
  }

  /**
   * @param {number} layer where its struct is
   * @param {number} tokens
   * @param {Labels} labels
   * @param {MeanLoss | undefined} mean
   * @param {Names} names
   */
  softmaxCrossEntropy(layer, tokens, labels, mean, names) {
    return this.#call('softmax_cross_entropy', layer, tokens, indices(labels, tokens), 'labels', mean, names);
  }

  /**
   * @param {number} layer where its struct is
   * @param {number} tokens
   * @param {Float32Array} targets as many as elements of y
   * @param {MeanLoss | undefined} mean
   * @param {Names} names
   */
  meanSquaredError(layer, tokens, targets, mean, names) {
    return this.#call('mean_squared_error', layer, tokens, targets, 'targets', mean, { matrix: 'targets', ...names });
  }

  /**
   * @param {string} name
   * @param {number} layer
   * @param {number} tokens
   * @param {Uint32Array | Float32Array} goal
   * @param {string} argument
   * @param {MeanLoss} [mean]
   * @param {Names} [names]
   */
  #call(name, layer, tokens, goal, argument, mean = new MeanLoss(tokens), names = {}) {
    if (!(mean instanceof MeanLoss)) throw new LowrankError('Type', 'mean', { expected: 'a mean of meanLoss(tokens)', got: shown(mean) });
    const { heap, call, scratch } = this.#parts;
    const at = scratch.near(goal, argument);
    const [data, loss] = [heap.data, this.#loss];
    data.setUint32(loss, abi.MEAN_LOSS_BYTES, true);
    data.setUint32(loss + abi.MEAN_LOSS_TOKENS, mean.tokens, true);
    data.setUint32(loss + abi.MEAN_LOSS_SEEN, mean.seen, true);
    data.setFloat32(loss + abi.MEAN_LOSS_SUM, mean.sum, true);
    call(names, `lowrank_layer_${name}`, layer, tokens, at, goal.length, loss);
    mean.keep(data.getUint32(loss + abi.MEAN_LOSS_SEEN, true), data.getFloat32(loss + abi.MEAN_LOSS_SUM, true));
    return mean.value;
  }
}

/**
 * Numbers of classes, as many as tokens.
 * @param {Labels} labels
 * @param {number} tokens
 */
export function indices(labels, tokens) {
  if (labels === null || typeof labels !== 'object' || !Number.isInteger(labels.length)) {
    throw new LowrankError('Type', 'labels', { expected: 'an array', got: shown(labels) });
  }
  const from = arrayKind(labels) ? plain('labels', labels) : labels;
  if (from.length !== tokens) throw new LowrankError('Length', 'labels', { expected: tokens, got: from.length });
  const to = new Uint32Array(tokens);
  for (let i = 0; i < tokens; i++) {
    const label = from[i];
    if (typeof label === 'number') to[i] = label;
    if (to[i] !== label) throw new LowrankError('Label', 'labels', { expected: 'numbers of classes', got: `${shown(label)} at ${i}` });
  }
  return to;
}

/**
 * Rows of the module's memory with their gradient, for the losses: the shape is that of the layer that they are of, or given.
 * @param {import('./heap.js').Heap} heap
 * @param {[name: string, rows: Vector | Float32Array]} from
 * @param {[name: string, rows: Vector | Float32Array]} to
 * @param {(length: number) => [name: string, cols: number | undefined]} given the columns that the caller names, and in which option
 */
export function rowsOf(heap, [fromName, from], [toName, to], given) {
  const { block, view: y } = inside(heap, fromName, from);
  const { block: room, view: dy } = inside(heap, toName, to);
  if (dy.length !== y.length) throw new LowrankError('Length', toName, { expected: y.length, got: dy.length });
  const known = block.rows.find((rows) => within(y, rows));
  const [option, cols] = given(y.length);
  if (known && cols !== undefined && cols !== known.cols) {
    throw new LowrankError('Cols', option, { expected: `rows of ${known.cols}, as the layer has`, got: cols });
  }
  const width = known?.cols ?? cols;
  if (width === undefined) {
    throw new LowrankError('Missing', option, { text: `only a layer's y has a shape: give { ${option} } for other arrays` });
  }
  if (width === 0 ? y.length > 0 : y.length % width !== 0) {
    throw new LowrankError('Length', fromName, { expected: `a multiple of ${width}`, got: y.length });
  }
  const tokens = width === 0 ? 0 : y.length / width;
  const first = known && width > 0 ? written(fromName, known, y, tokens) : undefined;
  // Of shared memory the module says so.
  const apart = Math.abs(y.byteOffset - dy.byteOffset) >= y.byteLength;
  if (apart && room.rows.length > 0 && width > 0 && tokens > 0) fits(toName, room, dy, width, room === block ? first : undefined);
  return { y, dy, cols: width, tokens };
}

/**
 * Throws unless a place in the memory of a layer is one for a gradient of this shape.
 * @param {string} argument
 * @param {import('./heap.js').Block} block
 * @param {Float32Array} dy
 * @param {number} cols
 * @param {number | undefined} token the first one, where y is of the same layer
 */
function fits(argument, block, dy, cols, token) {
  const known = block.rows.find((rows) => within(dy, rows));
  if (!known?.gradient) throw new LowrankError('Unexpected', argument, { text: 'in the memory of a layer a gradient goes into its dy or dx' });
  if (known.cols !== cols) throw new LowrankError('Cols', argument, { expected: `rows of ${known.cols}, as the layer has`, got: cols });
  const first = rowOf(argument, known, dy);
  if (token === undefined || first === token) return;
  throw new LowrankError('Rows', argument, { text: `it begins at token ${first}, the output at token ${token}` });
}

/**
 * The row that a view begins with.
 * @param {string} argument
 * @param {import('./heap.js').Rows} known
 * @param {Float32Array} view
 */
function rowOf(argument, { at, cols }, view) {
  const row = (view.byteOffset - at) / (4 * cols);
  if (!Number.isInteger(row)) throw new LowrankError('Misaligned', argument, { text: `it begins within a row of ${cols}` });
  return row;
}

/**
 * The first of these rows. Throws unless the last forward pass wrote all of them.
 * @param {string} argument
 * @param {import('./heap.js').Rows} known
 * @param {Float32Array} y
 * @param {number} tokens
 */
function written(argument, known, y, tokens) {
  const first = rowOf(argument, known, y);
  const batch = known.tokens?.() ?? Infinity;
  if (first + tokens <= batch) return first;
  if (batch === 0) throw new LowrankError('NoForward', argument);
  throw new LowrankError('TooMany', argument, { expected: `the ${batch} tokens of the last forward pass`, got: first + tokens });
}

/**
 * @param {import('./heap.js').Heap} heap
 * @param {string} name
 * @param {unknown} given
 */
export const inside = (heap, name, given) => heap.owner(name, given instanceof Vector ? given.current(name) : given);

/**
 * The numbers of a vector, or of an array anywhere.
 * @param {string} name
 * @param {unknown} given
 * @param {number} length
 */
export const numbers = (name, given, length) => floats(name, given instanceof Vector ? given.current(name) : given, length);
