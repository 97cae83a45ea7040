"""Train an adapter for mirrored digits with PyTorch + PEFT and write it, and what PyTorch makes of the test images with it.

Writes peft-adapter/ (as PEFT does) and peft-adapter/logits.bin: f32, little-endian, [360, 10], of the mirrored test images. The
settings are others than those of the page: ranks and alphas by layer, rank-stabilized.

    python make_peft_adapter.py                 writes both
    python make_peft_adapter.py --read DIR --task TASK
        prints, as JSON, what PyTorch reads the test images as with the adapter in DIR

Needs torch, peft, numpy, and demo/data of the project.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[3] / "demo" / "data"))

import make  # noqa: E402
from peft_baseline import HERE as DATA, Net  # noqa: E402

OUT = HERE / "peft-adapter"
TURNS = {"rotated": make.rotate, "mirrored": lambda images: images[:, :, ::-1]}


def load(task):
    """Base network, training set and test set of a task."""
    images, labels = make.unpack_digits((DATA / "digits.bin").read_bytes())
    x = torch.tensor(make.inputs(TURNS[task](images)), dtype=torch.float32)
    y, test = torch.tensor(labels), torch.tensor(make.is_test(len(labels)))
    base = Net([p.copy() for p in make.unpack_base((DATA / "base.bin").read_bytes())])
    return base, x[~test], y[~test], x[test]


def write():
    """Train and write the adapter and its logits."""
    torch.manual_seed(1)
    base, x, y, test_x = load("mirrored")
    config = LoraConfig(
        r=3, lora_alpha=5, use_rslora=True, target_modules=["hidden", "output"], rank_pattern={"hidden": 5}, alpha_pattern={"output": 4}
    )
    model = get_peft_model(base, config)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(6):
        for rows in torch.randperm(len(y)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    model.save_pretrained(OUT)
    (OUT / "README.md").unlink(missing_ok=True)
    with torch.no_grad():
        (OUT / "logits.bin").write_bytes(model(test_x).numpy().astype("<f4").tobytes())


def read(directory, task):
    """What PyTorch reads the test images of a task as."""
    base, _, _, test_x = load(task)
    with torch.no_grad():
        return PeftModel.from_pretrained(base, directory)(test_x).argmax(1).tolist()


def main():
    """Write the adapter, or read with another one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--read", type=Path, metavar="DIR")
    parser.add_argument("--task", choices=TURNS, default="rotated")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.read:
        print(json.dumps(read(args.read, args.task)))
    else:
        write()


if __name__ == "__main__":
    main()
