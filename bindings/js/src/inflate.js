/**
 * The bytes of modules that were deflated together.
 * @param {{ deflated: string, lengths: number[] }} inline
 * @param {number} index
 */
export async function inflate({ deflated, lengths }, index) {
  const bytes = Uint8Array.from(atob(deflated), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  const all = await new Response(stream).arrayBuffer();
  const first = lengths.slice(0, index).reduce((sum, length) => sum + length, 0);
  return new Uint8Array(all, first, lengths[index]);
}
