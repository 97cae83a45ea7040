// A worker that trains a layer: `const { adapter } = await connect(worker).call('train', { inputs, outputs, weights, x, labels })`.
import { create } from 'lowrank';
import { serve } from 'lowrank/worker';

/** @typedef {typeof handlers} Handlers for `connect<Handlers>(worker)` */

export const handlers = {
  /**
   * @param {{ inputs: number, outputs: number, weights: Float32Array, x: Float32Array, labels: Uint32Array, steps?: number }} data
   * @param {import('lowrank/worker').Context} context
   */
  async train({ inputs, outputs, weights, x, labels, steps = 100 }, { progress, pause, signal }) {
    const lowrank = await create();
    const layer = lowrank.layer({ inputs, outputs, rank: 4, tokens: labels.length, weights });
    layer.x.set(x);
    for (let step = 0; step < steps && !signal.aborted; step++) {
      layer.forward();
      const loss = layer.softmaxCrossEntropy(labels);
      layer.backward();
      layer.step({ learningRate: 0.05 });
      if (step % 10 === 0) {
        progress({ step, loss });
        await pause();
      }
    }
    return { steps: layer.steps, file: await layer.save() };
  },
};

if (typeof WorkerGlobalScope !== 'undefined') serve(handlers);
