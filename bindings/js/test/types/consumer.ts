// Compiled by scripts/check-npm.sh: what a program in TypeScript sees of the package.
import {
  Lowrank, LowrankError, create, type Code, type CreateOptions, type Labels, type Layer, type LayerOptions, type StepOptions, type Vector,
} from 'lowrank';
import { type Contents, parse, saveAll } from 'lowrank/files';
import { readPeft, writePeft } from 'lowrank/peft';
import { bytes, url } from 'lowrank/wasm';
import { connect, serve, type CallOptions, type Connection, type Context, type Handlers } from 'lowrank/worker';

const handlers = {
  train({ weights }: { weights: Float32Array }, { progress, signal }: Context) {
    progress({ stopped: signal.aborted });
    return { steps: weights.length };
  },
  async load(name: string) { return name.length; },
  ready: () => true,
};

interface Trainer {
  train(input: { weights: Float32Array }, context: Context): Promise<{ steps: number }>;
  ready(): boolean;
  readonly version: string;
}
type Alias = { train(input: { weights: Float32Array }): { steps: number }; ready(): boolean };
class Served {
  #steps = 0;
  train({ weights }: { weights: Float32Array }) { return { steps: this.#steps += weights.length }; }
  async ready() { return true; }
}
interface OnlyHandlers { ready(): boolean }

export async function main(): Promise<void> {
  const lowrank: Lowrank = await create({ simd: 'auto', module: bytes('full-simd128') });
  const flavour: 'scalar' | 'simd128' = lowrank.flavour;
  const arithmetics: ('separate' | 'fused')[] = lowrank.arithmetics;
  const weights = new Float32Array(6);
  const layer: Layer = lowrank.layer({ inputs: 2, outputs: 3, rank: 1, tokens: 4, weights, optimizer: 'momentum', seed: 3n });
  const vector: Vector = lowrank.array(12);
  const y: Float32Array = layer.forward(2, new Float32Array(4));
  const loss: number = lowrank.softmaxCrossEntropy(vector, Uint32Array.of(1, 2, 0, 1), vector, { classes: 3, mean: lowrank.meanLoss(4) });
  const labels: Labels = [1, 2];
  const mean: number = layer.softmaxCrossEntropy(labels, lowrank.meanLoss(2)) + layer.meanSquaredError(vector);
  layer.backward(2, { accumulate: true, dy: y });
  layer.step({ learningRate: 0.1, momentum: 0.9 });
  const file: Uint8Array = await saveAll({ layer });
  const contents: Contents = await parse(file);
  const again = readPeft(writePeft(contents.entries));
  layer.resume(again.entries[0]!);
  const address: URL = url['small-scalar'];
  serve({ train: async (_input, { pause }) => pause() });
  serve(handlers);
  const anything: Connection<Handlers> = connect(new Worker(address));
  const result: unknown = await anything.call('train', { weights });
  await anything.call('ready');
  const worker = connect<typeof handlers>(new Worker(address));
  const options: CallOptions = { signal: new AbortController().signal, transfer: [weights.buffer], progress: (value) => value };
  const { steps }: { steps: number } = await worker.call('train', { weights }, options);
  const length: number = await worker.call('load', 'name');
  const ready: boolean = await worker.call('ready');
  // @ts-expect-error: no such handler
  await worker.call('trane', { weights });
  // @ts-expect-error: an input of another type
  await worker.call('load', 5);
  // @ts-expect-error: an input is needed
  await worker.call('load');
  // @ts-expect-error: a result of another type
  const wrong: string = await worker.call('ready');
  worker.close();
  worker.terminate();
  const byInterface = connect<Trainer>(new Worker(address));
  const byClass: Connection<Served> = connect<Served>(new Worker(address));
  for (const each of [byInterface, connect<Alias>(new Worker(address)), byClass]) each.close();
  const counted: number = (await byInterface.call('train', { weights })).steps + (await byClass.call('train', { weights })).steps;
  const both: boolean = await byInterface.call('ready') && await byClass.call('ready');
  // @ts-expect-error: what is no function is no handler
  await byInterface.call('version');
  // @ts-expect-error: an input of another type
  await byInterface.call('train', { weights: [counted, both] });
  // @ts-expect-error: no such method
  await byClass.call('trane');
  const only: OnlyHandlers = { ready: () => true };
  serve(only);
  serve(new Served());
  // @ts-expect-error: a handler is a function
  serve({ train: 5 });
  const made: LayerOptions = { inputs: 2, outputs: 3, rank: 1, tokens: 4, weights, optimizer: 'sgd' };
  const step: StepOptions = { learningRate: 0.1, nesterov: true };
  const reserve: CreateOptions = { simd: false, memory: 2 ** 26 };
  const code: Code = new LowrankError('NoForward', 'forward').code;
  if (code === 'Ended' || code === 'Type') console.log(code);
  // @ts-expect-error: no such code
  if (code === 'Lenght') console.log(made, step, reserve, mean, steps, length, ready, wrong);
  // @ts-expect-error: no such option
  const unknown: CreateOptions = { smid: true };
  console.log(unknown);
  // @ts-expect-error: no such optimizer
  lowrank.layer({ inputs: 2, outputs: 3, rank: 1, tokens: 4, weights, optimizer: 'adam' });
  // @ts-expect-error: weights are needed
  lowrank.layer({ inputs: 2, outputs: 3, rank: 1, tokens: 4 });
  // @ts-expect-error: views cannot be replaced
  layer.y = y;
  // @ts-expect-error: the shape is that of the memory
  layer.rank = 2;
  // @ts-expect-error: the same
  [layer.inputs, layer.outputs, layer.tokens] = [1, 2, 3];
  // @ts-expect-error: a vector is not its view
  vector[0] = 5;
  // @ts-expect-error: it does not become longer
  vector.length = 5;
  // @ts-expect-error: the module is what it is
  lowrank.version = '2';
  if (result instanceof LowrankError) console.log(result.code, result.argument, flavour, arithmetics, loss);
}
