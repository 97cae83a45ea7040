// Compiled by scripts/check-npm.sh: the types of the options have names, and the entries need no DOM.
import {
  type Entry, type CreateOptions, type Layer, type LayerOptions, type Lowrank, type ModuleSource, type Optimizer, type Scale,
  type StepOptions, create,
} from 'lowrank';
import { emit, setModule } from 'lowrank/files';
import { readPeft } from 'lowrank/peft';
import { bytes } from 'lowrank/wasm';

const optimizer: Optimizer = 'sgd';
const step: StepOptions = { learningRate: 0.1, momentum: 0.9 };
const scale: Scale = { mode: 'alpha', alpha: 8 };

export async function main(options: LayerOptions, module: ModuleSource): Promise<Uint8Array> {
  const sources: ModuleSource[] = [module, await bytes('full-scalar'), new Uint8Array(4), new ArrayBuffer(8)];
  const how: CreateOptions = { simd: false, module: sources[0] as ModuleSource };
  const lowrank: Lowrank = await create(how);
  const layer: Layer = lowrank.layer({ ...options, optimizer });
  layer.step(step);
  await setModule(module);
  const entry: Entry = { ...layer.entry(), scale };
  const peft = readPeft({ config: {}, tensors: await layer.save() });
  return emit([entry, ...peft.entries]);
}
