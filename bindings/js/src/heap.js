import { plain } from './arrays.js';
import { LowrankError, shown } from './error.js';
import { arrayKind } from './realm.js';

const PAGE = 65536;
const ALIGN = 16;
/** What is reserved where growing empties views: address space, which the engine fills with pages when they are written. */
const RESERVE = 64 * 2 ** 20;

/**
 * Rows in a block: those of a gradient, or of what the last forward pass wrote, and how many that were.
 * @typedef {{ at: number, bytes: number, cols: number, gradient: boolean, tokens?: (() => number) | undefined }} Rows
 */

/**
 * A piece of the module's memory. `held`: the caller has views of it.
 * @typedef {{ at: number, bytes: number, live: boolean, held: boolean, rows: Rows[] }} Block
 */

/**
 * The module's memory behind its stack and data, handed out in blocks. It grows here and nowhere else, and never under a view that
 * the caller holds: either the engine keeps views alive, or growing is refused.
 */
export class Heap {
  /** @type {{ at: number, bytes: number }[]} Free pieces, ascending, no two of them adjacent. */
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
    this.#free = [{ at, bytes: memory.buffer.byteLength - at }];
    /** Whether views live on when the memory grows. */
    this.lasting = false;
    this.views = new DataView(memory.buffer);
  }

  /**
   * Makes views outlive the growth of the memory where the engine can; elsewhere reserves what growing is going to be refused for.
   * @param {number} [reserve] bytes that are there from the start
   */
  keepViews(reserve) {
    try {
      /** @type {any} */ (this.memory).toResizableBuffer();
      this.lasting = true;
    } catch {
      // An older engine, or a module without a maximum.
    }
    if (reserve !== undefined) this.#ensure(reserve, 'memory');
    else this.spare(RESERVE);
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
    const hole = this.#ensure(size, argument);
    /** @type {Block} */
    const block = { at: hole.at, bytes: size, live: true, held: false, rows: [] };
    hole.at += size;
    hole.bytes -= size;
    this.#free = this.#free.filter((hole) => hole.bytes > 0);
    this.#taken.push(block);
    return block;
  }

  /**
   * Makes a free piece of this size where growing is going to be refused soon, for what comes later. Without it everything works until
   * then.
   * @param {number} bytes
   */
  spare(bytes) {
    if (this.lasting) return;
    try {
      this.#ensure(bytes, 'memory');
    } catch {
      // What needs the memory will say so.
    }
  }

  /**
   * A free piece of at least `size` bytes.
   * @param {number} size
   * @param {string} argument
   */
  #ensure(size, argument) {
    const hole = this.#free.find((hole) => hole.bytes >= size);
    if (hole) return hole;
    this.#grow(size, argument);
    return /** @type {{ at: number, bytes: number }} */ (this.#free.at(-1));
  }

  /** @param {Block} block */
  release(block) {
    if (!block.live) return;
    block.live = false;
    this.#taken = this.#taken.filter((other) => other !== block);
    const holes = [...this.#free, { at: block.at, bytes: block.bytes }].sort((a, b) => a.at - b.at);
    this.#free = holes.reduce((merged, hole) => {
      const last = merged.at(-1);
      if (last && last.at + last.bytes === hole.at) last.bytes += hole.bytes;
      else merged.push(hole);
      return merged;
    }, /** @type {{ at: number, bytes: number }[]} */ ([]));
  }

  /**
   * Makes room for `size` bytes at the end.
   * @param {number} size
   * @param {string} argument
   */
  #grow(size, argument) {
    const end = this.memory.buffer.byteLength;
    const last = this.#free.at(-1);
    const open = last && last.at + last.bytes === end ? last : { at: end, bytes: 0 };
    const pages = Math.ceil((size - open.bytes) / PAGE);
    const more = `the memory would have to grow by ${pages * PAGE} bytes`;
    if (!this.lasting && this.#taken.some(({ held }) => held)) {
      const text = `${more}, which empties the views in use: reserve it with create({ memory: ${end + pages * PAGE} })`;
      throw new LowrankError('Memory', argument, { text });
    }
    try {
      this.memory.grow(pages);
    } catch {
      throw new LowrankError('Memory', argument, { text: `${more}, and the engine has no more` });
    }
    open.bytes += pages * PAGE;
    if (open !== last) this.#free.push(open);
  }

  /**
   * The block that all of a view lies in, and the view without a class of its own.
   * @param {string} argument
   * @param {unknown} given
   * @returns {{ block: Block, view: Float32Array }}
   */
  owner(argument, given) {
    if (arrayKind(given) !== 'Float32Array') {
      throw new LowrankError('Type', argument, { expected: 'a Float32Array in the memory of the module', got: shown(given) });
    }
    const view = plain(argument, given);
    if (view.buffer !== this.memory.buffer) throw new LowrankError('Foreign', argument, { expected: 'a view of the memory of this module' });
    const block = this.#taken.find((block) => within(view, block));
    if (!block) throw new LowrankError('Freed', argument);
    return { block, view };
  }
}

/**
 * Whether a view lies in a piece of memory.
 * @param {Float32Array} view
 * @param {{ at: number, bytes: number }} piece
 */
export function within({ byteOffset, byteLength }, { at, bytes }) {
  return at <= byteOffset && byteOffset + byteLength <= at + bytes;
}
