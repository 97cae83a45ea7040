// Patterns of rank_pattern and alpha_pattern. PEFT takes the first key for which Python's re.match(rf"(.*\.)?({key})$", name) holds.
//
// A key becomes an automaton that goes through a name from its end, in all ways at once. It visits a state at most once per character,
// so no key takes more steps than it has states, times the length of the name and one. From the end, since names that end alike are fewer.
import { LowrankError } from './error.js';
import { NEWLINE, codeOf, parse } from './pattern-syntax.js';

/** @typedef {import('./pattern-syntax.js').Node} Node */
/** @typedef {import('./pattern-syntax.js').Test} Test */

/** A character to read or a place to be at, and how to go on, in up to two ways. @typedef {{ test?: Test, at?: 'start' | 'end', next: number, or?: number }} State */

/** Steps that are done for one table of patterns, about a second: 1,000 keys and 1,000 names of 40 letters take a ninth of them. */
export const MOST_STEPS = 2 ** 26;

const DOT = codeOf('.');
const DONE = 0;

/** Counts states that were visited. */
export class Work {
  steps = 0;

  /** @param {string} field whose patterns are matched @param {number} [most] */
  constructor(field, most = MOST_STEPS) {
    this.field = field;
    this.most = most;
  }

  step() {
    if (++this.steps > this.most) throw new LowrankError('Unsupported', this.field, { text: `its patterns take more than ${this.most} steps to match` });
  }
}

/** A key that matches this name and no other. Without the `^`, names that end in this one behind a dot would match as well. @param {string} name */
export const exactly = (name) => `^${escape(name)}`;

/** @param {string} name */
export const escape = (name) => name.replace(/[\\.+*?()|[\]{}^$#&\-~]/g, '\\$&');

/** The characters of a name. @param {string} name */
export const codesOf = (name) => Array.from(name, codeOf);

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
    const { tree, size, named } = parse(key);
    /** Characters of the key, when its repeats are written out. */
    this.size = size;
    /** Whether it has \d or \w, which mean more than ASCII in Python. */
    this.named = named;
    this.#first = this.#compile(tree, DONE);
    this.#visits = new Float64Array(this.#states.length);
  }

  /** Number of states. */
  get states() {
    return this.#states.length;
  }

  /**
   * Whether it matches all of a name, or all behind one of its dots.
   * @param {number[]} name
   * @param {Work} work
   */
  matches(name, work) {
    const line = name.indexOf(NEWLINE);
    // `$` holds in front of a line break at the end, too.
    const lastLine = name.at(-1) === NEWLINE ? name.length - 1 : name.length;
    /** @type {number[]} */
    let before = [];
    for (let at = name.length; at >= 0; at--) {
      /** @type {number[]} */
      const now = [];
      this.#visit++;
      if (at === name.length || at === lastLine) this.#enter(this.#first, name, at, now, work);
      for (const state of before) {
        const { test, next } = this.#states[state];
        if (/** @type {Test} */ (test)(name[at])) this.#enter(next, name, at, now, work);
      }
      const done = this.#visits[DONE] === this.#visit;
      // The `.*` in front does not go past a line break.
      if (done && (at === 0 || (name[at - 1] === DOT && (line < 0 || line >= at)))) return true;
      if (now.length === 0 && at <= lastLine) return false;
      before = now;
    }
    return false;
  }

  /**
   * Visits a state and all that follow without a character, and notes those that read one.
   * @param {number} first
   * @param {number[]} name
   * @param {number} at
   * @param {number[]} now
   * @param {Work} work
   */
  #enter(first, name, at, now, work) {
    const stack = [first];
    for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
      if (this.#visits[i] === this.#visit) continue;
      this.#visits[i] = this.#visit;
      work.step();
      const { test, at: place, next, or } = this.#states[i];
      if (test) now.push(i);
      else if (i !== DONE && (!place || isAt(place, name, at))) stack.push(next);
      if (or !== undefined) stack.push(or);
    }
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

/** Python's `^` and `$`. @param {'start' | 'end'} place @param {number[]} name @param {number} at */
const isAt = (place, name, at) =>
  (place === 'start' ? at === 0 : at === name.length || (at === name.length - 1 && name[at] === NEWLINE));
