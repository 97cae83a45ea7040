import { LowrankError, shown } from './error.js';

/**
 * Where the modules are, for whoever loads, streams or hosts them. `small`: training in separate arithmetic, as small as can
 * be; `full`: every function of the C ABI and both arithmetics, as fast as can be.
 * @type {Readonly<Record<'small-scalar' | 'small-simd128' | 'full-scalar' | 'full-simd128', URL>>}
 */
export const url = {
  'small-scalar': new URL('./small-scalar.wasm', import.meta.url),
  'small-simd128': new URL('./small-simd128.wasm', import.meta.url),
  'full-scalar': new URL('./full-scalar.wasm', import.meta.url),
  'full-simd128': new URL('./full-simd128.wasm', import.meta.url),
};

/**
 * The bytes of a module: over the network, or from the disk where there is one.
 * @param {keyof typeof url} name
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function bytes(name) {
  const from = url[name];
  if (!from) throw new LowrankError('Unknown', 'name', { expected: Object.keys(url).join(', '), got: shown(name) });
  if (from.protocol === 'file:') {
    // Not to be found by bundlers, which would look for it in browsers.
    const disk = ['node:fs', 'promises'].join('/');
    const { readFile } = await import(/* webpackIgnore: true */ /* @vite-ignore */ disk);
    return new Uint8Array(await readFile(from));
  }
  const response = await fetch(from);
  if (!response.ok) throw new LowrankError('Format', 'name', { expected: 'a module', got: `status ${response.status}` });
  return new Uint8Array(await response.arrayBuffer());
}
