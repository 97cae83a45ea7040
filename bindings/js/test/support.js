import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { LowrankError, create } from 'lowrank';
import { bytes } from 'lowrank/wasm';

/** Every module that is shipped. */
export const MODULES = {
  'small, scalar': () => create({ simd: false }),
  'small, simd128': () => create({ simd: true }),
  'full, scalar': () => create({ module: bytes('full-scalar') }),
  'full, simd128': () => create({ module: bytes('full-simd128') }),
};

export const ROOT = new URL('../../../', import.meta.url);

/** The bytes of a file of the project, in a buffer of their own. */
export const read = async (path) => new Uint8Array(await readFile(new URL(path, ROOT))).buffer;

/** The command `lowrank` of the project: what it has printed, and how it has ended. */
export function command(...args) {
  const cargo = ['run', '--quiet', '--release', '--package', 'lowrank-tools', '--bin', 'lowrank', '--', ...args];
  return spawnSync('cargo', cargo, { cwd: fileURLToPath(ROOT), encoding: 'utf8', maxBuffer: 2 ** 28 });
}

/** Whether a call throws a LowrankError with this code about this argument. */
export function refused(call, code, argument) {
  assert.throws(call, (error) => matches(error, code, argument));
}

/** The same of a promise. */
export const rejected = (promise, code, argument) => assert.rejects(promise, (error) => matches(error, code, argument));

function matches(error, code, argument) {
  assert.ok(error instanceof LowrankError, `${error.stack}`);
  assert.deepEqual({ code: error.code, argument: error.argument }, { code, argument }, error.message);
  return true;
}

/** Seeded numbers: those of tests/promises/support/data.rs. */
export class Rng {
  #state;

  constructor(seed) {
    this.#state = BigInt(seed);
  }

  next() {
    const u64 = (value) => BigInt.asUintN(64, value);
    this.#state = u64(this.#state + 0x9e3779b97f4a7c15n);
    let z = this.#state;
    z = u64((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = u64((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  }

  below(n) {
    return Number(this.next() % BigInt(n));
  }

  unit() {
    return Number(this.next() >> 40n) / 8388608 - 1;
  }

  floats(length, value = () => this.unit()) {
    const numbers = new Float32Array(length);
    for (let i = 0; i < length; i++) numbers[i] = value(this);
    return numbers;
  }
}

const bits = new DataView(new ArrayBuffer(4));

/** Magnitudes over the whole exponent range, with subnormals and signed zeros. */
export function hostile(rng) {
  switch (rng.below(8)) {
    case 0: return 0;
    case 1: return -0;
    case 2:
      bits.setUint32(0, Number(rng.next() & 0x807fffffn));
      return bits.getFloat32(0);
    case 3: return Math.fround(rng.unit() * Math.fround(1e-30));
    case 4: return Math.fround(rng.unit() * Math.fround(1e30));
    default: return rng.unit();
  }
}

/** FNV-1a over the bits. A NaN counts as one, whatever its sign and payload. */
export function hash(parts) {
  let hash = 0xcbf29ce484222325n;
  for (const part of parts) {
    for (const value of part) {
      bits.setFloat32(0, value, true);
      if (Number.isNaN(value)) bits.setUint32(0, 0x7fc00000, true);
      for (let i = 0; i < 4; i++) hash = BigInt.asUintN(64, (hash ^ BigInt(bits.getUint8(i))) * 0x100000001b3n);
    }
  }
  return hash.toString(16).padStart(16, '0');
}
