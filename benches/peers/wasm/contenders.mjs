// Everybody who can compute a case: { name, variant, run, result, expected, dispose }. `result` computes it once and returns
// the matrices by name; `expected` says which of them `check.mjs` knows, and as what.
import { Layer, drop, read } from './tfjs.mjs';

/** `src/lib.rs` has the same two. */
export const OPTIONS = {
  scale: 2,
  adamw: { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 1e-2 },
};

/** The operation of ours in the first place, then other ways to it. */
const OURS = {
  base: { '': 'packed', rows: 'rows' },
  'thin A': { '': 'inner', packed: 'packedNoBias' },
  'thin B': { '': 'rowsNoBias', packed: 'packedNoBias' },
  forward: { '': 'forward' },
  step: { '': 'step' },
};

const RESULTS = {
  inner: { inner: 'product' },
  packed: { y: 'productWithBias' },
  rows: { y: 'productWithBias' },
  packedNoBias: { y: 'product' },
  rowsNoBias: { y: 'product' },
  forward: { y: 'y' },
  step: { y: 'y', dx: 'dx', da: 'da', db: 'db' },
};

/** lowrank, in one of its builds. A step changes the adapter, so `result` is right only once. */
export function ours(name, library, { kind, sizes }) {
  return Object.entries(OURS[kind]).map(([variant, operation]) => {
    const layer = library.layer(sizes);
    const run = layer.operations[operation];
    const names = [...Object.keys(RESULTS[operation]), ...(kind === 'step' ? ['a', 'b'] : [])];
    const bytes = layer.bytes();
    return {
      name, variant, run,
      matrices: layer.matrices,
      expected: RESULTS[operation],
      result() {
        layer.clear();
        run();
        return Object.fromEntries(names.map((name) => [name, layer.matrices[name].slice()]));
      },
      dispose() {
        if (layer.bytes() !== bytes) throw new Error(`${name}: took memory after create`);
      },
    };
  });
}

/** TensorFlow.js. Disposing of what an operation returns is timed with it: whoever calls it in a loop has to. */
export function theirs({ kind, sizes }, matrices) {
  const layer = new Layer(sizes, matrices, OPTIONS);
  const contender = (variant, operation, expected) => ({
    name: 'tfjs', variant, expected,
    run: () => drop(operation()),
    result: () => readAndDrop(operation()),
    dispose() {},
  });
  const list = [];
  if (kind === 'forward') {
    list.push(...['scaled', 'scaledOnce'].map((variant) => contender(variant, layer.forward(variant), RESULTS.forward)));
  } else if (kind === 'step') {
    const { operation, parameters, dispose } = layer.step();
    const result = () => ({ ...readAndDrop(operation()), ...read(parameters()) });
    list.push({ ...contender('', operation, RESULTS.step), result, dispose });
  } else {
    list.push(contender('flag', layer.product('flag'), { y: 'product' }));
    list.push(contender('matMul', layer.product('matMul'), { y: 'product' }));
    if (kind === 'base') list.push(contender('fused', layer.product('fused'), { y: 'productWithBias' }));
    list.push({ name: 'XNNPACK', variant: '', expected: { y: 'product' }, ...layer.xnnpack() });
  }
  return { list, dispose: () => [...list, layer].forEach((each) => each.dispose()) };
}

function readAndDrop(tensors) {
  const result = read(tensors);
  drop(tensors);
  return result;
}
