// Adapters on their way into a file.
import { checked } from './adapter.js';
import { boolean, object } from './error.js';
import { textOf } from './text.js';

/** @typedef {import('./layer.js').Adapter} Adapter */

/**
 * Throws unless this is an adapter that a file can hold: of the right types and lengths, with a name, and finite.
 * @param {Adapter} adapter
 */
export function checkEntry(adapter) {
  const { name, fanInFanOut = false } = object('layers', adapter);
  textOf('name', name);
  checked(adapter);
  boolean('fanInFanOut', fanInFanOut);
}
