// Patterns of rank_pattern and alpha_pattern. PEFT takes the first key for which Python's re.match(rf"(.*\.)?({key})$", name) holds.
//
// A key becomes an automaton that goes through a name from its end, in all ways at once. It visits a state at most once per character,
// so no key takes more steps than it has states, times the length of the name and one. From the end, since names that end alike are fewer.
import { LowrankError } from './error.js';
import { NEWLINE, codeOf, parse } from './pattern-syntax.js';

/** @typedef {import('./pattern-syntax.js').Node} Node */
/** @typedef {import('./pattern-syntax.js').Test} Test */

/**
 * A character to read or a place to be at, and how to go on, in up to two ways.
 * @typedef {{ test?: Test, at?: 'start' | 'end', next: number, or?: number }} State
 */

/** Steps that are done for one table of patterns, a few seconds: 1,000 keys and 1,000 names of 40 letters take 8 million. */
export const MOST_STEPS = 2 ** 28;

const DOT = codeOf('.');
const DONE = 0;

/** Counts states that are visited, and has room for lists of them. */
export class Work {
  steps = 0;
  now = new Int32Array();
  before = new Int32Array();
  stack = new Int32Array();

  /** @param {string} field whose patterns are matched @param {number} [most] */
  constructor(field, most = MOST_STEPS) {
    this.field = field;
    this.most = most;
  }

  /** Makes room for an automaton. @param {number} states */
  reserve(states) {
    if (this.now.length >= states) return;
    [this.now, this.before, this.stack] = [new Int32Array(states), new Int32Array(states), new Int32Array(2 * states)];
  }

  step() {
    if (++this.steps <= this.most) return;
    throw new LowrankError('Unsupported', this.field, { text: `its patterns take more than ${this.most} steps to match` });
  }
}

/**
 * A key that matches this name and no other. Without the `^`, names that end in this one behind a dot would match as well.
 * @param {string} name
 */
export const exactly = (name) => `^${escape(name)}`;

/** @param {string} name */
export const escape = (name) => name.replace(/[\\.+*?()|[\]{}^$#&\-~]/g, '\\$&');

/** A name, ready to be matched. */
export class Name {
  /** @param {string} name */
  constructor(name) {
    /** Its characters. */
    this.codes = Array.from(name, codeOf);
    const { codes } = this;
    const line = codes.indexOf(NEWLINE);
    /** Where the `.*` in front of a key has to end: it does not go past a line break. */
    this.line = line < 0 ? codes.length : line;
    /** Where Python's `$` holds beside the end: in front of a line break that ends the name. */
    this.last = codes.at(-1) === NEWLINE ? codes.length - 1 : codes.length;
  }
}

/** A key, ready to be matched. */
export class Pattern {
  /** @type {State[]} */
  #states = [{ next: DONE }];
  #first;
  /** The visit of each state that was the last one. */
  #visits;
  #visit = 0;
  /** @param {string} key @throws {Error} that says what is wrong with it */
  constructor(key) {
    const { tree, size, classes } = parse(key);
    /** Characters of the key, when its repeats are written out. */
    this.size = size;
    /** Whether it has \d or \w, which mean more than ASCII in Python. */
    this.classes = classes;
    this.#first = this.#compile(tree, DONE);
    this.#visits = new Float64Array(this.#states.length);
  }

  /** Number of states. */
  get states() {
    return this.#states.length;
  }

  /**
   * Whether it matches all of a name, or all behind one of its dots.
   * @param {Name} name
   * @param {Work} work
   */
  matches(name, work) {
    const { codes, line, last } = name;
    work.reserve(this.#states.length);
    for (let [at, count, older] = [codes.length, 0, 0]; at >= 0; at--, older = count, count = 0) {
      const { now, before } = work;
      this.#visit++;
      if (at >= last) count = this.#enter(this.#first, at, count, name, work);
      for (let i = 0; i < older; i++) {
        const { test, next } = this.#states[before[i]];
        if (/** @type {Test} */ (test)(codes[at])) count = this.#enter(next, at, count, name, work);
      }
      if (this.#visits[DONE] === this.#visit && (at === 0 || (codes[at - 1] === DOT && at <= line))) return true;
      if (count === 0 && at <= last) return false;
      [work.now, work.before] = [before, now];
    }
    return false;
  }

  /**
   * Visits a state and all that follow without a character, and notes those that read one.
   * @param {number} first
   * @param {number} at
   * @param {number} count of those that are noted already
   * @param {Name} name
   * @param {Work} work
   */
  #enter(first, at, count, { last }, work) {
    const { now, stack } = work;
    stack[0] = first;
    for (let top = 1; top > 0;) {
      const i = stack[--top];
      if (this.#visits[i] === this.#visit) continue;
      this.#visits[i] = this.#visit;
      work.step();
      const { test, at: place, next, or } = this.#states[i];
      if (test) now[count++] = i;
      else if (i !== DONE && (!place || (place === 'start' ? at === 0 : at >= last))) stack[top++] = next;
      if (or !== undefined) stack[top++] = or;
    }
    return count;
  }

  /** @param {State} state */
  #add(state) {
    return this.#states.push(state) - 1;
  }

  /**
   * Adds the states of a node, the last of them first.
   * @param {Node} node
   * @param {number} next
   * @returns {number} the state to begin with
   */
  #compile(node, next) {
    switch (node.kind) {
      case 'one': return this.#add({ test: node.test, next });
      case 'row': return node.of.reduce((after, each) => this.#compile(each, after), next);
      case 'any': return node.of.map((each) => this.#compile(each, next)).reduce((or, each) => this.#add({ next: each, or }));
      case 'repeat': return this.#repeat(node, next);
      default: return this.#add({ at: node.kind, next });
    }
  }

  /** @param {import('./pattern-syntax.js').Repeat} node @param {number} next */
  #repeat({ of, least, most }, next) {
    let entry = next;
    if (most === Infinity) {
      entry = this.#add({ next });
      this.#states[entry].or = this.#compile(of, entry);
    } else {
      for (let i = least; i < most; i++) entry = this.#add({ next, or: this.#compile(of, entry) });
    }
    for (let i = 0; i < least; i++) entry = this.#compile(of, entry);
    return entry;
  }
}
