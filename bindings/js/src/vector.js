import { LowrankError } from './error.js';
import { Views } from './views.js';

/** Numbers in the module's memory. */
export class Vector {
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
    /** Number of elements. */
    this.length = length;
    this.#views = new Views(heap);
    this.#views.at('view', this.#block.at, length).fill(0);
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
