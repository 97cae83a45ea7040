// Whether results are right: each is compared with binary64, and held to the error bound of its sums in any order.
// With u = 2**-24 and gamma(k) = k·u/(1 - k·u), a value that is k roundings deep is off by at most gamma(k) times the sum
// of the absolute values of its products.

const U = 2 ** -24;
const gamma = (k) => k * U / (1 - k * U);

/** Positions of a matrix that are looked at: up to 97. */
function* sample(length) {
  for (let i = 0, stride = Math.floor(length / 97) + 1; i < length; i += stride) yield i;
}

/** A sum and the sum of the absolute values, of `count` terms. A term is a number, or such a pair. */
function sum(count, term) {
  let [value, size] = [0, 0];
  for (let i = 0; i < count; i++) {
    const t = term(i);
    value += t.value ?? t;
    size += t.size ?? Math.abs(t);
  }
  return { value, size };
}

const plus = (a, b) => ({ value: a.value + b.value, size: a.size + b.size });
const times = (a, factor) => ({ value: a.value * factor, size: a.size * Math.abs(factor) });

/** What each result should be at a position, and how many roundings deep it is. */
function expectations(sizes, m, scale) {
  const { outputs, inputs, rank, tokens } = sizes;
  const product = (t, o) => sum(inputs, (i) => m.x[t * inputs + i] * m.w[o * inputs + i]);
  const hs = (t, k) => times(sum(inputs, (i) => m.x[t * inputs + i] * m.a[k * inputs + i]), scale);
  const gs = (t, k) => times(sum(outputs, (o) => m.dy[t * outputs + o] * m.b[o * rank + k]), scale);
  const withBias = (t, o) => plus(product(t, o), { value: m.bias[o], size: Math.abs(m.bias[o]) });
  const branch = (t, o) => sum(rank, (k) => times(hs(t, k), m.b[o * rank + k]));
  const back = (t, i) => sum(outputs, (o) => m.dy[t * outputs + o] * m.w[o * inputs + i]);
  const backBranch = (t, i) => sum(rank, (k) => times(gs(t, k), m.a[k * inputs + i]));
  const da = (k, i) => sum(tokens, (t) => times(gs(t, k), m.x[t * inputs + i]));
  const db = (o, k) => sum(tokens, (t) => times(hs(t, k), m.dy[t * outputs + o]));
  return {
    product: { cols: outputs, depth: inputs, at: product },
    productWithBias: { cols: outputs, depth: inputs + 1, at: withBias },
    y: { cols: outputs, depth: inputs + rank + 2, at: (t, o) => plus(withBias(t, o), branch(t, o)) },
    dx: { cols: inputs, depth: outputs + rank + 2, at: (t, i) => plus(back(t, i), backBranch(t, i)) },
    da: { cols: inputs, depth: tokens + outputs + 2, at: da },
    db: { cols: rank, depth: tokens + inputs + 2, at: db },
  };
}

/** The checks of one layer. `matrices`: before any step; they are copied. */
export class Checks {
  constructor(sizes, matrices, { scale, adamw }) {
    this.matrices = Object.fromEntries(Object.entries(matrices).map(([name, values]) => [name, values.slice()]));
    this.expected = expectations(sizes, this.matrices, scale);
    this.adamw = adamw;
  }

  /** Throws unless `result` is what `expected[name]` says. */
  close(who, name, result) {
    const { cols, depth, at } = this.expected[name];
    for (const i of sample(result.length)) {
      const { value, size } = at(Math.floor(i / cols), i % cols);
      within(`${who}, ${name}[${i}]`, result[i], value, gamma(depth) * size);
    }
  }

  /**
   * Throws unless `updated` is the parameter `name` after a first step of AdamW with `gradient`. The update is at most lr,
   * and at most 12 roundings deep; the decayed parameter 3, with the difference.
   */
  stepped(who, name, gradient, updated) {
    const { lr, eps, weightDecay } = this.adamw;
    for (const i of sample(updated.length)) {
      const [p, g] = [this.matrices[name][i], gradient[i]];
      const value = p * (1 - lr * weightDecay) - lr * g / (Math.abs(g) + eps);
      within(`${who}, ${name}[${i}] after the step`, updated[i], value, gamma(16) * (Math.abs(p) + lr));
    }
  }
}

function within(what, got, value, bound) {
  if (!(Math.abs(got - value) <= bound)) throw new Error(`${what}: ${got} instead of ${value} ± ${bound}`);
}

/** Throws unless two results have the same bits. */
export function same(who, first, second) {
  for (const name in first) {
    const [a, b] = [first, second].map((result) => new Uint32Array(result[name].slice().buffer));
    const i = a.findIndex((bits, i) => bits !== b[i]);
    if (i >= 0 || a.length !== b.length) throw new Error(`${who}, ${name}[${i}]: other bits`);
  }
}
