import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { parse } from 'lowrank/files';
import { connect } from 'lowrank/worker';
import { Rng, rejected } from './support.js';

const SOURCE = `
import { parentPort } from 'node:worker_threads';
import { serve } from '${new URL('../dist/worker.js', import.meta.url)}';
import { handlers } from '${new URL('../examples/worker.js', import.meta.url)}';
serve({
  ...handlers,
  async forever(_, { signal, pause, progress }) {
    let rounds = 0;
    while (!signal.aborted) { progress(++rounds); await pause(); }
    return rounds;
  },
  part: () => new Float32Array(new ArrayBuffer(1 << 20), 16, 4).fill(3),
  fails() { throw new RangeError('out of luck'); },
}, parentPort);
`;
const thread = new Worker(new URL(`data:text/javascript,${encodeURIComponent(SOURCE)}`), { type: 'module' });
const worker = connect(thread);
after(() => thread.terminate());

const input = () => ({
  inputs: 8, outputs: 3, weights: new Rng(1).floats(24), x: new Rng(2).floats(32), labels: Uint32Array.of(0, 1, 2, 1), steps: 50,
});

test('trains in a worker, reports on the way, and moves its buffers', async () => {
  const data = input();
  const seen = [];
  const { steps, file } = await worker.call('train', data, { progress: (report) => seen.push(report) });
  assert.equal(data.x.length, 0, 'the input was copied, not moved');
  assert.equal(steps, 50);
  assert.deepEqual(seen.map(({ step }) => step), [0, 10, 20, 30, 40]);
  assert.ok(seen.at(-1).loss < seen[0].loss);
  assert.equal((await parse(file)).layers[0].rank, 4);
});

test('an error of the worker is the same error here', async () => {
  await rejected(worker.call('train', { ...input(), outputs: 4 }), 'Length', 'weights');
  await rejected(worker.call('trane'), 'Unknown', 'name');
  await assert.rejects(worker.call('fails'), { message: 'out of luck' });
});

test('a call stops when it is told to', async () => {
  const controller = new AbortController();
  let last = 0;
  const progress = (rounds) => {
    last = rounds;
    if (rounds === 5) controller.abort();
  };
  const rounds = await worker.call('forever', undefined, { progress, signal: controller.signal });
  assert.ok(rounds >= 5 && last === rounds, `${rounds} rounds`);
});

test('of an array that is a part of something only the part is sent', async () => {
  const part = await worker.call('part');
  assert.deepEqual([...part, part.buffer.byteLength], [3, 3, 3, 3, 16]);
});
