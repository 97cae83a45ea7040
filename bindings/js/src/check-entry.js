// Entries on their way into a file.
import { checked } from './entry.js';
import { boolean, object } from './error.js';
import { textOf } from './text.js';

/** @typedef {import('./layer.js').Entry} Entry */

/**
 * Throws unless this is an entry that a file can hold: of the right types and lengths, with a name, and finite.
 * @param {Entry} entry
 */
export function checkEntry(entry) {
  const { name, fanInFanOut = false } = object('entries', entry);
  textOf('name', name);
  checked(entry);
  boolean('fanInFanOut', fanInFanOut);
}
