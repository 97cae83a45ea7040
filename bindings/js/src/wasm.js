import { LowrankError, shown } from './error.js';

/**
 * Where the modules are, for whoever loads, streams or hosts them. `small`: training in separate arithmetic, as small as can
 * be; `full`: every function of the C ABI and both arithmetics, as fast as can be. Addresses are made when they are asked for: a
 * script that a bundler has made may have none of its own.
 * @type {Readonly<Record<'small-scalar' | 'small-simd128' | 'full-scalar' | 'full-simd128', URL>>}
 */
export const url = {
  get 'small-scalar'() { return new URL('./small-scalar.wasm', import.meta.url); },
  get 'small-simd128'() { return new URL('./small-simd128.wasm', import.meta.url); },
  get 'full-scalar'() { return new URL('./full-scalar.wasm', import.meta.url); },
  get 'full-simd128'() { return new URL('./full-simd128.wasm', import.meta.url); },
};

/**
 * The bytes of a module: over the network, or from the disk where there is one.
 * @param {keyof typeof url} name
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function bytes(name) {
  if (!Object.hasOwn(url, name)) {
    throw new LowrankError('Unknown', 'name', { expected: Object.keys(url).join(', '), got: shown(name) });
  }
  const [found, cause] = await load(name).then((bytes) => [bytes], (error) => [undefined, error]);
  if (found && isModule(found)) return found;
  // Not every bundler copies what `new URL(..., import.meta.url)` names; a server may answer with a page instead of a 404.
  const why = cause instanceof Error ? cause.message : 'other bytes are there';
  const text = `${name}.wasm is not beside this script (${why}): an address or a module can come from 'lowrank/${name}.wasm'`;
  throw Object.assign(new LowrankError('NotFound', 'name', { text }), { cause });
}

/** @param {keyof typeof url} name */
async function load(name) {
  const from = url[name];
  if (from.protocol === 'file:') {
    // Not to be found by bundlers, which would look for it in browsers.
    const disk = ['node:fs', 'promises'].join('/');
    const { readFile } = await import(/* webpackIgnore: true */ /* @vite-ignore */ disk);
    return new Uint8Array(await readFile(from));
  }
  const response = await fetch(from);
  if (!response.ok) throw new Error(`status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Whether it begins as WebAssembly does. @param {Uint8Array} bytes */
const isModule = (bytes) => [0, 97, 115, 109].every((byte, i) => bytes[i] === byte);
