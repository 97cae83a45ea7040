// Compiled by scripts/gate-25-web: what a program in TypeScript sees of the package.
import { Lowrank, LowrankError, create, type Layer, type Vector } from 'lowrank';
import { type Contents, parse, saveAll } from 'lowrank/files';
import { readPeft, writePeft } from 'lowrank/peft';
import { bytes, url } from 'lowrank/wasm';
import { connect, serve } from 'lowrank/worker';

export async function main(): Promise<void> {
  const lowrank: Lowrank = await create({ simd: 'auto', module: bytes('full-simd128') });
  const flavour: 'scalar' | 'simd128' = lowrank.flavour;
  const arithmetics: ('separate' | 'fused')[] = lowrank.arithmetics;
  const weights = new Float32Array(6);
  const layer: Layer = lowrank.layer({ inputs: 2, outputs: 3, rank: 1, tokens: 4, weights, optimizer: 'momentum', seed: 3n });
  const vector: Vector = lowrank.array(12);
  const y: Float32Array = layer.forward(2, new Float32Array(4));
  const loss: number = lowrank.softmaxCrossEntropy(layer.y, Uint32Array.of(1, 2), vector, lowrank.meanLoss(4));
  layer.backward(2, { accumulate: true, dy: y });
  layer.step({ learningRate: 0.1, momentum: 0.9 });
  const file: Uint8Array = await saveAll({ layer });
  const contents: Contents = await parse(file);
  const again = readPeft(writePeft(contents.layers));
  layer.fromAdapter(again.layers[0]!);
  const address: URL = url['small-scalar'];
  serve({ train: async (_input, { pause }) => pause() });
  const result: unknown = await connect(new Worker(address)).call('train', { weights });
  // @ts-expect-error: no such optimizer
  lowrank.layer({ inputs: 2, outputs: 3, rank: 1, tokens: 4, weights, optimizer: 'adam' });
  // @ts-expect-error: weights are needed
  lowrank.layer({ inputs: 2, outputs: 3, rank: 1, tokens: 4 });
  // @ts-expect-error: views cannot be replaced
  layer.y = y;
  if (result instanceof LowrankError) console.log(result.code, result.argument, flavour, arithmetics, loss);
}
