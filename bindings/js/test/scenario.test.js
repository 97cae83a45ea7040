import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Scenario, decodeBase, decodeDigits } from '../examples/scenario.js';
import { MODULES, read } from './support.js';

const base = decodeBase(await read('demo/data/base.bin'));
const digits = decodeDigits(await read('demo/data/digits.bin'));

/** Of tests/promises/personalize.rs. */
const DIGESTS = { separate: '413b7e114830f661', fused: '9225dbd07a60eb1a' };

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
