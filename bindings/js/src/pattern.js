// Patterns of rank_pattern and alpha_pattern. PEFT takes the first key for which Python's re.match(rf"(.*\.)?({key})$", name) holds.
// Keys that mean the same here are taken, all others are refused; so is what could take forever.

/**
 * A test for names, or what is wrong with the key.
 * @param {string} key
 * @returns {{ matches: (name: string) => boolean } | { flaw: string }}
 */
export function pattern(key) {
  try {
    new Scan(key).run();
    const regex = new RegExp(`^(?:.*\\.)?(?:${key})$`);
    return { matches: (name) => regex.test(name) };
  } catch (error) {
    return { flaw: /** @type {Error} */ (error).message };
  }
}

/** A key that matches this name and no other. Without the `^`, names that end in this one behind a dot would match as well. @param {string} name */
export const exactly = (name) => `^${escape(name)}`;

/** @param {string} name */
export const escape = (name) => name.replace(/[\\.+*?()|[\]{}^$#&\-~]/g, '\\$&');

const GRAPHIC = /^[!-~]$/;
const PUNCTUATION = /^[!-/:-@[-`{-~]$/;

class Scan {
  #rest;

  /** @param {string} key */
  constructor(key) {
    this.#rest = [...key];
  }

  run() {
    let [depth, after] = [0, ''];
    for (let c = this.#rest.shift(); c !== undefined; c = this.#rest.shift()) {
      if (c === '\\') this.#escape();
      else if (c === '[') this.#set();
      else if (c === '(') {
        depth++;
        this.#group();
      } else if (c === ')') {
        if (--depth < 0) throw new Error('a `)` without `(`');
      } else if ('*+?{'.includes(c)) {
        if (after === ')' && c !== '?') throw new Error(`a \`${c}\` behind a group`);
        if (c === '{') this.#count();
        this.#afterQuantifier();
      } else if (c === ']' || c === '}') throw new Error(`a \`${c}\` alone`);
      else if (!GRAPHIC.test(c)) throw new Error(`the character ${JSON.stringify(c)}`);
      after = c;
    }
    if (depth > 0) throw new Error('a `(` without `)`');
  }

  #escape() {
    const c = this.#rest.shift();
    if (c === undefined) throw new Error('a `\\` at its end');
    if (c !== 'd' && c !== 'w' && (!PUNCTUATION.test(c) || c === '<' || c === '>')) throw new Error(`the escape \`\\${c}\``);
  }

  #group() {
    if (this.#rest[0] !== '?') return;
    if (this.#rest[1] !== ':') throw new Error('a group `(?…` other than `(?:…`');
    this.#rest.splice(0, 2);
  }

  /** `[` was there. Nested and combined sets mean something in some languages only. */
  #set() {
    if (this.#rest[0] === '^') this.#rest.shift();
    for (let last = ''; ;) {
      const c = this.#rest.shift();
      if (c === undefined) throw new Error('a `[` without `]`');
      if (c === ']' && last === '') throw new Error('an empty `[]`');
      if (c === ']') return;
      if (c === '[') throw new Error('a `[` inside of `[…]`');
      if ('&-~'.includes(c) && c === last) throw new Error(`\`${c}${c}\` inside of \`[…]\``);
      if (c === '\\') this.#escape();
      else if (!GRAPHIC.test(c)) throw new Error(`the character ${JSON.stringify(c)}`);
      last = c;
    }
  }

  #count() {
    const end = this.#rest.indexOf('}');
    const text = this.#rest.splice(0, end + 1).join('');
    if (!/^\d+(,\d*)?\}$/.test(text)) throw new Error('a `{` that is not `{m}`, `{m,}` or `{m,n}`');
  }

  /** A lazy quantifier matches the same names; a possessive one does not. */
  #afterQuantifier() {
    if (this.#rest[0] === '?') this.#rest.shift();
    if ('*+?{'.includes(this.#rest[0] ?? ' ')) throw new Error('two quantifiers in a row');
  }
}
