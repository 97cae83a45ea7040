// What is measured.

const RANK = 8;

const BASE = [
  [64, 64, 1], [64, 64, 8], [128, 128, 32], [384, 384, 128], [1024, 1024, 1], [1024, 1024, 16], [1024, 1024, 128],
  [1536, 384, 128],
];

/** Outputs, inputs, tokens of each kind: products with `W`, with an `A`, with a `B`; a layer with its adapter. */
const KINDS = {
  base: BASE,
  'thin A': [[8, 1024, 128]],
  'thin B': [[1024, 8, 128]],
  forward: BASE,
  step: BASE,
};

/** One kind at one size. */
class Case {
  constructor(kind, [outputs, inputs, tokens]) {
    this.kind = kind;
    this.sizes = { outputs, inputs, rank: RANK, tokens };
    this.name = `${kind} ${outputs}x${inputs} n ${tokens}`;
  }

  /** Multiplications and additions of the products. */
  get flops() {
    const { outputs, inputs, rank, tokens } = this.sizes;
    const [base, adapter] = [2 * tokens * outputs * inputs, 2 * tokens * rank * (inputs + outputs)];
    return { forward: base + adapter, step: 2 * base + 3 * adapter }[this.kind] ?? base;
  }

  /** How many times as fast as the peer ours has to be; undefined where nothing is asked. */
  get bar() {
    const { outputs, inputs, tokens } = this.sizes;
    if (outputs === 64 && inputs === 64) return 1.3;
    return tokens >= 8 ? 1.0 : undefined;
  }
}

export function allCases() {
  return Object.entries(KINDS).flatMap(([kind, sizes]) => sizes.map((size) => new Case(kind, size)));
}
