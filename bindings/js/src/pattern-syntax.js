// The part of Python's regular expressions that keys of rank_pattern and alpha_pattern may be written in. Names need no more than that:
// look-around, references, flags, possessive quantifiers, and classes with a name other than \d and \w are refused, as is what Python
// refuses, or takes with a warning that it will mean something else.

/** @typedef {(code: number) => boolean} Test of a character */
/** @typedef {{ kind: 'one', test: Test }} One */
/** @typedef {{ kind: 'repeat', of: Node, least: number, most: number }} Repeat */
/** @typedef {One | Repeat | { kind: 'start' | 'end' } | { kind: 'row' | 'any', of: Node[] }} Node */

/** Characters of a key, when its counted repeats are written out. */
const LARGEST = 10_000;
const DEEPEST = 50;

export const codeOf = (/** @type {string} */ c) => /** @type {number} */ (c.codePointAt(0));
export const NEWLINE = codeOf('\n');

const between = (/** @type {string} */ least, /** @type {string} */ most) =>
  (/** @type {number} */ code) => codeOf(least) <= code && code <= codeOf(most);
const anyOf = (/** @type {Test[]} */ tests) => (/** @type {number} */ code) => tests.some((test) => test(code));

/** Of ASCII: a name beyond it is not to be matched with these. @type {Record<string, Test>} */
const NAMED = {
  d: between('0', '9'),
  w: anyOf([between('0', '9'), between('A', 'Z'), between('a', 'z'), between('_', '_')]),
};

/**
 * Reads a key.
 * @param {string} key
 * @returns {{ tree: Node, size: number, classes: boolean }} characters when its repeats are written out; whether it has \d or \w
 * @throws {Error} that says what is wrong with it
 */
export function parse(key) {
  const parser = new Parser(key);
  const tree = parser.any(0);
  if (parser.next !== undefined) throw new Error('a `)` without `(`');
  const size = sizeOf(tree);
  if (size > LARGEST) throw new Error(tooLarge);
  return { tree, size, classes: parser.classes };
}

const tooLarge = `more than ${LARGEST} characters when its repeats are written out`;

/** At least 1 for each repeat of nothing, which takes time, too. @param {Node} node @returns {number} */
function sizeOf(node) {
  if (node.kind === 'repeat') return sizeOf(node.of) * Math.max(1, node.least, node.most === Infinity ? 1 : node.most);
  if (node.kind === 'row' || node.kind === 'any') return Math.max(1, node.of.reduce((sum, each) => sum + sizeOf(each), 0));
  return 1;
}

class Parser {
  #rest;
  #at = 0;
  classes = false;

  /** @param {string} key */
  constructor(key) {
    this.#rest = [...key];
  }

  /** @returns {string | undefined} */
  get next() {
    return this.#rest[this.#at];
  }

  /** Whether this character was next. @param {string} c */
  #took(c) {
    if (this.next !== c) return false;
    this.#at++;
    return true;
  }

  /** @param {string} flaw of a key that ends here */
  #take(flaw) {
    const c = this.next;
    if (c === undefined) throw new Error(flaw);
    this.#at++;
    return c;
  }

  /** Alternatives. @param {number} depth @returns {Node} */
  any(depth) {
    if (depth > DEEPEST) throw new Error(`more than ${DEEPEST} groups inside of each other`);
    const of = [this.#row(depth)];
    while (this.#took('|')) of.push(this.#row(depth));
    return of.length === 1 ? of[0] : { kind: 'any', of };
  }

  /** @param {number} depth @returns {Node} */
  #row(depth) {
    /** @type {Node[]} */
    const of = [];
    while (this.next !== undefined && this.next !== '|' && this.next !== ')') {
      const [quantifier, times] = [this.next, this.#times()];
      of.push(times ? this.#repeat(of.pop(), times, quantifier) : this.#one(depth));
    }
    return { kind: 'row', of };
  }

  /** How often the node before is to come, if a quantifier is next. @returns {[least: number, most: number] | undefined} */
  #times() {
    if (this.#took('*')) return [0, Infinity];
    if (this.#took('+')) return [1, Infinity];
    if (this.#took('?')) return [0, 1];
    if (this.next !== '{') return undefined;
    const start = this.#at++;
    const digits = () => {
      let text = '';
      while (/^\d$/.test(this.next ?? '')) text += this.#rest[this.#at++];
      return text;
    };
    const least = digits();
    const most = this.#took(',') ? digits() : least;
    if (!this.#took('}') || this.#at === start + 2) {
      this.#at = start;
      return undefined;
    }
    if (Number(least) > LARGEST || Number(most) > LARGEST) throw new Error(tooLarge);
    if (most !== '' && Number(most) < Number(least)) throw new Error(`a repeat of at least ${least} and at most ${most}`);
    return [Number(least), most === '' ? Infinity : Number(most)];
  }

  /**
   * @param {Node | undefined} of
   * @param {[least: number, most: number]} times
   * @param {string} quantifier
   * @returns {Node}
   */
  #repeat(of, [least, most], quantifier) {
    if (!of || of.kind === 'start' || of.kind === 'end') throw new Error(`a \`${quantifier}\` with nothing to repeat`);
    if (of.kind === 'repeat') throw new Error('two quantifiers in a row');
    // A lazy quantifier matches the same names; a possessive one does not.
    if (!this.#took('?') && this.next === '+') throw new Error('a possessive quantifier');
    return { kind: 'repeat', of, least, most };
  }

  /** @param {number} depth @returns {Node} */
  #one(depth) {
    const c = this.#take('nothing in it');
    if (c === '(') return this.#group(depth);
    if (c === '[') return this.#set();
    if (c === '^') return { kind: 'start' };
    if (c === '$') return { kind: 'end' };
    if (c === '.') return { kind: 'one', test: (code) => code !== NEWLINE };
    return { kind: 'one', test: c === '\\' ? this.#escape().test : between(c, c) };
  }

  /** `(` was there. @param {number} depth @returns {Node} */
  #group(depth) {
    if (this.#took('?') && !this.#took(':')) throw new Error('a group `(?…` other than `(?:…`');
    const node = this.any(depth + 1);
    if (!this.#took(')')) throw new Error('a `(` without `)`');
    // Of a kind of its own: in Python, the repeat of a group that holds a repeat is no second quantifier.
    return { kind: 'row', of: [node] };
  }

  /** `\` was there. @returns {{ test: Test, literal?: string }} */
  #escape() {
    const c = this.#take('a `\\` at its end');
    if (!/^[0-9A-Za-z]$/.test(c)) return { test: between(c, c), literal: c };
    if (!Object.hasOwn(NAMED, c)) throw new Error(`the escape \`\\${c}\``);
    this.classes = true;
    return { test: NAMED[c] };
  }

  /** `[` was there. A `]` in the first place is one of its characters. @returns {Node} */
  #set() {
    const negated = this.#took('^');
    /** @type {Test[]} */
    const tests = [];
    while (tests.length === 0 || !this.#took(']')) {
      const first = this.#member();
      if (this.next !== '-' || this.#rest[this.#at + 1] === ']') {
        tests.push(first.test);
        continue;
      }
      this.#at++;
      if (this.next === '-') throw new Error('`--` inside of `[…]`');
      const last = this.#member();
      if (first.literal === undefined || last.literal === undefined || codeOf(last.literal) < codeOf(first.literal)) {
        throw new Error('a range inside of `[…]` from or to nothing, or backwards');
      }
      tests.push(between(first.literal, last.literal));
    }
    const inside = anyOf(tests);
    return { kind: 'one', test: negated ? (code) => !inside(code) : inside };
  }

  /** A character of a set, or a class. Python warns that nested and combined sets are to come. @returns {{ test: Test, literal?: string }} */
  #member() {
    const c = this.#take('a `[` without `]`');
    if (c === '[') throw new Error('a `[` inside of `[…]`');
    if ('&-~|'.includes(c) && c === this.next) throw new Error(`\`${c}${c}\` inside of \`[…]\``);
    return c === '\\' ? this.#escape() : { test: between(c, c), literal: c };
  }
}
