import { LowrankError } from './error.js';

/**
 * The bytes of a module, of those that were deflated together.
 * @param {{ deflated: string, lengths: number[] }} inline
 * @param {number} index
 */
export async function inflate({ deflated, lengths }, index) {
  if (typeof DecompressionStream !== 'function') {
    throw new LowrankError('Unsupported', 'DecompressionStream', { text: 'not in this environment, which needs to be given a module' });
  }
  const sum = (/** @type {number[]} */ list) => list.reduce((total, length) => total + length, 0);
  const { readable, writable } = new DecompressionStream('deflate');
  // Not by way of a Blob and a Response, which jsdom has replaced. A fault shows where the bytes are read.
  const writer = writable.getWriter();
  const written = [writer.write(Uint8Array.from(atob(deflated), (letter) => letter.charCodeAt(0))), writer.close()];
  Promise.all(written).catch(() => {});
  const all = new Uint8Array(sum(lengths));
  const reader = readable.getReader();
  for (let [at, part] = [0, await reader.read()]; part.value; at += part.value.length, part = await reader.read()) all.set(part.value, at);
  return all.subarray(sum(lengths.slice(0, index))).subarray(0, lengths[index]);
}
