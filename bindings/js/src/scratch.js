/** Bytes for labels, orders and the like, which do not lie in the module's memory. It grows where they are more. */
const BYTES = 8192;

/** A piece of the module's memory for what one call reads. */
export class Scratch {
  #heap;
  #block;

  /** @param {import('./heap.js').Heap} heap */
  constructor(heap) {
    this.#heap = heap;
    this.#block = heap.take(BYTES, 'module');
  }

  /**
   * Where so many bytes are, until the next call.
   * @param {number} bytes
   * @param {string} argument
   */
  room(bytes, argument) {
    if (bytes > this.#block.bytes) {
      const larger = this.#heap.take(bytes, argument);
      this.#heap.release(this.#block);
      this.#block = larger;
    }
    return this.#block.at;
  }

  /**
   * Where in the module's memory these elements are; they are copied where they lie elsewhere.
   * @param {Uint32Array | Float32Array} elements of no class of their own
   * @param {string} argument
   */
  near(elements, argument) {
    const { memory } = this.#heap;
    if (elements.buffer === memory.buffer) return elements.byteOffset;
    const at = this.room(elements.byteLength, argument);
    new Uint8Array(memory.buffer, at).set(new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength));
    return at;
  }
}
