import { LowrankError, shown } from './error.js';
import { isBuffer, tagged } from './realm.js';

/**
 * A module: its bytes, compiled, or as it comes over the network.
 * @typedef {ArrayBuffer | ArrayBufferView | WebAssembly.Module | Response} ModuleSource
 */

/**
 * Compiles a module of lowrank.
 * @param {unknown} source a `ModuleSource`
 * @param {string} needed a function that the module has to have
 * @returns {Promise<[module: WebAssembly.Module, bytes: number]>} 0 bytes where the source was compiled before
 */
export async function compile(source, needed) {
  const [module, bytes] = tagged(source, 'WebAssembly.Module')
    ? [/** @type {WebAssembly.Module} */ (source), 0] : await compileBytes(await bytesOf(source));
  const imports = WebAssembly.Module.imports(module).length;
  const names = WebAssembly.Module.exports(module).map(({ name }) => name);
  if (imports > 0 || !names.includes(needed)) {
    throw new LowrankError('Format', 'module', { expected: `a module of lowrank with ${needed}`, got: 'another one' });
  }
  return [module, bytes];
}

/** @param {unknown} source */
async function bytesOf(source) {
  let bytes = source;
  if (tagged(source, 'Response')) {
    const response = /** @type {Response} */ (source);
    if (!response.ok) throw new LowrankError('Format', 'module', { expected: 'a module', got: `status ${response.status}` });
    bytes = await response.arrayBuffer();
  }
  if (isBuffer(bytes)) return new Uint8Array(bytes);
  if (ArrayBuffer.isView(bytes)) {
    const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    // Engines refuse memory that is shared, and some a DataView.
    return isBuffer(view.buffer) ? view : view.slice();
  }
  throw new LowrankError('Type', 'module', { expected: 'bytes, a WebAssembly.Module or a Response', got: shown(bytes) });
}

/** @param {Uint8Array<any>} bytes @returns {Promise<[module: WebAssembly.Module, bytes: number]>} */
async function compileBytes(bytes) {
  if (!WebAssembly.validate(bytes)) {
    throw new LowrankError('Format', 'module', { expected: 'WebAssembly that this engine has', got: `${bytes.byteLength} other bytes` });
  }
  try {
    return [await WebAssembly.compile(bytes), bytes.byteLength];
  } catch (cause) {
    // Valid, and refused all the same: by a content security policy, or by a host that takes compiled modules only.
    const why = cause instanceof Error ? cause.message : String(cause);
    const text = `no WebAssembly can be compiled from bytes here (${why}); a WebAssembly.Module can be given`;
    throw Object.assign(new LowrankError('Unsupported', 'module', { text }), { cause });
  }
}
