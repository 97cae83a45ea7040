import { LowrankError, shown } from './error.js';

const PAGE = 65536;
const ALIGN = 16;

/**
 * A piece of the module's memory.
 * @typedef {{ at: number, bytes: number, live: boolean }} Block
 */

/** The module's memory behind its stack and data, handed out in blocks. It grows here and nowhere else. */
export class Heap {
  /** @type {Block[]} Free pieces, ascending, no two of them adjacent. */
  #free;
  /** @type {Block[]} Taken pieces. */
  #taken = [];

  /**
   * @param {WebAssembly.Memory} memory
   * @param {number} base
   */
  constructor(memory, base) {
    this.memory = memory;
    const at = Math.ceil(base / ALIGN) * ALIGN;
    this.#free = [{ at, bytes: memory.buffer.byteLength - at, live: false }];
    this.views = new DataView(memory.buffer);
  }

  /** A view of all of the memory, made again where it has grown. */
  get data() {
    if (this.views.buffer !== this.memory.buffer) this.views = new DataView(this.memory.buffer);
    return this.views;
  }

  /**
   * @param {number} bytes
   * @param {string} argument what it is for, in errors
   * @returns {Block}
   */
  take(bytes, argument) {
    const size = Math.max(ALIGN, Math.ceil(bytes / ALIGN) * ALIGN);
    let hole = this.#free.find((hole) => hole.bytes >= size);
    if (!hole) {
      this.#grow(size, argument);
      hole = /** @type {Block} */ (this.#free.at(-1));
    }
    const block = { at: hole.at, bytes: size, live: true };
    hole.at += size;
    hole.bytes -= size;
    this.#free = this.#free.filter((hole) => hole.bytes > 0);
    this.#taken.push(block);
    return block;
  }

  /** @param {Block} block */
  release(block) {
    if (!block.live) return;
    block.live = false;
    this.#taken = this.#taken.filter((other) => other !== block);
    const holes = [...this.#free, { at: block.at, bytes: block.bytes, live: false }].sort((a, b) => a.at - b.at);
    this.#free = holes.reduce((merged, hole) => {
      const last = merged.at(-1);
      if (last && last.at + last.bytes === hole.at) last.bytes += hole.bytes;
      else merged.push(hole);
      return merged;
    }, /** @type {Block[]} */ ([]));
  }

  /**
   * Makes room for `size` bytes at the end.
   * @param {number} size
   * @param {string} argument
   */
  #grow(size, argument) {
    const end = this.memory.buffer.byteLength;
    const last = this.#free.at(-1);
    const open = last && last.at + last.bytes === end ? last : { at: end, bytes: 0, live: false };
    const pages = Math.ceil((size - open.bytes) / PAGE);
    try {
      this.memory.grow(pages);
    } catch {
      throw new LowrankError('Memory', argument, { expected: `${pages * PAGE} bytes more`, text: 'out of memory' });
    }
    open.bytes += pages * PAGE;
    if (open !== last) this.#free.push(open);
  }

  /**
   * The block that all of a view lies in.
   * @param {string} argument
   * @param {unknown} view
   * @returns {Block}
   */
  owner(argument, view) {
    if (!ArrayBuffer.isView(view)) {
      throw new LowrankError('Type', argument, { expected: 'a Float32Array in the memory of the module', got: shown(view) });
    }
    const { buffer, byteOffset, byteLength } = view;
    if (buffer !== this.memory.buffer) {
      // A detached buffer has no bytes.
      const code = buffer.byteLength === 0 ? 'Detached' : 'Foreign';
      throw new LowrankError(code, argument, { expected: 'a view of the memory of this module as it is now' });
    }
    const block = this.#taken.find(({ at, bytes }) => at <= byteOffset && byteOffset + byteLength <= at + bytes);
    if (!block) throw new LowrankError('Freed', argument);
    return block;
  }
}
