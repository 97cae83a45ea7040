// What every environment does. It imports nothing, so that each entry can bring the package in its own way.

/** The bits of 32-bit numbers, or of bytes, as FNV-1a. @param {...(Float32Array | Uint8Array)} parts */
function digest(...parts) {
  let hash = 0x811c9dc5;
  for (const part of parts) {
    for (const byte of new Uint8Array(part.buffer, part.byteOffset, part.byteLength)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return hash.toString(16).padStart(8, '0');
}

/** The layer of the quickstart. */
function quickstart(lowrank, seed = 0) {
  const weights = Float32Array.of(1, 0, 0, 1, 1, 1);
  const layer = lowrank.layer({ inputs: 2, outputs: 3, rank: 2, tokens: 4, weights, seed, layerNumber: 0 });
  layer.x.set([1, 2, 2, 1, 0, 1, 1, 0]);
  return layer;
}

/** The losses of so many steps. */
function train(lowrank, layer, steps) {
  return Float32Array.from({ length: steps }, () => {
    layer.forward();
    const loss = lowrank.softmaxCrossEntropy(layer.y, [0, 1, 0, 1], layer.dy);
    layer.backward();
    layer.step({ learningRate: 0.05 });
    return loss;
  });
}

/** Trains the quickstart. */
function trained(lowrank) {
  const layer = quickstart(lowrank);
  return digest(train(lowrank, layer, 101), layer.a, layer.b);
}

/** Saves in the middle, loads into another layer, and goes on there. */
async function resumed(lowrank) {
  const [first, second] = [quickstart(lowrank), quickstart(lowrank, 7)];
  const before = train(lowrank, first, 50);
  const file = await first.save('quickstart');
  await second.load(file);
  const losses = Float32Array.of(...before, ...train(lowrank, second, 51));
  return `${digest(file)} ${digest(losses, second.a, second.b)}`;
}

/** Reads an adapter of PEFT, and uses it. */
function adapted(lowrank, readPeft, files) {
  const outputs = readPeft(files).entries.map((adapter) => {
    const { inputs, outputs, rank } = adapter;
    const weights = Float32Array.from({ length: inputs * outputs }, (_, i) => (i % 7 - 3) / 8);
    const layer = lowrank.layer({ inputs, outputs, rank, tokens: 1, weights, optimizer: 'inference' });
    layer.resume(adapter);
    return layer.forward(1, Float32Array.from({ length: inputs }, (_, i) => (i % 5 - 2) / 4)).slice();
  });
  return digest(...outputs);
}

/**
 * @param {object} parts
 * @param {() => Promise<any>} parts.create
 * @param {(files: any) => any} [parts.readPeft]
 * @param {() => Promise<any>} [parts.full] `create` with a full module
 * @param {() => Promise<any>} [parts.wasm] the same by way of `lowrank/wasm`, where `full` is another way
 * @param {{ config: string, tensors: Uint8Array }} parts.adapter
 * @returns {Promise<Record<string, string>>} a digest of each part, or its error
 */
export async function program({ create, full, wasm, readPeft, adapter }) {
  const parts = {
    train: async () => trained(await create()),
    files: async () => resumed(await create()),
    ...readPeft && { peft: async () => adapted(await create(), readPeft, adapter) },
    ...full && { full: async () => trained(await full()) },
    ...wasm && { wasm: async () => trained(await wasm()) },
  };
  const results = {};
  for (const [name, part] of Object.entries(parts)) {
    results[name] = await part().catch((error) => `${error.name} ${error.code ?? ''}: ${error.message}`);
  }
  return results;
}
