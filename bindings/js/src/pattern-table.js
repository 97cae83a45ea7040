import { LowrankError } from './error.js';
import { Name, Pattern, Work } from './pattern.js';

/** Characters of all keys of a table, when their repeats are written out: 5,000 keys of 100 characters. */
const LARGEST = 2 ** 19;

/** Whether an object of JavaScript puts a key in front of all others. @param {string} key */
export const isIndex = (key) => /^(0|[1-9]\d{0,9})$/.test(key) && Number(key) < 2 ** 32 - 1;

/** rank_pattern or alpha_pattern. */
export class Table {
  #keys;
  #patterns;
  #work;
  #ordered;
  /** @type {Map<string, { key: string, value: number } | undefined>} */
  #found = new Map();

  /**
   * @param {string} field
   * @param {Map<string, number>} keys
   * @param {boolean} ordered whether they come in the order of the file
   */
  constructor(field, keys, ordered) {
    this.field = field;
    this.#keys = keys;
    this.#ordered = ordered;
    this.#work = new Work(field);
    let size = 0;
    this.#patterns = [...keys].map(([key, value]) => {
      const pattern = compile(field, key);
      size += pattern.size;
      if (size > LARGEST) throw new LowrankError('Unsupported', field, { text: `its patterns have more than ${LARGEST} characters` });
      return { key, value, pattern };
    });
  }

  /**
   * The first key that matches a name, or that is this name.
   * @param {string} name
   */
  find(name) {
    if (!this.#found.has(name)) this.#found.set(name, this.#search(name));
    return this.#found.get(name);
  }

  /** @param {string} text */
  #search(text) {
    const name = new Name(text);
    if (name.codes.some((code) => code > 127) && this.#patterns.some(({ pattern }) => pattern.classes)) {
      throw new LowrankError('Unsupported', text, { text: `a name that is matched by \\d or \\w of ${this.field} has to be ASCII` });
    }
    const matching = (/** @type {{ pattern: Pattern }} */ { pattern }) => pattern.matches(name, this.#work);
    const first = this.#patterns.find(matching);
    if (!first) {
      const value = this.#keys.get(text);
      return value === undefined ? undefined : { key: text, value };
    }
    const { key, value } = first;
    const other = !this.#ordered && this.#patterns.find((each) => isIndex(each.key) !== isIndex(key) && each.value !== value && matching(each));
    if (!other) return { key, value };
    const both = `layer ${text}: ${JSON.stringify(key)} and ${JSON.stringify(other.key)} match`;
    const why = 'an object of JavaScript puts keys that look like integers first; give the text of the file, or a Map';
    throw new LowrankError('Unsupported', this.field, { text: `${both}, and ${why}` });
  }

  /** Keys that none of these names is matched or looked up by. @param {string[]} names */
  unused(names) {
    const used = new Set(names.map((name) => this.find(name)?.key));
    const rest = this.#patterns.filter(({ key }) => !used.has(key));
    const read = rest.length > 0 ? names.map((name) => new Name(name)) : [];
    return rest.filter(({ pattern }) => !read.some((name) => pattern.matches(name, this.#work))).map(({ key }) => key);
  }
}

/** @param {string} field @param {string} key */
function compile(field, key) {
  try {
    return new Pattern(key);
  } catch (error) {
    const shown = JSON.stringify(key.length > 80 ? `${key.slice(0, 80)}…` : key);
    throw new LowrankError('Unsupported', field, { text: `the pattern ${shown} has ${/** @type {Error} */ (error).message}` });
  }
}
