import { LowrankError } from './error.js';

/** @typedef {typeof import('./files.js')} Files */

/** @type {Pick<Files, 'emit' | 'parse'> | undefined} */
let here;

/** What `lowrank/files` says when it is loaded, so that layers need no `import()`. @param {NonNullable<typeof here>} files */
export function register(files) {
  here = files;
}

/** The code for adapter files: the one that is there, or it is loaded. */
export async function codec() {
  try {
    return here ?? await import('./files.js');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const text = `could not be loaded (${why}); with a static import 'lowrank/files' it is there from the start`;
    throw Object.assign(new LowrankError('Missing', 'lowrank/files', { text }), { cause });
  }
}
