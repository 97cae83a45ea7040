/** @typedef {'F32' | 'F16' | 'BF16'} FloatType */

export const BYTES = /** @type {const} */ ({ F32: 4, F16: 2, BF16: 2 });

/**
 * Little-endian numbers, widened to 32 bits, which is exact.
 * @param {FloatType} type
 * @param {Uint8Array} bytes
 */
export function widen(type, bytes) {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.byteLength / BYTES[type];
  const bits = new Uint32Array(length);
  for (let i = 0; i < length; i++) {
    if (type === 'F32') bits[i] = data.getUint32(4 * i, true);
    else if (type === 'BF16') bits[i] = data.getUint16(2 * i, true) << 16;
    else bits[i] = binary16(data.getUint16(2 * i, true));
  }
  return new Float32Array(bits.buffer);
}

const WORD = new DataView(new ArrayBuffer(4));

/** The bits of a binary16 in binary32. @param {number} half */
function binary16(half) {
  const [sign, exponent, fraction] = [half >> 15 << 31, half >> 10 & 31, half & 1023];
  if (exponent === 31) return sign | 0x7f800000 | fraction << 13;
  if (exponent > 0) return sign | exponent + 112 << 23 | fraction << 13;
  WORD.setFloat32(0, fraction * 2 ** -24);
  return sign | WORD.getUint32(0);
}
