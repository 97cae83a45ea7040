"""Compute the golden files once more in numpy, from the formulas and without autograd.

For every file this prints the largest difference between the recorded f64 values and numpy in f64,
relative to the largest recorded value of the array, and fails above 1e-11 (1e-9 for a training
run, whose rounding errors pass through 1,000 steps). For a training run it also prints how far
PyTorch's f32 run and a plain numpy f32 run are from the recorded f64 run: ||p - p64|| over A and B.

Needs only numpy.
"""

import argparse
from pathlib import Path

import numpy as np

import philox
from textfile import read

LAYER_LIMIT, TRAINING_LIMIT = 1e-11, 1e-9


def close(got, wanted):
    """Largest difference relative to the largest wanted value."""
    return float(np.max(np.abs(got - wanted)) / max(np.max(np.abs(wanted)), 1e-300))


def forward(p, x, d, scale):
    """Y and Hs of tokens x with dropout multiplier d."""
    hs = scale * ((x * d) @ p["A"].T)
    return x @ p["W"].T + p["b"] + hs @ p["B"].T, hs


def backward(p, x, d, scale, dy, hs):
    """Gradients of A, B, b and X."""
    gh = scale * (dy @ p["B"])
    return gh.T @ (x * d), dy.T @ hs, dy.sum(axis=0), dy @ p["W"] + (gh @ p["A"]) * d


def cross_entropy(y, labels):
    """Mean softmax cross-entropy and its gradient."""
    shifted = y - y.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True)
    hot = np.eye(y.shape[1], dtype=y.dtype)[labels]
    loss = (np.log(total[:, 0]) - (shifted * hot).sum(axis=1)).mean()
    return loss, (np.exp(shifted) / total - hot) / y.dtype.type(len(y))


def squared_error(y, target):
    """Mean squared error over elements and its gradient."""
    diff = y - target
    return (diff * diff).mean(), diff * y.dtype.type(2.0 / y.size)


def scale_of(meta, arrays):
    """The scale from alpha and rank, checked against the recorded one."""
    rank = float(meta["rank"])
    scale = float(meta["alpha"]) / (np.sqrt(rank) if meta["rslora"] == "1" else rank)
    assert scale == arrays["scale"][0]
    return scale


def multiplier(meta, shape, step, dtype):
    """Dropout multiplier of a step, 1 without dropout."""
    if "dropout" not in meta:
        return np.ones(shape, dtype)
    p, seed, stream = float(meta["dropout"]), int(meta["dropout_seed"]), int(meta["dropout_stream"])
    return (philox.dropout_mask(shape, p, seed, step, stream) / (1.0 - p)).astype(dtype)


def check_layer(meta, arrays):
    """Largest difference of a layer case."""
    p = {name: arrays[name].astype(np.float64) for name in ("W", "A", "B")}
    p["b"] = arrays["b"].astype(np.float64) if meta["bias"] == "1" else 0.0
    x, dy = arrays["X"].astype(np.float64), arrays["dY"].astype(np.float64)
    scale, d = scale_of(meta, arrays), multiplier(meta, x.shape, 1, np.float64)
    if "dropout" in meta:
        assert np.array_equal(d != 0.0, arrays["mask"] != 0) and 0 < arrays["mask"].mean() < 1
    y, hs = forward(p, x, d, scale)
    da, db_factor, db, dx = backward(p, x, d, scale, dy, hs)
    got = {"Y": y, "dX": dx, "dA": da, "dB": db_factor, "merged": p["W"] + scale * p["B"] @ p["A"]}
    if meta["bias"] == "1":
        got["db"] = db
    return max(close(values, arrays[name]) for name, values in got.items())


def check_loss(_, arrays):
    """Largest difference of a loss case."""
    y = arrays["Y"].astype(np.float64)
    ce = cross_entropy(y, arrays["labels"])
    mse = squared_error(y, arrays["target"].astype(np.float64))
    pairs = zip(("ce_value", "ce_dY", "mse_value", "mse_dY"), (*ce, *mse))
    return max(close(values, arrays[name]) for name, values in pairs)


class AdamW:
    """PyTorch's AdamW. The bias corrections 1 - beta^t grow by c = beta·c + (1 - beta): computed in
    f32 as 1 minus a running product they cancel, and the f32 run is 5 times as far from the f64
    run as PyTorch's at step 10."""

    def __init__(self, meta, dtype):
        names = ("lr", "beta1", "beta2", "eps", "weight_decay")
        self.lr, self.b1, self.b2, self.eps, self.decay = (dtype(float(meta[n])) for n in names)
        self.one, self.c1, self.c2 = dtype(1.0), dtype(0.0), dtype(0.0)
        self.state = {}

    def step(self, p, grads):
        """Update A and B."""
        self.c1 = self.b1 * self.c1 + (self.one - self.b1)
        self.c2 = self.b2 * self.c2 + (self.one - self.b2)
        rate, root = self.lr / self.c1, np.sqrt(self.c2)
        for name, g in grads.items():
            m, v = self.state.get(name, (0 * g, 0 * g))
            m, v = self.b1 * m + (self.one - self.b1) * g, self.b2 * v + (self.one - self.b2) * (g * g)
            self.state[name] = m, v
            p[name] = p[name] * (self.one - self.lr * self.decay)
            p[name] = p[name] - rate * (m / (np.sqrt(v) / root + self.eps))


class Sgd:
    """PyTorch's SGD with momentum, weight decay and Nesterov's variant, dampening 0."""

    def __init__(self, meta, dtype):
        self.lr, self.mu, self.decay = (dtype(float(meta[n])) for n in ("lr", "momentum", "weight_decay"))
        self.nesterov = meta["nesterov"] == "1"
        self.state = {}

    def step(self, p, grads):
        """Update A and B."""
        for name, g in grads.items():
            g = g + self.decay * p[name]
            buf = self.mu * self.state[name] + g if name in self.state else g
            self.state[name] = buf
            p[name] = p[name] - self.lr * (g + self.mu * buf if self.nesterov else buf)


def clip(grads, max_norm):
    """Scale all gradients so that their common norm is at most max_norm."""
    dtype = grads["A"].dtype.type
    total = np.sqrt(sum((g * g).sum() for g in grads.values()))
    factor = min(dtype(1.0), dtype(max_norm) / (total + dtype(1e-6)))
    return {name: g * factor for name, g in grads.items()}


def train(meta, arrays, dtype):
    """Run the training; returns the losses and A and B after every step of interest."""
    p = {to: arrays[name].astype(dtype) for to, name in (("W", "W"), ("b", "b"), ("A", "A0"), ("B", "B0"))}
    x, target, scale = arrays["X"].astype(dtype), arrays["target"], dtype(scale_of(meta, arrays))
    loss_of = cross_entropy if meta["loss"] == "ce" else squared_error
    target = target if meta["loss"] == "ce" else target.astype(dtype)
    optimizer = (AdamW if meta["optimizer"] == "adamw" else Sgd)(meta, dtype)
    losses, saved = [], {}
    for step in range(1, int(meta["steps"]) + 1):
        batch = (step - 1) % int(meta["batches"])
        d = multiplier(meta, x[batch].shape, step, dtype)
        y, hs = forward(p, x[batch], d, scale)
        loss, dy = loss_of(y, target[batch])
        da, db_factor, _, _ = backward(p, x[batch], d, scale, dy, hs)
        grads = {"A": da, "B": db_factor}
        if float(meta["max_norm"]):
            grads = clip(grads, float(meta["max_norm"]))
        optimizer.step(p, grads)
        losses.append(loss)
        if f"A_f64.{step}" in arrays:
            saved[step] = {"A": p["A"], "B": p["B"]}
    return np.array(losses), saved


def distance(arrays, points):
    """Norm of A and B minus the recorded f64 run."""
    return np.sqrt(sum(np.sum((v.astype(np.float64) - arrays[k]) ** 2) for k, v in points.items()))


def check_training(meta, arrays):
    """Largest difference of a training case; prints the distances of the f32 runs."""
    for name, mask in arrays.items():
        if name.startswith("mask."):
            expected = multiplier(meta, mask.shape, int(name[5:]), np.float64) != 0.0
            assert np.array_equal(expected, mask != 0), name
    losses, exact = train(meta, arrays, np.float64)
    count = len(arrays["loss_f64"])
    worst = close(losses[:count], arrays["loss_f64"])
    losses32, single = train(meta, arrays, np.float32)
    torch_loss = np.abs(arrays["loss_f32"] - arrays["loss_f64"]).max()
    numpy_loss = np.abs(losses32[:count] - arrays["loss_f64"]).max()
    print(f"  loss {losses[0]:.4f} to {losses[-1]:.4f}; f32 off by at most "
          f"{torch_loss:.1e} (PyTorch), {numpy_loss:.1e} (numpy) in {count} steps")
    for step, points in exact.items():
        names = {f"{k}_f64.{step}": v for k, v in points.items()}
        worst = max(worst, *(close(v, arrays[k]) for k, v in names.items() if np.any(arrays[k])))
        torch32 = {f"{k}_f64.{step}": arrays[f"{k}_f32.{step}"] for k in points}
        far = np.max([np.max(np.abs(v - arrays[k])) for k, v in torch32.items()])
        from_torch = distance(arrays, torch32)
        from_numpy = distance(arrays, {f"{k}_f64.{step}": v for k, v in single[step].items()})
        print(f"  step {step:4}: f32 distance {from_torch:.2e} (PyTorch), {from_numpy:.2e} (numpy), "
              f"ratio {from_numpy / from_torch:.2f}; largest of PyTorch {far:.1e}")
    return worst


def main():
    """Check the files that were asked for; exit with 1 when one of them is off."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="default: all *.txt beside this script")
    args = parser.parse_args()
    philox.selftest()
    files = args.files or sorted(Path(__file__).parent.glob("*.txt"))
    assert files, "no golden files"
    checks = {"layer": check_layer, "loss": check_loss, "training": check_training}
    failed = []
    for path in files:
        meta, arrays = read(path)
        limit = TRAINING_LIMIT if meta["kind"] == "training" else LAYER_LIMIT
        worst = checks[meta["kind"]](meta, arrays)
        print(f"{path.name}: {worst:.1e}", flush=True)
        if not worst <= limit:
            failed.append(path.name)
    if failed:
        raise SystemExit(f"off: {', '.join(failed)}")
    print(f"{len(files)} files agree")


if __name__ == "__main__":
    main()
