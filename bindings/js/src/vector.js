import { LowrankError } from './error.js';
import { Views } from './views.js';

/** Numbers in the module's memory: they are those of `view`, the vector itself has no elements. */
export class Vector {
  /** Number of elements. @readonly @type {number} */
  length;
  #heap;
  #block;
  #views;

  /**
   * @param {import('./heap.js').Heap} heap
   * @param {number} length
   */
  constructor(heap, length) {
    this.#heap = heap;
    this.#block = heap.take(length * 4, 'length');
    this.length = length;
    this.#views = new Views(heap);
    this.#views.at('view', this.#block.at, length).fill(0);
    // `vector[0] = 5` would be lost.
    Object.freeze(this);
  }

  /** The numbers; the same object each time. */
  get view() {
    if (!this.#block.live) throw new LowrankError('Freed', 'vector');
    return this.#views.give('view', this.#block, this.#block.at, this.length);
  }

  /**
   * The view for a call. Throws where the one that was handed out has lost its memory.
   * @internal
   * @param {string} argument
   */
  current(argument) {
    if (!this.#block.live) throw new LowrankError('Freed', 'vector');
    this.#views.check(argument);
    return this.#views.at('view', this.#block.at, this.length);
  }

  /** Gives the memory back. */
  free() {
    this.#heap.release(this.#block);
  }
}
