"""Make the golden files from PyTorch + PEFT autograd.

Every file is text, one item per line, and needs no library to read:

    meta <key> <value>
    f32 <name> <dim> <dim> ... : <8 hex digits of the bits> ...
    f64 <name> <dim> <dim> ... : <16 hex digits of the bits> ...
    u32 <name> <dim> <dim> ... : <8 hex digits> ...

Arrays are row-major. README.md beside this file says what each name means.

Needs torch, peft and numpy.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import peft
import torch
from torch import nn

import philox
from textfile import Golden

CHECKPOINTS = (1, 10, 100, 1000)
LOSS_STEPS = 300
BATCHES = 4
STREAM = 0
SEED_HIGH = 0x5EED << 32
MASKS_RECORDED = (1, 2, 3, 4, 1000)


@dataclass(frozen=True)
class Adapter:
    """Shape and scale of one adapted layer, and its dropout."""

    inputs: int
    outputs: int
    rank: int
    alpha: float
    rslora: bool = False
    dropout: float = 0.0
    bias: bool = True

    def write_meta(self, golden):
        """Record everything but the arrays."""
        golden.meta(torch_version=torch.__version__, peft_version=peft.__version__,
                    inputs=self.inputs, outputs=self.outputs, rank=self.rank,
                    alpha=float(self.alpha), rslora=int(self.rslora), bias=int(self.bias))
        scale = self.alpha / (np.sqrt(self.rank) if self.rslora else self.rank)
        golden.array("f64", "scale", np.float64(scale).reshape(1))

    def random_base(self, rng):
        """W [out, in] and b [out] (or None) in f32."""
        w = rng.normal(size=(self.outputs, self.inputs)) / np.sqrt(self.inputs)
        b = 0.1 * rng.normal(size=self.outputs)
        return w.astype(np.float32), b.astype(np.float32) if self.bias else None

    def random_a(self, rng):
        """A [r, in] as PEFT starts it."""
        bound = 1.0 / np.sqrt(self.inputs)
        return rng.uniform(-bound, bound, (self.rank, self.inputs)).astype(np.float32)


@dataclass(frozen=True)
class Training:
    """One training run: its optimizer, its loss and its batch."""

    optimizer: str
    options: dict
    loss: str
    max_norm: float = 0.0
    micro_batches: int = 1
    tokens: int = 14
    every_loss: bool = False


class RecordedDropout(nn.Module):
    """Stands in for PEFT's dropout: multiplies by a mask that was drawn beforehand."""

    def __init__(self):
        super().__init__()
        self.multiplier = None

    def forward(self, x):
        return x * self.multiplier


class LoraLayer:
    """One PEFT-adapted nn.Linear in a chosen precision."""

    def __init__(self, adapter, base, factors, dtype):
        w, b = base
        linear = nn.Linear(adapter.inputs, adapter.outputs, bias=b is not None)
        config = peft.LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, lora_dropout=0.0,
                                 use_rslora=adapter.rslora, target_modules=["0"])
        self.dtype, self.p = dtype, adapter.dropout
        self.model = peft.get_peft_model(nn.Sequential(linear), config).to(dtype)
        layer = self.model.base_model.model[0]
        self.base = layer.base_layer
        self.a, self.b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        with torch.no_grad():
            for target, values in zip((self.base.weight, self.base.bias, self.a, self.b), (w, b, *factors)):
                if values is not None:
                    target.copy_(self.tensor(values))
        if self.p:
            self.mask = RecordedDropout()
            layer.lora_dropout["default"] = self.mask

    def tensor(self, values):
        """Values in the precision of the layer."""
        return torch.tensor(values, dtype=self.dtype)

    def forward(self, x, mask=None):
        """Y of tokens x [n, in]; mask [n, in] of 0 and 1 where the adapter has dropout."""
        if self.p:
            self.mask.multiplier = self.tensor(mask) * (1.0 / (1.0 - self.p))
        return self.model(x)


def numbers(tensor):
    """Detached copy as numpy."""
    return tensor.detach().numpy().copy()


def layer_case(adapter, micro_sizes, seed):
    """Forward, gradients and merge of one layer for a given dY, in f64."""
    rng, golden, tokens = np.random.default_rng(seed), Golden(), sum(micro_sizes)
    adapter.write_meta(golden)
    golden.meta(kind="layer", tokens=tokens, micro_batches=" ".join(map(str, micro_sizes)))
    base = adapter.random_base(rng)
    b_factor = (0.3 * rng.normal(size=(adapter.outputs, adapter.rank))).astype(np.float32)
    factors = adapter.random_a(rng), b_factor
    x_values = rng.normal(size=(tokens, adapter.inputs)).astype(np.float32)
    dy_values = rng.normal(size=(tokens, adapter.outputs)).astype(np.float32)
    for name, values in zip(("W", "b", "A", "B", "X", "dY"), (*base, *factors, x_values, dy_values)):
        if values is not None:
            golden.array("f32", name, values)
    mask = np.ones_like(x_values)
    if adapter.dropout:
        mask = record_dropout(golden, adapter, seed, x_values.shape)

    layer = LoraLayer(adapter, base, factors, torch.float64)
    if adapter.bias:
        layer.base.bias.requires_grad_(True)
    y_parts, dx_parts, start = [], [], 0
    for size in micro_sizes:
        rows = slice(start, start + size)
        x = layer.tensor(x_values[rows]).requires_grad_(True)
        y = layer.forward(x, mask[rows])
        (y * layer.tensor(dy_values[rows])).sum().backward()
        y_parts.append(numbers(y))
        dx_parts.append(numbers(x.grad))
        start += size
    golden.array("f64", "Y", np.vstack(y_parts))
    golden.array("f64", "dX", np.vstack(dx_parts))
    golden.array("f64", "dA", numbers(layer.a.grad))
    golden.array("f64", "dB", numbers(layer.b.grad))
    if adapter.bias:
        golden.array("f64", "db", numbers(layer.base.bias.grad))
    golden.array("f64", "merged", numbers(layer.model.merge_and_unload()[0].weight))
    return golden


def record_dropout(golden, adapter, seed, shape):
    """Write the dropout settings and the mask of step 1; returns that mask."""
    golden.meta(dropout=adapter.dropout, dropout_seed=SEED_HIGH + seed, dropout_stream=STREAM, dropout_step=1)
    mask = philox.dropout_mask(shape, adapter.dropout, SEED_HIGH + seed, 1, STREAM)
    golden.array("u32", "mask", mask)
    return mask


def training_data(adapter, training, base, rng):
    """Batches of a noisy low-rank teacher: noise keeps the gradients away from zero, where Adam
    would divide rounding errors by rounding errors."""
    w, b = base
    delta = rng.normal(size=(adapter.outputs, adapter.rank)) @ rng.normal(size=(adapter.rank, adapter.inputs))
    teacher = w + delta / np.sqrt(adapter.rank * adapter.inputs)
    x = rng.normal(size=(BATCHES, training.tokens, adapter.inputs)).astype(np.float32)
    clean = x @ teacher.T + b
    if training.loss == "mse":
        return x, (clean + 0.5 * rng.normal(size=clean.shape)).astype(np.float32)
    return x, (clean + rng.gumbel(size=clean.shape)).argmax(axis=2)


def mean_loss(kind, y, target):
    """Cross-entropy averaged over tokens, or squared error averaged over elements."""
    if kind == "mse":
        return nn.functional.mse_loss(y, target)
    return nn.functional.cross_entropy(y, target)


def train(layer, training, data, mask_of):
    """Run all steps; returns the losses and, at the checkpoints, A and B."""
    x, target = layer.tensor(data[0]), torch.tensor(data[1])
    if training.loss == "mse":
        target = target.to(layer.dtype)
    params, losses, saved, clipped = [layer.a, layer.b], [], {}, 0
    optimizer = getattr(torch.optim, training.optimizer)(params, **training.options)
    checkpoints = CHECKPOINTS + ((LOSS_STEPS,) if training.every_loss else ())
    for step in range(1, CHECKPOINTS[-1] + 1):
        batch, total = (step - 1) % BATCHES, 0.0
        optimizer.zero_grad()
        for rows in torch.arange(training.tokens).chunk(training.micro_batches):
            mask = mask_of(step)[rows.numpy()] if layer.p else None
            y = layer.forward(x[batch][rows], mask)
            loss = mean_loss(training.loss, y, target[batch][rows]) / training.micro_batches
            loss.backward()
            total = total + loss.detach()
        if training.max_norm:
            clipped += bool(nn.utils.clip_grad_norm_(params, training.max_norm) > training.max_norm)
        optimizer.step()
        losses.append(numbers(total))
        if step in checkpoints:
            saved[step] = numbers(layer.a), numbers(layer.b)
    assert not training.max_norm or 100 < clipped < CHECKPOINTS[-1], f"clipping in {clipped} steps"
    return np.array(losses), saved


def training_case(adapter, training, seed):
    """The same training in f64 and in f32 from the same f32 start."""
    rng, golden = np.random.default_rng(seed), Golden()
    adapter.write_meta(golden)
    golden.meta(kind="training", tokens=training.tokens, micro_batches=training.micro_batches,
                batches=BATCHES, steps=CHECKPOINTS[-1], loss=training.loss,
                optimizer=training.optimizer.lower(), max_norm=float(training.max_norm))
    for key, value in training.options.items():
        if key == "betas":
            golden.meta(beta1=value[0], beta2=value[1])
        else:
            golden.meta(**{key: int(value) if isinstance(value, bool) else float(value)})
    base = adapter.random_base(rng)
    factors = adapter.random_a(rng), np.zeros((adapter.outputs, adapter.rank), np.float32)
    data = training_data(adapter, training, base, rng)
    for name, values in zip(("W", "b", "A0", "B0", "X"), (*base, *factors, data[0])):
        golden.array("f32", name, values)
    golden.array("f32" if training.loss == "mse" else "u32", "target", data[1])

    def mask_of(step):
        return philox.dropout_mask(data[0].shape[1:], adapter.dropout, SEED_HIGH + seed, step, STREAM)

    if adapter.dropout:
        golden.meta(dropout=adapter.dropout, dropout_seed=SEED_HIGH + seed, dropout_stream=STREAM)
        for step in MASKS_RECORDED:
            golden.array("u32", f"mask.{step}", mask_of(step))
    for kind, dtype in (("f64", torch.float64), ("f32", torch.float32)):
        layer = LoraLayer(adapter, base, factors, dtype)
        losses, saved = train(layer, training, data, mask_of)
        golden.array(kind, f"loss_{kind}", losses[:LOSS_STEPS] if training.every_loss else losses[:10])
        for step, (a, b) in saved.items():
            golden.array(kind, f"A_{kind}.{step}", a)
            golden.array(kind, f"B_{kind}.{step}", b)
    return golden


def loss_case(shape, spread, seed):
    """Values and gradients of both losses for logits of a given spread, in f64."""
    rng, golden = np.random.default_rng(seed), Golden()
    golden.meta(torch_version=torch.__version__, kind="loss", tokens=shape[0], outputs=shape[1])
    logits = (spread * rng.uniform(-1.0, 1.0, shape)).astype(np.float32)
    logits[0, 0], logits[-1, -1] = spread, -spread
    labels = rng.integers(0, shape[1], shape[0])
    labels[-1] = shape[1] - 1
    values = (spread * rng.uniform(-1.0, 1.0, shape)).astype(np.float32)
    golden.array("f32", "Y", logits)
    for kind, numpy_type, name, target in (("ce", "u32", "labels", labels), ("mse", "f32", "target", values)):
        golden.array(numpy_type, name, target)
        y = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        wanted = torch.tensor(target)
        loss = mean_loss(kind, y, wanted.double() if kind == "mse" else wanted)
        loss.backward()
        golden.array("f64", f"{kind}_value", numbers(loss).reshape(1))
        golden.array("f64", f"{kind}_dY", numbers(y.grad))
    return golden


def cases():
    """Every golden file by name, as a function that makes it."""
    small = {"inputs": 13, "outputs": 7, "rank": 3, "alpha": 8}
    layers = {
        "plain": (Adapter(**small), (5,)),
        "rslora": (Adapter(**small, rslora=True), (5,)),
        "no_bias": (Adapter(9, 14, 5, 10, bias=False), (6,)),
        "one_token": (Adapter(17, 6, 1, 2), (1,)),
        "dropout": (Adapter(**small, dropout=0.25), (5,)),
        "accumulate": (Adapter(**small), (2, 3)),
        "accumulate_dropout": (Adapter(**small, dropout=0.25), (2, 3)),
        "large": (Adapter(64, 48, 4, 8), (32,)),
    }
    adam = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
    momentum = {"lr": 0.02, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
    nesterov = momentum | {"nesterov": True, "weight_decay": 0.01}
    plain_sgd = momentum | {"lr": 0.1, "momentum": 0.0}
    shape = {"inputs": 13, "outputs": 7, "rank": 3, "alpha": 6}
    thirds = shape | {"alpha": 8}
    runs = {
        "sgd": (Adapter(**shape), Training("SGD", plain_sgd, "ce")),
        "sgd_momentum": (Adapter(**thirds), Training("SGD", momentum, "mse")),
        "sgd_nesterov": (Adapter(**shape), Training("SGD", nesterov, "ce")),
        "adamw": (Adapter(**shape), Training("AdamW", adam, "ce", every_loss=True)),
        "adamw_mse": (Adapter(**thirds), Training("AdamW", adam, "mse", every_loss=True)),
        "adamw_rslora": (Adapter(**shape, rslora=True), Training("AdamW", adam, "ce")),
        "adamw_clip": (Adapter(**shape), Training("AdamW", adam, "ce", max_norm=0.1)),
        "adamw_accumulate": (Adapter(**thirds), Training("AdamW", adam, "mse", micro_batches=2)),
        "adamw_dropout": (Adapter(**shape, dropout=0.25), Training("AdamW", adam, "ce")),
        "sgd_clip": (Adapter(**thirds), Training("SGD", momentum, "ce", max_norm=0.5)),
    }
    losses = {"small": ((5, 7), 3.0), "large_logits": ((6, 10), 80.0), "one_token": ((1, 3), 1.0)}
    table = {}
    for prefix, make_case, group in (
        ("layer", layer_case, layers), ("train", training_case, runs), ("loss", loss_case, losses)
    ):
        for name, arguments in group.items():
            seed = 1000 + len(table)
            table[f"{prefix}_{name}"] = lambda f=make_case, a=arguments, s=seed: f(*a, s)
    return table


def main():
    """Write the files that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="cases to make (default: all)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent,
                        help="directory to write to (default: beside this script)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    philox.selftest()
    table = cases()
    for name in args.names or table:
        path = args.out / f"{name}.txt"
        table[name]().write(path)
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
