// TensorFlow.js on its WebAssembly backend, whose products are XNNPACK's.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

// The packages' own entry for node; `import` would take the one for browsers.
const require = createRequire(import.meta.url);
const tf = require('@tensorflow/tfjs-core');
const wasm = require('@tensorflow/tfjs-backend-wasm');

const BINARIES = ['tfjs-backend-wasm-simd.wasm', 'tfjs-backend-wasm.wasm', 'tfjs-backend-wasm-threaded-simd.wasm'];

/** Starts the backend on one thread. Returns versions, and the name of the binary that was loaded. */
export async function start() {
  const instantiate = WebAssembly.instantiate;
  let loaded;
  WebAssembly.instantiate = (source, imports) => {
    loaded ??= source;
    return instantiate(source, imports);
  };
  try {
    tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
    wasm.setThreadsCount(1);
    await tf.setBackend('wasm');
    await tf.ready();
  } finally {
    WebAssembly.instantiate = instantiate;
  }
  const folder = dirname(require.resolve('@tensorflow/tfjs-backend-wasm'));
  const binary = BINARIES.find((name) => Buffer.compare(readFileSync(join(folder, name)), Buffer.from(loaded)) === 0);
  return { core: tf.version_core, backend: wasm.version_wasm, binary };
}

/** The matrices of a layer as tensors, in every form that an operation below reads. */
class Tensors {
  constructor(sizes, matrices, scale) {
    const { outputs, inputs, rank, tokens } = sizes;
    const of = (name, ...shape) => tf.tensor(matrices[name].slice(), shape);
    this.x = of('x', tokens, inputs);
    this.w = of('w', outputs, inputs);
    this.wt = tf.transpose(this.w);
    this.bias = of('bias', outputs);
    this.a = of('a', rank, inputs);
    this.b = of('b', outputs, rank);
    this.at = tf.transpose(this.a);
    this.bt = tf.transpose(this.b);
    this.scale = tf.scalar(scale);
    this.scaledBt = tf.mul(this.bt, this.scale);
    this.dy = of('dy', tokens, outputs);
  }

  dispose() {
    Object.values(this).forEach((tensor) => tensor.dispose());
  }
}

/** A layer. Its operations are given as functions that return new tensors by name. */
export class Layer {
  #tensors;
  #sizes;
  #adamw;

  /** `matrices`: as `Layer` in `ours.mjs` has them, before any step. */
  constructor(sizes, matrices, { scale, adamw }) {
    this.#sizes = sizes;
    this.#adamw = adamw;
    this.#tensors = new Tensors(sizes, matrices, scale);
  }

  dispose() {
    this.#tensors.dispose();
  }

  /** `Y = X·Wᵀ`, from the bias where the variant has one. `W` as it lies, or transposed once. */
  product(variant) {
    const { x, w, wt, bias } = this.#tensors;
    return {
      flag: () => ({ y: tf.matMul(x, w, false, true) }),
      matMul: () => ({ y: tf.matMul(x, wt) }),
      fused: () => ({ y: tf.fused.matMul({ a: x, b: wt, bias }) }),
    }[variant];
  }

  /** `Y = X·Wᵀ + b + hs·Bᵀ`. `scaledOnce`: the scale is part of `Bᵀ`, which is kept. */
  forward(variant) {
    const { x, wt, bias, at, bt, scale, scaledBt } = this.#tensors;
    const scaled = () => {
      const h = tf.matMul(x, at);
      if (variant === 'scaledOnce') return h;
      const hs = tf.mul(h, scale);
      h.dispose();
      return hs;
    };
    return () => {
      const hs = scaled();
      const branch = tf.matMul(hs, variant === 'scaledOnce' ? scaledBt : bt);
      const base = tf.fused.matMul({ a: x, b: wt, bias });
      const y = tf.add(base, branch);
      for (const tensor of [hs, branch, base]) tensor.dispose();
      return { y };
    };
  }

  /** Forward and backward pass with dX, and AdamW. Only products without a transposed operand are XNNPACK's. */
  step() {
    const { x, w, wt, bias, dy, scale } = this.#tensors;
    const state = new AdamW(this.#adamw, [this.#tensors.a, this.#tensors.b]);
    const operation = () => {
      const [a, b] = state.parameters;
      const results = tf.tidy(() => {
        const hs = tf.mul(tf.matMul(x, tf.transpose(a)), scale);
        const y = tf.add(tf.fused.matMul({ a: x, b: wt, bias }), tf.matMul(hs, tf.transpose(b)));
        const gs = tf.mul(tf.matMul(dy, b), scale);
        const db = tf.matMul(tf.transpose(dy), hs);
        const da = tf.matMul(tf.transpose(gs), x);
        const dx = tf.add(tf.matMul(dy, w), tf.matMul(gs, a));
        return { y, dx, da, db };
      });
      state.step([results.da, results.db]);
      return results;
    };
    const parameters = () => ({ a: state.parameters[0], b: state.parameters[1] });
    return { operation, parameters, dispose: () => state.dispose() };
  }

  /**
   * The function of the binary behind `matMul`, on tensors that are there: what is left when nothing is allocated, checked
   * or disposed of. No interface of the package offers this.
   */
  xnnpack() {
    const { x, wt } = this.#tensors;
    const { outputs, inputs, tokens } = this.#sizes;
    const backend = tf.backend();
    const out = tf.zeros([tokens, outputs]);
    out.dataSync();
    const shapes = [[1, tokens, inputs], [1, inputs, outputs]].map((shape) => {
      const at = backend.wasm._malloc(4 * shape.length);
      new Int32Array(backend.wasm.HEAPU8.buffer).set(shape, at / 4);
      return at;
    });
    const [xId, wId, outId] = [x, wt, out].map((tensor) => backend.dataIdMap.get(tensor.dataId).id);
    const { _BatchMatMul } = backend.wasm;
    const run = () => _BatchMatMul(xId, shapes[0], 3, wId, shapes[1], 3, 0, 0, outId);
    return {
      run,
      result() {
        run();
        return read({ y: out });
      },
      dispose: () => {
        out.dispose();
        shapes.forEach((at) => backend.wasm._free(at));
      },
    };
  }
}

/** AdamW as `torch.optim.AdamW` orders it. */
class AdamW {
  #options;
  #constants;
  #moments;
  #steps = 0;

  constructor(options, parameters) {
    const { lr, beta1, beta2, eps, weightDecay } = options;
    this.#options = options;
    this.parameters = parameters.map((parameter) => parameter.clone());
    this.#moments = parameters.map((parameter) => [tf.zerosLike(parameter), tf.zerosLike(parameter)]);
    const values = { decay: 1 - lr * weightDecay, beta1, beta2, rest1: 1 - beta1, rest2: 1 - beta2, eps };
    this.#constants = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, tf.scalar(value)]));
  }

  step(gradients) {
    const { lr, beta1, beta2 } = this.#options;
    const { decay, beta1: b1, beta2: b2, rest1, rest2, eps } = this.#constants;
    this.#steps += 1;
    const rate = tf.scalar(lr / (1 - beta1 ** this.#steps));
    const correction = tf.scalar(Math.sqrt(1 - beta2 ** this.#steps));
    gradients.forEach((g, i) => {
      const old = [this.parameters[i], ...this.#moments[i]];
      const [p, m, v] = tf.tidy(() => {
        const m = tf.add(tf.mul(old[1], b1), tf.mul(g, rest1));
        const v = tf.add(tf.mul(old[2], b2), tf.mul(tf.mul(g, rest2), g));
        const root = tf.add(tf.div(tf.sqrt(v), correction), eps);
        return [tf.sub(tf.mul(old[0], decay), tf.div(tf.mul(m, rate), root)), m, v];
      });
      old.forEach((tensor) => tensor.dispose());
      this.parameters[i] = p;
      this.#moments[i] = [m, v];
    });
    rate.dispose();
    correction.dispose();
  }

  dispose() {
    const tensors = [...this.parameters, ...this.#moments.flat(), ...Object.values(this.#constants)];
    tensors.forEach((tensor) => tensor.dispose());
  }
}

/** The numbers in tensors by name. */
export function read(tensors) {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, tensor.dataSync().slice()]));
}

/** Disposes of tensors by name. */
export function drop(tensors) {
  for (const name in tensors) tensors[name].dispose();
}

/** Tensors that exist. */
export function count() {
  return tf.memory().numTensors;
}
