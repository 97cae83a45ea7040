// lowrank: a module of `src/lib.rs`, and what it can compute.
import { readFile } from 'node:fs/promises';

/** The matrices of a layer with their shapes, in the order of `matrix` in `src/lib.rs`. */
const MATRICES = {
  w: (s) => [s.outputs, s.inputs],
  bias: (s) => [1, s.outputs],
  a: (s) => [s.rank, s.inputs],
  b: (s) => [s.outputs, s.rank],
  x: (s) => [s.tokens, s.inputs],
  dy: (s) => [s.tokens, s.outputs],
  y: (s) => [s.tokens, s.outputs],
  inner: (s) => [s.tokens, s.outputs],
  dx: (s) => [s.tokens, s.inputs],
  da: (s) => [s.rank, s.inputs],
  db: (s) => [s.outputs, s.rank],
};

/** A compiled module. */
export class Library {
  static async load(file) {
    const module = await WebAssembly.compile(await readFile(file));
    if (WebAssembly.Module.imports(module).length > 0) throw new Error(`${file} imports something`);
    return new Library(module);
  }

  constructor(module) {
    this.module = module;
    const { memory, name, name_len, panel_width } = new WebAssembly.Instance(module).exports;
    this.backend = Buffer.from(memory.buffer, name(), name_len()).toString('latin1');
    this.panelWidth = panel_width();
  }

  /** A layer of these sizes, in an instance of its own. */
  layer(sizes) {
    return new Layer(new WebAssembly.Instance(this.module).exports, sizes);
  }
}

/** A layer. Its memory is laid out here, and has to stay as it is. */
class Layer {
  constructor(exports, sizes) {
    const layer = exports.create(sizes.outputs, sizes.inputs, sizes.rank, sizes.tokens);
    if (layer === 0) throw new Error('no such layer');
    const { product, inner, forward_pass, step } = exports;
    this.clear = () => exports.clear(layer);
    this.bytes = () => exports.memory.buffer.byteLength;
    this.matrices = Object.fromEntries(Object.entries(MATRICES).map(([name, shape], i) => {
      const [rows, cols] = shape(sizes);
      return [name, new Float32Array(exports.memory.buffer, exports.matrix(layer, i), rows * cols)];
    }));
    const checked = (operation) => () => {
      if (operation() !== 0) throw new Error('lowrank returned an error');
    };
    this.operations = {
      packed: checked(() => product(layer, 1, 1)),
      rows: checked(() => product(layer, 0, 1)),
      packedNoBias: checked(() => product(layer, 1, 0)),
      rowsNoBias: checked(() => product(layer, 0, 0)),
      inner: checked(() => inner(layer)),
      forward: checked(() => forward_pass(layer)),
      step: checked(() => step(layer)),
    };
  }
}
