import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MODULES, Rng } from './support.js';

/** Of scripts/wasm.mjs. The stack is in front of everything else, so that running out of it is a trap. */
const STACK = 65536;
const PATTERN = 0xa5;

for (const [name, load] of Object.entries(MODULES)) {
  test(`${name}: no call takes more than half of the stack`, async () => {
    const lowrank = await load();
    const stack = () => new Uint8Array(lowrank.memory.buffer, 0, STACK);
    const options = { inputs: 130, outputs: 70, rank: 9, tokens: 33, weights: new Rng(1).floats(130 * 70), inputGrads: true };
    const optimizers = lowrank.arithmetics.includes('fused') ? ['adamw', 'momentum', 'in-place'] : ['adamw', 'momentum'];
    stack().fill(PATTERN);
    for (const arithmetic of lowrank.arithmetics) {
      for (const optimizer of optimizers) {
        const layer = lowrank.layer({ ...options, arithmetic, optimizer });
        layer.forward(undefined, new Rng(2).floats(130 * 33));
        layer.softmaxCrossEntropy(new Uint32Array(33));
        if (optimizer !== 'in-place') {
          layer.backward();
          lowrank.clip([layer], 1);
        }
        layer.step(optimizer === 'in-place' ? { maxNorm: 1 } : {});
        layer.merge();
        lowrank.shuffle(new Uint16Array(1000));
      }
    }
    const depth = STACK - stack().findIndex((byte) => byte !== PATTERN);
    assert.ok(depth > 100 && depth <= STACK / 2, `${depth} bytes`);
  });
}
