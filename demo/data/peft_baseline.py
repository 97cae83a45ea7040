"""Adapt the base network to rotated digits with PyTorch + PEFT and print the accuracies.

The yardstick for the demo: LoRA of rank 4 with alpha 8 (s = 2) on both layers, base and biases
frozen, A kaiming-uniform in (-1/sqrt(in), 1/sqrt(in)), B = 0. Every epoch is one random order of the
1,437 rotated training images, cut into whole batches; the images left over are not used in it.
Prints one row per optimizer and seed, and the lowest accuracy over the seeds after every epoch.

Needs torch, peft, numpy, and digits.bin and base.bin beside this script.
"""

import argparse
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

import make

HERE = Path(__file__).parent
CLIP = 1.0
SETTINGS = {
    "adamw": {"lr": 0.02, "epochs": 10},
    "sgd": {"lr": 0.2, "epochs": 12},
    "momentum": {"lr": 0.02, "epochs": 12},
}


class Net(nn.Module):
    """The frozen base network 64-48-10."""

    def __init__(self, params):
        super().__init__()
        w1, b1, w2, b2 = (nn.Parameter(torch.tensor(p)) for p in params)
        self.hidden, self.output = nn.Linear(64, 48), nn.Linear(48, 10)
        self.hidden.weight, self.hidden.bias = w1, b1
        self.output.weight, self.output.bias = w2, b2

    def forward(self, x):
        return self.output(torch.relu(self.hidden(x)))


def make_optimizer(name, params, lr):
    """AdamW as PyTorch defines it, or SGD without and with momentum 0.9."""
    if name == "adamw":
        return torch.optim.AdamW(params, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    return torch.optim.SGD(params, lr=lr, momentum=0.9 if name == "momentum" else 0.0)


def adapt(name, seed, data, lr, epochs, batch):
    """Train one adapter; return it, and the test accuracy after every epoch."""
    base, train_x, train_y, test_x, test_y = data
    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["hidden", "output"])
    model = get_peft_model(Net(base), config)
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer, history = make_optimizer(name, params, lr), []
    for _ in range(epochs):
        order = torch.randperm(len(train_y))
        for start in range(0, len(order) - batch + 1, batch):
            rows = order[start : start + batch]
            loss = nn.functional.cross_entropy(model(train_x[rows]), train_y[rows])
            optimizer.zero_grad()
            loss.backward()
            if name != "adamw":
                nn.utils.clip_grad_norm_(params, CLIP)
            optimizer.step()
        with torch.no_grad():
            history.append((model(test_x).argmax(1) == test_y).double().mean().item())
    return model, history


def load_data():
    """Base network, rotated training set and rotated test set."""
    images, labels = make.unpack_digits((HERE / "digits.bin").read_bytes())
    x = torch.tensor(make.inputs(make.rotate(images)), dtype=torch.float32)
    y, test = torch.tensor(labels), torch.tensor(make.is_test(len(labels)))
    base = [p.copy() for p in make.unpack_base((HERE / "base.bin").read_bytes())]
    return base, x[~test], y[~test], x[test], y[test]


def main():
    """Run every optimizer with every seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--optimizer", choices=SETTINGS, action="append", help="default: all of them")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, starting from 0")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, help="in place of the chosen one")
    parser.add_argument("--epochs", type=int, help="in place of the chosen number")
    parser.add_argument("--save", type=Path, metavar="DIR", help="write the adapter of seed 0 there, as PEFT does")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data()
    for name in args.optimizer or SETTINGS:
        lr = args.lr or SETTINGS[name]["lr"]
        epochs = args.epochs or SETTINGS[name]["epochs"]
        steps = epochs * (len(data[2]) // args.batch)
        print(f"{name}: lr {lr}, batch {args.batch}, {epochs} epochs, {steps} steps")
        runs = [adapt(name, seed, data, lr, epochs, args.batch) for seed in range(args.seeds)]
        if args.save:
            runs[0][0].save_pretrained(args.save)
            (args.save / "README.md").unlink(missing_ok=True)
        runs = [history for _, history in runs]
        print("  by seed     " + " ".join(f"{run[-1]:.2%}" for run in runs))
        print("  lowest, by epoch " + " ".join(f"{min(epoch):.3f}" for epoch in zip(*runs)))


if __name__ == "__main__":
    main()
