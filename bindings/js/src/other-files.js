// Files that are often handed in by mistake, by how they begin.
import { LowrankError } from './error.js';

/** @type {[start: RegExp, what: string][]} */
const OTHERS = [
  [/^(PK\u0003\u0004|\u0080[\u0002-\u0005]\u008a\n)/, 'a file of PyTorch (adapter_model.bin, optimizer.pt and the like): save the adapter with '
    + 'safe_serialization=True; the state of an optimizer is no part of it'],
  [/^lowrank\0/, 'an adapter file of lowrank: parse of lowrank/files reads it'],
  [/^GGUF/, 'a file of llama.cpp (GGUF)'],
  [/^version https:\/\/git-lfs/, 'a pointer of Git LFS: the file itself is to be fetched (git lfs pull)'],
  [/^\s*<(!doctype|html|\?xml)/i, 'a page of HTML: the address of the file answers with another one'],
  [/^[^]{3}\0{5}\{/, 'adapter_model.safetensors: are config and tensors swapped?'],
  [/^\s*[{[]/, 'JSON: are config and tensors swapped?'],
];
const OWN = { 'adapter_config.json': OTHERS[6], 'adapter_model.safetensors': OTHERS[5] };

/**
 * Throws where bytes are those of another kind of file.
 * @param {keyof typeof OWN} argument the file that is expected
 * @param {Uint8Array} bytes
 */
export function refuseOther(argument, bytes) {
  const start = String.fromCharCode(...bytes.subarray(0, 40));
  const found = OTHERS.find(([pattern]) => pattern.test(start));
  if (found && found !== OWN[argument]) throw new LowrankError('Format', argument, { text: `this is ${found[1]}` });
}
