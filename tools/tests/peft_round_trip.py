"""Take adapters from PyTorch + PEFT to adapter files and back, and hold the command `lowrank` to what PEFT computes.

    cargo build --release -p lowrank-personalize -p lowrank-tools --bins --examples
    python tools/tests/peft_round_trip.py --bin target/release

Prints a line `ok: ...` with a count per check, and ends with status 1 at the first difference.
Needs torch, peft, transformers, safetensors and numpy.
"""

import argparse
import contextlib
import copy
import json
import math
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "demo" / "data"))
import make  # noqa: E402  (the loader of the demo's data)

UNIT = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}
SMALLEST = {torch.float32: 2.0**-149, torch.float16: 2.0**-24, torch.bfloat16: 2.0**-133}
PREFIX = "base_model.model."


class Tools:
    """The programs, each of which has to succeed."""

    def __init__(self, directory):
        self.directory = directory

    def run(self, program, *arguments):
        """Run a program and return what it prints."""
        command = [str(self.directory / program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        check(done.returncode == 0, f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def lowrank(self, *arguments):
        """Run the command `lowrank`."""
        return self.run("lowrank", *arguments)

    def refusal(self, *arguments):
        """Run the command `lowrank`, which has to fail, and return its message."""
        command = [str(self.directory / "lowrank"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        check(done.returncode == 1 and done.stderr.startswith("error: "), f"{' '.join(command)}: {done}")
        return done.stderr


def check(condition, message):
    """End the program when something does not hold."""
    if not condition:
        print(f"FAILED: {message}")
        sys.exit(1)


class Block(nn.Module):
    """Two linear layers on 12 inputs, and one without a bias."""

    def __init__(self, linear):
        super().__init__()
        self.q, self.v = linear(12, 12), linear(12, 12)
        self.up = nn.Linear(12, 12, bias=False) if linear is nn.Linear else linear(12, 12)

    def forward(self, x):
        return self.up(torch.tanh(self.q(x)) * self.v(x))


class Net(nn.Module):
    """Blocks and a head, with names that patterns can tell apart."""

    def __init__(self, linear=nn.Linear):
        super().__init__()
        self.blocks = nn.ModuleList(Block(linear) for _ in range(3))
        self.head = linear(12, 7)

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def conv1d(inputs, outputs):
    """GPT-2's linear layer, which stores its weight [in, out]."""
    layer = Conv1D(outputs, inputs)
    nn.init.normal_(layer.weight, std=0.3)
    nn.init.normal_(layer.bias, std=0.3)
    return layer


@dataclass
class Case:
    """An adapter to make."""

    name: str
    options: dict
    dtype: torch.dtype = torch.float32
    linear: object = nn.Linear
    shards: int = 1
    targets: object = field(default_factory=lambda: ["q", "v"])


CASES = [
    Case("plain", {"r": 4, "lora_alpha": 16}),
    Case("all layers", {"r": 3, "lora_alpha": 3}, targets=["q", "v", "up", "head"], shards=2),
    Case("targets by regular expression", {"r": 2}, targets=r".*blocks\.[02]\.(q|up)"),
    Case("inexact alpha", {"r": 5, "lora_alpha": 0.1}),
    Case("rank pattern", {"r": 4, "rank_pattern": {"q": 2, r"blocks\.1\.v": 7}}),
    Case("alpha pattern", {"r": 4, "lora_alpha": 8, "alpha_pattern": {r"blocks.\d.q": 3, "v": 0.3}}),
    # PEFT sorts the keys when it saves: the first in that order wins when it loads.
    Case("both patterns, the first wins",
         {"r": 4, "rank_pattern": {"blocks.0.q": 1, "q": 3, "v": 5}, "alpha_pattern": {"^blocks.2.q": 9, "q|v": 2}}),
    Case("rsLoRA", {"r": 6, "lora_alpha": 10, "use_rslora": True}),
    Case("rsLoRA with patterns",
         {"r": 6, "use_rslora": True, "rank_pattern": {"q": 3}, "alpha_pattern": {"v": 0.7, "q": 5}}),
    Case("dropout and a Gaussian start", {"r": 4, "lora_dropout": 0.1, "init_lora_weights": "Gaussian"}),
    Case("a key that is looked up as a name", {"r": 4, "alpha_pattern": {"blocks.0.q": 3, "head+": 5}}, targets=["q", "head"]),
    Case("layers chosen by number", {"r": 4, "layers_to_transform": [0, 2], "layers_pattern": "blocks"}),
    Case("bfloat16", {"r": 4, "lora_alpha": 16}, dtype=torch.bfloat16, shards=3),
    Case("bfloat16 with patterns", {"r": 4, "rank_pattern": {"v": 9}, "use_rslora": True}, dtype=torch.bfloat16),
    Case("float16", {"r": 4, "lora_alpha": 2}, dtype=torch.float16),
    Case("biases of adapted layers", {"r": 4, "bias": "lora_only"}, targets=["q", "up", "head"]),
    Case("biases of adapted layers in bfloat16", {"r": 4, "bias": "lora_only"}, dtype=torch.bfloat16),
    Case("a bias of B", {"r": 4, "lora_alpha": 6, "lora_bias": True}),
    Case("both biases", {"r": 4, "lora_alpha": 6, "lora_bias": True, "bias": "lora_only"}),
    Case("both biases in float16", {"r": 4, "lora_bias": True, "bias": "lora_only"}, dtype=torch.float16),
    Case("Conv1D", {"r": 4, "lora_alpha": 12, "fan_in_fan_out": True}, linear=conv1d, targets=["q", "v", "up", "head"]),
    Case("Conv1D in bfloat16 with patterns",
         {"r": 4, "fan_in_fan_out": True, "rank_pattern": {"head": 2}, "bias": "lora_only"},
         dtype=torch.bfloat16, linear=conv1d, targets=["q", "head"], shards=2),
]


def adapted(case, base):
    """The base with an adapter whose numbers are all different from those at the start."""
    config = LoraConfig(target_modules=case.targets, **case.options)
    # Of float16 and bfloat16, PEFT makes float32 unless told not to.
    model = get_peft_model(copy.deepcopy(base), config, autocast_adapter_dtype=False).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(0.3 * torch.randn(parameter.shape))
    return model


def same_bits(one, other):
    """Whether two sets of tensors agree to the last bit."""
    if one.keys() != other.keys():
        return False
    pairs = ((one[name], other[name]) for name in one)
    return all(a.dtype == b.dtype and a.shape == b.shape and torch.equal(bits(a), bits(b)) for a, b in pairs)


def bits(tensor):
    """The bytes of a tensor."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def load(base, directory):
    """The base with an adapter from a directory."""
    return PeftModel.from_pretrained(copy.deepcopy(base), directory, autocast_adapter_dtype=False).eval()


def round_trip(tools, case, room):
    """PEFT, adapter file, PEFT; returns the numbers of tensors and of fields that are the same."""
    base = Net(case.linear).to(case.dtype)
    model = adapted(case, base)
    old = room / "peft"
    model.save_pretrained(old)
    tools.lowrank("convert", old, room / "file")
    tools.lowrank("verify", room / "file")
    tools.lowrank("convert", room / "file", room / "new")
    tools.lowrank("convert", room / "file", room / "table", "--from-table")

    tensors = load_file(old / "adapter_model.safetensors")
    fields = json.loads((old / "adapter_config.json").read_text())
    again = json.loads((room / "new" / "adapter_config.json").read_text())
    check(fields == again, f"{case.name}: {fields} became {again}")
    x = torch.randn(9, 12).to(case.dtype)
    with torch.no_grad():
        expected = model(x)
        check(not torch.equal(expected, base(x)), f"{case.name}: the adapter changes nothing")
        for directory in ("new", "table"):
            written = load_file(room / directory / "adapter_model.safetensors")
            check(same_bits(tensors, written), f"{case.name}: tensors of {directory}")
            check(torch.equal(load(base, room / directory)(x), expected), f"{case.name}: outputs of {directory}")
    elements, equal = merge(tools, case, room, base, model)
    return len(tensors), len(fields), elements, equal


def save_base(base, room, shards):
    """Write a base, in one file or several; return the path to give to the command."""
    state = {name: tensor.contiguous() for name, tensor in base.state_dict().items()}
    if shards == 1:
        save_file(state, room / "base.safetensors", metadata={"format": "pt"})
        return room / "base.safetensors"
    (room / "base").mkdir()
    names, index = list(state), {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: state[name] for name in names[shard::shards]}
        save_file(part, room / "base" / file, metadata={"format": "pt"})
        index.update(dict.fromkeys(part, file))
    path = room / "base" / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": index}))
    return path


def merge(tools, case, room, base, model):
    """Compare merged models; return how many elements were compared, and how many agree to the last bit."""
    path = save_base(base, room, case.shards)
    before = {file: file.read_bytes() for file in path.parent.glob("*.safetensors")}
    # The layers are square, so that nothing else tells how their weights are stored.
    layout = "in-out" if case.linear is conv1d else "out-in"
    tools.lowrank("merge", room / "new", path, room / "merged", "--layout", layout)
    check(all(file.read_bytes() == data for file, data in before.items()), f"{case.name}: the base has changed")
    files = [room / "merged"] if case.shards == 1 else sorted((room / "merged").glob("*.safetensors"))
    ours = {name: tensor for file in files for name, tensor in load_file(file).items()}
    bounds = merge_bounds(case, model)
    theirs = copy.deepcopy(model).merge_and_unload().state_dict()
    check(ours.keys() == theirs.keys(), f"{case.name}: names of the merged model")
    elements = equal = 0
    for name, tensor in ours.items():
        check(tensor.dtype == theirs[name].dtype and tensor.shape == theirs[name].shape, f"{case.name}: {name}")
        distance = (tensor.double() - theirs[name].double()).abs()
        bound = bounds.get(name, torch.zeros_like(distance))
        check(bool((distance <= bound).all()), f"{case.name}: {name} is {float((distance - bound).max()):e} too far")
        if name in bounds:
            elements += tensor.numel()
            equal += int((distance == 0).sum())
    return elements, equal


def merge_bounds(case, model):
    """How far two merged models may be apart, by tensor.

    In f32 both sides are within γ_{r+2}(|W| + |s||B||A|) of the exact sum. To a 16-bit type ours is rounded once, at most
    by u of a magnitude that is at most that sum; PEFT rounds the update and then the sum. A rounding to a subnormal
    number is off by half of the smallest one instead. A trained bias is taken over as it is; s times the bias of B is one
    product and one sum.
    """
    bounds, unit, tiny = {}, UNIT[case.dtype], SMALLEST[case.dtype]
    for name, module in model.base_model.model.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        a, b = module.lora_A["default"].weight.double(), module.lora_B["default"].weight.double()
        scale, rank = abs(module.scaling["default"]), a.shape[0]
        layer = module.get_base_layer()
        update = scale * b.abs() @ a.abs()
        sums = layer.weight.double().abs() + (update.T if module.fan_in_fan_out else update)
        bounds[f"{name}.weight"] = both(sums, rank + 2, unit, tiny).detach()
        if layer.bias is not None and module.lora_bias["default"]:
            sums = layer.bias.double().abs() + scale * module.lora_B["default"].bias.double().abs()
            bounds[f"{name}.bias"] = both(sums, 2, unit, tiny).detach()
    return bounds


def both(sums, operations, unit, tiny):
    """The bound of `merge_bounds` for sums of magnitudes."""
    single = UNIT[torch.float32]
    gamma = operations * single / (1 - operations * single)
    stored = 0 if unit == single else 3 * unit * (1 + unit) * (1 + gamma)
    return sums * (2 * gamma + stored) + 1.5 * tiny


def patterns(tools, room):
    """Every pattern that the command takes, it reads as PEFT does; the others it refuses."""
    keys = ["q", "blocks.0.q", r"blocks\.0\.q", r"blocks\.\d+\.(q|v)", ".*", "[qv]", "[^q]", "bl.cks.1.q", "q|v", "^q",
            "^blocks.1.v$", "(?:blocks.)?1.q", "x?q", "blocks.[0-1]{1,2}.v", "locks.0.q", "0.q", r"\w+\.2\.v", "q+?"]
    names = [f"blocks.{number}.{layer}" for number in range(3) for layer in "qv"]
    for number, key in enumerate(keys):
        model = get_peft_model(Net(), LoraConfig(r=2, target_modules=["q", "v"], rank_pattern={key: 5}))
        directory = room / f"pattern-{number}"
        model.save_pretrained(directory)
        tools.lowrank("convert", directory, directory / "file")
        report = json.loads(tools.lowrank("inspect", directory / "file", "--json"))
        ours = {layer["layer"]: layer["rank"] for layer in report["layers"]}
        modules = dict(model.base_model.model.named_modules())
        check(ours == {name: modules[name].r["default"] for name in names}, f"pattern {key}: {ours}")
    print(f"ok: {len(keys)} patterns match the same {len(names)} layers as in PEFT")


ODD_NAMES = ["a b", "größe", "日本", "a\nb", "base_layer", "x\x1b[2J]y", "c+d", "e[0]", "q"]


def odd_names(tools, room):
    """Names of modules that patterns, JSON and terminals could stumble over; each layer has settings of its own."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            for name in ODD_NAMES:
                self.add_module(name, nn.Linear(6, 6))

        def forward(self, x):
            for name in ODD_NAMES:
                x = x + getattr(self, name)(x)
            return x

    base = Odd()
    ranks = {f"^{re.escape(name)}": 1 + number % 3 for number, name in enumerate(ODD_NAMES)}
    alphas = {name: 0.3 + number for number, name in enumerate(ODD_NAMES)}
    case = Case("odd names", {"r": 5, "rank_pattern": ranks, "alpha_pattern": alphas}, targets="(?s).*")
    model = adapted(case, base)
    model.save_pretrained(room / "odd")
    tools.lowrank("convert", room / "odd", room / "odd.file")
    tools.lowrank("convert", room / "odd.file", room / "odd-new")
    tools.lowrank("convert", room / "odd.file", room / "odd-table", "--from-table")
    x = torch.randn(5, 6)
    with torch.no_grad():
        for directory in ("odd-new", "odd-table"):
            tensors = [load_file(room / name / "adapter_model.safetensors") for name in ("odd", directory)]
            check(same_bits(*tensors), f"{directory}: tensors")
            check(torch.equal(load(base, room / directory)(x), model(x)), f"{directory}: outputs")
    print(f"ok: PEFT loads layers of {len(ODD_NAMES)} odd names, as they were")


def nulls(tools, room):
    """Null is taken where PEFT takes it, and refused where it does not."""
    model = adapted(Case("nulls", {"r": 8, "lora_alpha": 8}), Net())
    taken = []
    for field in ["r", "lora_alpha", "lora_dropout", "rank_pattern", "alpha_pattern", "bias", "use_rslora", "fan_in_fan_out",
                  "lora_bias", "init_lora_weights"]:
        directory = room / f"null-{field}"
        model.save_pretrained(directory)
        config = json.loads((directory / "adapter_config.json").read_text())
        (directory / "adapter_config.json").write_text(json.dumps(config | {field: None}))
        try:
            load(Net(), directory)
        except (TypeError, AttributeError):
            message = tools.refusal("convert", directory, directory / "file")
            check(f"`{field}`" in message and "null" in message, message)
        else:
            tools.lowrank("convert", directory, directory / "file")
            taken.append(field)
    print(f"ok: null is a default for {', '.join(taken)} only, as in PEFT")


def heads(tools, room):
    """An adapter of a head, which PEFT saves with the weight of the base; and weights saved without an adapter."""
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_key_value_heads": 2}
    llama = LlamaForCausalLM(LlamaConfig(vocab_size=11, num_hidden_layers=1, **shape))
    model = get_peft_model(llama, LoraConfig(r=2, target_modules=["q_proj", "lm_head"]))
    model.save_pretrained(room / "head")
    check("base_model.model.lm_head.base_layer.weight" in load_file(room / "head" / "adapter_model.safetensors"), "head")
    tools.lowrank("convert", room / "head", room / "head" / "file")
    model = get_peft_model(model.unload(), LoraConfig(r=2, target_modules=["q_proj"]))
    model.save_pretrained(room / "saved", save_embedding_layers=True)
    message = tools.refusal("convert", room / "saved", room / "saved" / "file")
    check("lm_head.weight" in message and "save_embedding_layers=False" in message, message)
    model.save_pretrained(room / "unsaved", save_embedding_layers=False)
    tools.lowrank("convert", room / "unsaved", room / "unsaved" / "file")
    print("ok: the weight of the base beside an adapter of a head is left out, other weights of it are refused")


def from_device(tools, room):
    """An adapter that was trained by `personalize` gives the same predictions in PyTorch + PEFT."""
    report = json.loads(tools.run("personalize", "--save-adapter", room / "trained", "--json"))
    ours = [int(line) for line in tools.run("examples/predict", room / "trained").split()]
    tools.lowrank("convert", room / "trained", room / "trained-peft")

    images, labels = make.unpack_digits((ROOT / "demo" / "data" / "digits.bin").read_bytes())
    test = make.is_test(len(labels))
    x = torch.tensor(make.inputs(make.rotate(images)), dtype=torch.float32)[test]
    parameters = [torch.tensor(p.copy()) for p in make.unpack_base((ROOT / "demo" / "data" / "base.bin").read_bytes())]

    class Digits(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.output = nn.Linear(64, 48), nn.Linear(48, 10)

        def forward(self, x):
            return self.output(torch.relu(self.hidden(x)))

    base = Digits()
    names = ["hidden.weight", "hidden.bias", "output.weight", "output.bias"]
    base.load_state_dict(dict(zip(names, parameters)))
    with torch.no_grad():
        theirs = load(base, room / "trained-peft")(x).argmax(1).tolist()
        unadapted = base(x).argmax(1).tolist()
    check(ours == theirs, f"{sum(a != b for a, b in zip(ours, theirs))} predictions differ")
    correct = sum(a == b for a, b in zip(theirs, labels[test]))
    check(correct == round(report["accuracy_after"] * len(theirs)), "another accuracy than `personalize` has measured")
    check(theirs != unadapted, "the adapter changes nothing")
    # The adapter belongs to this base, by its fingerprint.
    save_file(base.state_dict(), room / "digits.safetensors")
    tools.lowrank("verify", room / "trained", "--base", room / "digits.safetensors")
    print(f"ok: {len(theirs)} predictions of an adapter from `personalize` are the same in PEFT, {correct} are correct")


@dataclass
class Run:
    """One layer, its data, and how it is trained."""

    seed: int
    inputs: int = 24
    outputs: int = 16
    rank: int = 4
    rate: float = 1e-2

    def __post_init__(self):
        torch.manual_seed(self.seed)
        self.rslora, self.bias = self.seed % 2 == 1, "lora_only" if self.seed % 3 == 2 else "none"
        base = nn.Sequential(nn.Linear(self.inputs, self.outputs))
        self.x = torch.randn(4, 12, self.inputs)
        # Noise keeps the loss away from zero, where AdamW would divide rounding errors by rounding errors.
        self.target = self.x @ torch.randn(self.inputs, self.outputs) / 5 + torch.randn(4, 12, self.outputs)
        config = LoraConfig(r=self.rank, lora_alpha=6, target_modules=["0"], use_rslora=self.rslora, bias=self.bias)
        frozen = {"W": base[0].weight.detach().clone(), "b": base[0].bias.detach().clone()}
        self.data = frozen | {"X": self.x, "T": self.target}
        self.start = get_peft_model(base, config)

    def train(self, model, steps, first=0, optimizer=None):
        """Steps `first + 1` to `steps`; returns the optimizer."""
        dtype = next(model.parameters()).dtype
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = optimizer or torch.optim.AdamW(parameters, lr=self.rate)
        for step in range(first, steps):
            x, target = self.x[step % 4].to(dtype), self.target[step % 4].to(dtype)
            loss = nn.functional.mse_loss(model(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return optimizer

    def parameters(self, model):
        """What is trained, in f64, under the names of the file."""
        return {name.replace(".default", ""): p.detach().double()
                for name, p in model.named_parameters() if p.requires_grad}


def save_state(model, optimizer, room):
    """The state of AdamW from an `optimizer.pt`, by the lines of Python in the README; returns the path."""
    torch.save(optimizer.state_dict(), room / "optimizer.pt")
    again = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    again.load_state_dict(torch.load(room / "optimizer.pt"))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    check(len(blocks) == 1 and blocks[0].count("\n") == 3, "the README has three lines of Python")
    with contextlib.chdir(room):
        exec(blocks[0], {"model": model, "optimizer": again, "safetensors": safetensors})
    return room / "state.safetensors"


def distance(one, other):
    """Over all parameters together."""
    check(one.keys() == other.keys(), f"{one.keys()} is not {other.keys()}")
    return math.sqrt(sum(float(((one[name] - other[name]) ** 2).sum()) for name in one))


def resumed(tools, run, half, room, options):
    """50 more steps here, from what PyTorch has left; returns the parameters."""
    model, optimizer = half
    name = f"{run.seed}{''.join(options)}"
    model.save_pretrained(room / f"half-{name}")
    state = save_state(model, optimizer, room)
    message = tools.refusal("convert", room / f"half-{name}", room / "x", "--optimizer-state", room / "optimizer.pt")
    check("three lines of Python" in message, message)
    save_file(run.data, room / f"data-{name}")
    tools.lowrank("convert", room / f"half-{name}", room / f"half-{name}.file",
                  "--optimizer-state", state, *options)
    tools.run("examples/resume", room / f"half-{name}.file", room / f"data-{name}", 50, run.rate, room / f"{name}.file")
    tools.lowrank("convert", room / f"{name}.file", room / f"done-{name}", "--to", "peft")
    done = load_file(room / f"done-{name}" / "adapter_model.safetensors")
    return {name: tensor.double() for name, tensor in done.items()}


def continued(tools, room):
    """50 steps in PyTorch and 50 here, against 100 in PyTorch: the rule of tests/promises/peft.rs."""
    worst, runs = 0.0, 12
    for seed in range(runs):
        run = Run(seed)
        exact, half = copy.deepcopy(run.start).double(), copy.deepcopy(run.start)
        run.train(exact, 100)
        optimizer = run.train(half, 50)
        ours = resumed(tools, run, (half, optimizer), room, [])
        wrong = resumed(tools, run, (half, optimizer), room, ["--beta2", "0.99"])
        run.train(half, 100, first=50, optimizer=optimizer)
        exact, theirs = run.parameters(exact), run.parameters(half)
        limit = 1.5 * distance(theirs, exact)
        check(distance(ours, exact) <= limit, f"seed {seed}: {distance(ours, exact):e} from f64, at most {limit:e}")
        # The same check has to see training that goes on with another clock.
        check(distance(wrong, exact) > limit, f"seed {seed}: a wrong clock is not seen")
        worst = max(worst, distance(ours, exact) / distance(theirs, exact))
    print(f"ok: {runs} runs go on here after 50 steps in PyTorch: at most {worst:.2f} times as far from f64 as PyTorch")


def main():
    """Run every check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True, help="directory with `lowrank`, `personalize` and `examples/`")
    tools = Tools(parser.parse_args().bin.resolve())
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        totals = [0, 0, 0, 0]
        for number, case in enumerate(CASES):
            torch.manual_seed(number)
            (room / str(number)).mkdir()
            counts = round_trip(tools, case, room / str(number))
            totals = [total + count for total, count in zip(totals, counts)]
        tensors, fields, elements, equal = totals
        print(f"ok: {len(CASES)} adapters come back: {tensors} tensors to the last bit, {fields} fields, same outputs")
        print(f"ok: {elements} merged elements within the bound of PEFT's, {equal} of them the same")
        patterns(tools, room)
        odd_names(tools, room)
        nulls(tools, room)
        heads(tools, room)
        from_device(tools, room)
        continued(tools, room)


if __name__ == "__main__":
    main()
