import { LowrankError } from './error.js';

/** @typedef {import('./heap.js').Block} Block */

/** The views that a layer or a vector has handed out: each is one object as long as its memory lasts. */
export class Views {
  #heap;
  /** @type {Map<string, Float32Array>} */
  #made = new Map();
  /** The views that the caller may hold, the newest of each name. @type {Map<string, Float32Array>} */
  #given = new Map();

  /** @param {import('./heap.js').Heap} heap */
  constructor(heap) {
    this.#heap = heap;
  }

  /**
   * A view for use in here.
   * @param {string} name
   * @param {number} at
   * @param {number} length
   */
  at(name, at, length) {
    const { buffer } = this.#heap.memory;
    const key = `${name} ${length}`;
    const made = this.#made.get(key);
    if (made?.buffer === buffer) return made;
    const view = new Float32Array(buffer, at, length);
    this.#made.set(key, view);
    return view;
  }

  /**
   * A view for the caller. From now on the memory does not grow where that would empty it, until the block is freed.
   * @param {string} name
   * @param {Block} block
   * @param {number} at
   * @param {number} length
   */
  give(name, block, at, length) {
    block.held = true;
    const view = this.at(name, at, length);
    this.#given.set(name, view);
    return view;
  }

  /** Whether the caller holds one of these. @param {string[]} names */
  holds(...names) {
    return names.some((name) => this.#given.has(name));
  }

  /**
   * Throws where a view that the caller holds has lost its memory, which only a growth from outside does: what was written into it
   * since went nowhere.
   * @param {string} [argument] instead of the view's name
   */
  check(argument) {
    for (const [name, { buffer }] of this.#given) {
      if (buffer === this.#heap.memory.buffer) continue;
      throw new LowrankError('Detached', argument ?? name, {
        text: 'memory.grow was called from outside, which emptied this view: get it again, write it again, and reserve with create({ memory })',
      });
    }
  }
}
