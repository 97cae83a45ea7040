// The scenario of demo/ on the package: a network 64-48-10 that reads upright digits learns to read turned ones. Where the data
// come from is the caller's matter; demo/data/README.md describes both files.

export const INPUTS = 64;
export const HIDDEN = 48;
export const CLASSES = 10;
const SIDE = 8;
const RECORD = 41;

/** The stream of random numbers that puts the images into order: far from those of the layers. */
const ORDER_STREAM = 0xffffffff;

/** Where a pixel of the transformed image comes from. @type {Record<string, (row: number, col: number) => [number, number]>} */
export const TASKS = {
  upright: (row, col) => [row, col],
  rotated: (row, col) => [col, SIDE - 1 - row],
  mirrored: (row, col) => [row, SIDE - 1 - col],
};

/** @typedef {{ labels: Uint8Array, pixels: Uint8Array }} Digits pixels: 64 of each image, from 0 to 16 */

/**
 * @param {ArrayBuffer} file digits.bin
 * @returns {Digits}
 */
export function decodeDigits(file) {
  const bytes = new Uint8Array(file);
  const count = Math.floor(bytes.length / RECORD);
  const [labels, pixels] = [new Uint8Array(count), new Uint8Array(count * INPUTS)];
  for (let image = 0; image < count; image++) {
    labels[image] = bytes[image * RECORD];
    for (let i = 0; i < INPUTS; i++) {
      const [row, bit] = [image * RECORD + 1 + 5 * Math.floor(i / SIDE), 5 * (i % SIDE)];
      const word = bytes[row + (bit >> 3)] | (bytes[row + (bit >> 3) + 1] ?? 0) << 8;
      pixels[image * INPUTS + i] = word >> (bit & 7) & 31;
    }
  }
  return { labels, pixels };
}

/** @param {ArrayBuffer} file base.bin */
export function decodeBase(file) {
  const lengths = [HIDDEN * INPUTS, HIDDEN, CLASSES * HIDDEN, CLASSES];
  const data = new DataView(file);
  let at = 0;
  const [w1, b1, w2, b2] = lengths.map((length) => Float32Array.from({ length }, () => data.getFloat32(4 * at++, true)));
  return { w1, b1, w2, b2 };
}

/** Image i is for the test when i is a multiple of 5, otherwise for training. @param {Digits} digits */
export function split(digits) {
  const all = Uint16Array.from(digits.labels, (_, i) => i);
  return { training: all.filter((i) => i % 5 !== 0), test: all.filter((i) => i % 5 === 0) };
}

const DEFAULTS = {
  task: 'rotated', rank: 4, alpha: 8, learningRate: 0.02, epochs: 10, batch: 32, seed: 0,
  arithmetic: /** @type {'separate' | 'fused'} */ ('separate'),
};

/** @typedef {{ hidden: number, output: number }} Ranks of both layers, where they differ */

/** A network that is being adapted. */
export class Scenario {
  /**
   * @param {import('../src/lowrank.js').Lowrank} lowrank
   * @param {ReturnType<typeof decodeBase>} base
   * @param {Digits} digits
   * @param {Partial<Omit<typeof DEFAULTS, 'rank'>> & { rank?: number | Ranks, training?: Uint16Array, test?: Uint16Array }} [options]
   */
  constructor(lowrank, base, digits, options = {}) {
    const { training, test, ...settings } = { ...split(digits), ...options };
    this.lowrank = lowrank;
    this.digits = digits;
    this.training = training;
    this.test = test;
    this.settings = { ...DEFAULTS, ...settings };
    const { alpha, arithmetic, seed, batch } = this.settings;
    const tokens = Math.min(batch, training.length);
    const shared = { alpha, arithmetic, seed, tokens, optimizer: /** @type {const} */ ('adamw') };
    const rank = typeof this.settings.rank === 'number' ? { hidden: this.settings.rank, output: this.settings.rank } : this.settings.rank;
    this.hidden = lowrank.layer({ ...shared, rank: rank.hidden, inputs: INPUTS, outputs: HIDDEN, weights: base.w1, bias: base.b1, layerNumber: 0 });
    // The output layer reads what the hidden one writes, and the other way round for the gradient.
    const chained = { x: this.hidden.y, dx: this.hidden.dy };
    this.output = lowrank.layer({ ...shared, ...chained, rank: rank.output, inputs: HIDDEN, outputs: CLASSES, weights: base.w2, bias: base.b2, layerNumber: 1 });
    this.tokens = tokens;
    this.stepsPerEpoch = tokens === 0 ? 0 : Math.floor(training.length / tokens);
    this.steps = 0;
    this.order = new Uint16Array(training.length);
    /** Loss of every step. @type {number[]} */
    this.losses = [];
  }

  /** Products and sums of a step, times two: of both layers forward, of dX of the output layer, and of the adapters. */
  get flopsPerStep() {
    const [first, second] = [this.hidden, this.output].map(({ inputs, outputs, rank }) => ({ w: inputs * outputs, a: rank * inputs, b: rank * outputs }));
    // Forward: W, A, B. Backward: gs and dB have a B each, dA has an A; dX of the output layer has W and A.
    const both = [first, second].reduce((sum, { w, a, b }) => sum + w + 2 * a + 3 * b, 0);
    return 2 * this.tokens * (both + second.w + second.a);
  }

  /**
   * A step on the next batch; undefined when all are done.
   * @returns {{ step: number, epoch: number, loss: number } | undefined} step and epoch count from 1
   */
  step() {
    const { lowrank, hidden, output, settings, tokens } = this;
    if (this.steps >= this.stepsPerEpoch * settings.epochs) return undefined;
    const [epoch, step] = [Math.floor(this.steps / this.stepsPerEpoch), this.steps % this.stepsPerEpoch];
    if (step === 0) {
      this.order.set(this.training);
      lowrank.shuffle(this.order, { seed: settings.seed, stream: ORDER_STREAM, step: epoch });
    }
    const images = this.order.subarray(step * tokens, (step + 1) * tokens);
    this.#forward(images, settings.task);
    const labels = Uint32Array.from(images, (image) => this.digits.labels[image]);
    const loss = output.softmaxCrossEntropy(labels);
    output.backward();
    const [result, gradient] = [hidden.y, hidden.dy];
    for (let i = 0; i < result.length; i++) if (result[i] <= 0) gradient[i] = 0;
    hidden.backward();
    for (const layer of [hidden, output]) layer.step({ learningRate: settings.learningRate });
    this.steps++;
    this.losses.push(loss);
    return { step: this.steps, epoch: epoch + 1, loss };
  }

  /**
   * The logits of one image, given as 64 numbers from 0 to 1.
   * @param {ArrayLike<number>} image
   */
  logits(image) {
    this.hidden.x.set(image);
    return this.#layers(1).slice();
  }

  /**
   * Share of the images that are read right.
   * @param {{ task?: string, images?: ArrayLike<number> }} [options]
   */
  accuracy({ task = this.settings.task, images = this.test } = {}) {
    const read = this.read({ task, images });
    return read.filter((digit, i) => digit === this.digits.labels[images[i]]).length / images.length;
  }

  /**
   * What images are read as.
   * @param {{ task?: string, images?: ArrayLike<number> }} [options]
   */
  read({ task = this.settings.task, images = this.test } = {}) {
    const read = new Uint8Array(images.length);
    for (let first = 0; first < images.length; first += this.tokens) {
      const part = Array.prototype.slice.call(images, first, first + this.tokens);
      const logits = this.#forward(part, task);
      part.forEach((_, i) => {
        const of = logits.subarray(i * CLASSES, (i + 1) * CLASSES);
        read[first + i] = of.indexOf(Math.max(...of));
      });
    }
    return read;
  }

  /** Of the loss of every step, and of both adapters: equal only where the whole training had the same bits. */
  digest() {
    return digest([Float32Array.from(this.losses), this.hidden.a, this.hidden.b, this.output.a, this.output.b]);
  }

  /** Back to the start. */
  reset() {
    for (const layer of [this.hidden, this.output]) layer.init();
    this.steps = 0;
    this.losses = [];
  }

  /** Gives the memory back. */
  free() {
    this.output.free();
    this.hidden.free();
  }

  /**
   * @param {ArrayLike<number>} images
   * @param {string} task
   */
  #forward(images, task) {
    const { x } = this.hidden;
    for (let image = 0; image < images.length; image++) {
      this.#write(images[image], TASKS[task], x.subarray(image * INPUTS, (image + 1) * INPUTS));
    }
    return this.#layers(images.length);
  }

  /** @param {number} tokens */
  #layers(tokens) {
    const y = this.hidden.forward(tokens);
    for (let i = 0; i < y.length; i++) y[i] = Math.max(y[i], 0);
    return this.output.forward(tokens);
  }

  /**
   * @param {number} image
   * @param {(row: number, col: number) => [number, number]} source
   * @param {Float32Array} to
   */
  #write(image, source, to) {
    for (let i = 0; i < INPUTS; i++) {
      const [row, col] = source(Math.floor(i / SIDE), i % SIDE);
      to[i] = this.digits.pixels[image * INPUTS + row * SIDE + col] / 16;
    }
  }
}

/** FNV-1a over the bytes of all numbers. @param {Float32Array[]} parts */
export function digest(parts) {
  let hash = 0xcbf29ce484222325n;
  for (const part of parts) {
    for (const byte of new Uint8Array(part.buffer, part.byteOffset, part.byteLength)) {
      hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
    }
  }
  return hash.toString(16).padStart(16, '0');
}
