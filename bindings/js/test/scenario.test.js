import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { create } from 'lowrank';
import { bytes } from 'lowrank/wasm';
import { Scenario, decodeBase, decodeDigits } from '../examples/scenario.js';

const DATA = new URL('../../../demo/data/', import.meta.url);
const read = async (name) => new Uint8Array(await readFile(new URL(name, DATA))).buffer;
const base = decodeBase(await read('base.bin'));
const digits = decodeDigits(await read('digits.bin'));

/** Of tests/personalize.rs. */
const DIGESTS = { separate: '413b7e114830f661', fused: '9225dbd07a60eb1a' };

const MODULES = {
  'small, scalar': () => create({ simd: false }),
  'small, simd128': () => create({ simd: true }),
  'full, scalar': () => create({ module: bytes('full-scalar') }),
  'full, simd128': () => create({ module: bytes('full-simd128') }),
};

for (const [name, load] of Object.entries(MODULES)) {
  const lowrank = await load();
  for (const arithmetic of lowrank.arithmetics) {
    test(`${name}, ${arithmetic}: the whole scenario has the bits of the other targets`, () => {
      const scenario = new Scenario(lowrank, base, digits, { arithmetic });
      assert.ok(scenario.accuracy() <= 0.15);
      while (scenario.step());
      assert.ok(scenario.accuracy() >= 0.84);
      assert.equal(scenario.digest(), DIGESTS[arithmetic]);
      scenario.free();
    });
  }
}
