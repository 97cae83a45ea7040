// Adapters and their files, made by hand.
import { crc32 } from 'node:zlib';
import { Rng } from './support.js';

export const PREFIX = 'base_model.model.';

/** The bytes of a safetensors file: [name, dtype, shape, bytes]. */
export function safetensors(tensors, change = (header) => header) {
  let end = 0;
  const entries = tensors.map(([name, dtype, shape, bytes]) => {
    const info = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
    return [name, info];
  });
  const json = new TextEncoder().encode(JSON.stringify(change(Object.fromEntries(entries))));
  const length = new Uint8Array(new BigUint64Array([BigInt(json.length)]).buffer);
  return new Uint8Array(Buffer.concat([length, json, ...tensors.map(([, , , bytes]) => bytes)]));
}

/** A tensor of random numbers. */
export const tensor = (name, shape, dtype = 'F32') => {
  const count = shape.reduce((a, b) => a * b, 1);
  return [PREFIX + name, dtype, shape, new Uint8Array(new Rng(count).floats(count).buffer).slice(0, count * (dtype === 'F32' ? 4 : 2))];
};

/** A and B of a layer. */
export const pair = (name, rank = 1, inputs = 1, outputs = 1) =>
  [tensor(`${name}.lora_A.weight`, [rank, inputs]), tensor(`${name}.lora_B.weight`, [outputs, rank])];

/** The two files of an adapter with these layers of rank 1. */
export const files = (names, config = {}) =>
  ({ config: { peft_type: 'LORA', r: 1, ...config }, tensors: safetensors(names.flatMap((name) => pair(name))) });

/** An adapter that is in no file. */
export const adapter = (name, { rank = 1, inputs = 2, outputs = 3, scale = { mode: 'alpha', alpha: 1 }, ...rest } = {}) =>
  ({ name, rank, inputs, outputs, scale, a: new Rng(1).floats(rank * inputs), b: new Rng(2).floats(outputs * rank), ...rest });

/** An adapter file in which one number is replaced by another one, with checksums that are right. */
export function replaced(file, from, to) {
  const view = new DataView(file.slice().buffer);
  const at = Array.from({ length: file.length / 4 }, (_, i) => 4 * i).find((i) => view.getFloat32(i, true) === from);
  view.setFloat32(at, to, true);
  const [payload, header] = [new Uint8Array(view.buffer, 64), new Uint8Array(view.buffer, 0, 60)];
  view.setUint32(56, crc32(payload), true);
  view.setUint32(60, crc32(header), true);
  return new Uint8Array(view.buffer);
}
