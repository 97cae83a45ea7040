#!/usr/bin/env python3
"""One adapted layer on one thread: PyTorch with PEFT, and lowrank, in turn, in one run.

    pip install torch==2.15.0 peft==0.21.2
    cargo build --release && ./training.py

Every round times both sides, PyTorch here, lowrank in the program `step`, which waits while the other one computes.
"""

import argparse
import csv
import os
import statistics
import subprocess
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy
import peft
import torch

# outputs = inputs, rank, tokens, and how many times as long PEFT's whole step has to take.
CASES = [
    (64, 4, 1, 150),
    (128, 8, 32, 12),
    (384, 8, 128, 1.8),
    (1024, 8, 16, 2.5),
    (1024, 16, 128, 1.4),
    (4096, 16, 16, 2.5),
    (4096, 16, 128, 1.5),
]
KINDS = ["base", "forward", "backward", "step"]
SEEDS = [i << 26 for i in range(6)]  # W, bias, A, B, X, dY; as in src/bin/step.rs
SCALE = 2.0


def numbers(rows, cols, seed):
    """The numbers of `Buffer::numbers`."""
    index = numpy.arange(1, rows * cols + 1, dtype=numpy.uint32) + numpy.uint32(seed)
    bits = index * numpy.uint32(2654435761)
    values = (bits >> numpy.uint32(8)).astype(numpy.float32) / numpy.float32(2**23) - numpy.float32(1)
    return torch.from_numpy(values.reshape(rows, cols))


class Torch:
    """A linear layer that PEFT adapts."""

    def __init__(self, size, rank, tokens):
        self.linear = torch.nn.Linear(size, size)
        w, bias, a, b, x, self.dy = (
            numbers(rows, cols, seed)
            for (rows, cols), seed in zip(
                [(size, size), (1, size), (rank, size), (size, rank), (tokens, size), (tokens, size)], SEEDS
            )
        )
        with torch.no_grad():
            self.linear.weight.copy_(w)
            self.linear.bias.copy_(bias[0])
        self.plain_x = x
        self.x = x.clone().requires_grad_()
        config = peft.LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=["0"], lora_dropout=0.0)
        plain = torch.nn.Sequential(torch.nn.Linear(size, size))
        plain[0].load_state_dict(self.linear.state_dict())
        self.model = peft.get_peft_model(plain, config)
        self.model.train()
        # The layer itself: what surrounds it in a model is not part of the comparison.
        self.layer = self.model.base_model.model[0]
        self.a, self.b = self.layer.lora_A["default"].weight, self.layer.lora_B["default"].weight
        with torch.no_grad():
            self.a.copy_(a)
            self.b.copy_(b)
        self.optimizer = torch.optim.AdamW([self.a, self.b], lr=1e-12, fused=True)

    def base(self):
        with torch.inference_mode():
            return self.linear(self.plain_x)

    def forward(self):
        with torch.inference_mode():
            return self.layer(self.plain_x)

    def backward(self):
        self.optimizer.zero_grad()
        self.x.grad = None
        y = self.layer(self.x)
        y.backward(self.dy)
        return y

    def step(self):
        self.backward()
        self.optimizer.step()

    def check(self):
        y = self.backward()
        return [float(m.detach().double().square().sum()) for m in (y, self.x.grad, self.a.grad, self.b.grad)]

    def time(self, kind, count):
        action = getattr(self, kind)
        start = time.perf_counter()
        for _ in range(count):
            action()
        return (time.perf_counter() - start) / count


class Ours:
    """The program `step`."""

    def __init__(self, program, size, rank, tokens):
        command = [program, *map(str, (size, size, rank, tokens))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"step ended at: {line}")
        return [float(word) for word in answer.split()]

    def check(self):
        return self.ask("check")

    def time(self, kind, count):
        return self.ask(f"{kind} {count}")[0]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare(sides, size, rank, tokens):
    """Both sides compute the same: rounding is at most `k·u` of the sums of absolute values, which for numbers of random
    sign are about `√k` times the result."""
    k = size + rank + tokens
    bound = 2 * k**1.5 * 2**-24
    for name, ours, theirs in zip(["Y", "dX", "dA", "dB"], *(side.check() for side in sides)):
        if not abs(ours / theirs - 1) <= bound:
            raise SystemExit(f"{size}x{size}: {name} differs: sum of squares {ours} and {theirs}")


def repetitions(side, kind, seconds):
    count = 1
    while side.time(kind, count) * count < seconds:
        count *= 2
    return count


def measure(sides, arguments):
    """Seconds by kind and side, one per round: whatever is divided was timed in the same rounds."""
    timings = [(kind, i) for kind in KINDS for i in (0, 1)]
    counts = {(kind, i): repetitions(sides[i], kind, arguments.timing * 1e-3) for kind, i in timings}
    seconds = {timing: [] for timing in timings}
    rounds, start = 0, time.perf_counter()
    while rounds < arguments.rounds or time.perf_counter() - start < arguments.seconds:
        first = rounds % len(timings)
        for kind, i in timings[first:] + timings[:first]:
            sides[i].time(kind, 1)
            seconds[kind, i].append(sides[i].time(kind, counts[kind, i]))
        rounds += 1
    return seconds


def ratio(above, below):
    """Of the fastest rounds, and the median of the ratios within the rounds."""
    return min(above) / min(below), statistics.median(a / b for a, b in zip(above, below))


def row(case, kind, seconds):
    size, rank, tokens, _ = case
    ours, theirs = seconds[kind, 0], seconds[kind, 1]
    lead = ratio(theirs, ours)
    prices = [ratio(seconds[kind, i], seconds["base", i]) for i in (0, 1)]
    return {
        "size": size,
        "rank": rank,
        "tokens": tokens,
        "kind": kind,
        "ours_us": min(ours) * 1e6,
        "peft_us": min(theirs) * 1e6,
        "ours_median_us": statistics.median(ours) * 1e6,
        "peft_median_us": statistics.median(theirs) * 1e6,
        "lead_best": lead[0],
        "lead_median": lead[1],
        "ours_by_base_best": prices[0][0],
        "ours_by_base_median": prices[0][1],
        "peft_by_base_best": prices[1][0],
        "peft_by_base_median": prices[1][1],
        "rounds": len(ours),
    }


def name(case):
    size, rank, tokens, _ = case
    return f"{size}x{size} r {rank} n {tokens}"


def print_leads(cases, rows):
    print("\nMicroseconds, fastest round: ours, PEFT. Lead: PEFT / ours, fastest rounds and median over the rounds")
    print(f"{'':<20}" + "".join(f" {kind:>34}" for kind in KINDS[1:]) + f" {'wanted':>7}")
    for case in cases:
        line = f"{name(case):<20}"
        for kind in KINDS[1:]:
            r = rows[case, kind]
            line += f" {r['ours_us']:10.1f} {r['peft_us']:10.1f} {r['lead_best']:5.2f} {r['lead_median']:5.2f}"
        missed = rows[case, "step"]["lead_best"] < case[3]
        print(line + f" {case[3]:>7}" + (" MISSED" if missed else ""))


def print_price(cases, rows):
    print("\nPrice of the adapter: forward with / forward without; wanted for n >= 16: 1 + 1.5 x its share of operations")
    print(f"{'':<20} {'ours':>7} {'median':>7} {'share':>7} {'wanted':>7} {'PEFT':>7} {'median':>7}")
    for case in cases:
        size, rank, tokens, _ = case
        price, share = rows[case, "forward"], 2 * rank / size
        wanted = 1 + 1.5 * share if tokens >= 16 else None
        missed = wanted is not None and price["ours_by_base_best"] > wanted
        print(
            f"{name(case):<20} {price['ours_by_base_best']:7.3f} {price['ours_by_base_median']:7.3f} {share:7.3f} "
            + (f"{wanted:7.3f}" if wanted else f"{'-':>7}")
            + f" {price['peft_by_base_best']:7.3f} {price['peft_by_base_median']:7.3f}"
            + (" MISSED" if missed else "")
        )


def main():
    here = Path(__file__).resolve().parent
    target = Path(os.environ.get("CARGO_TARGET_DIR", here / "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=target / "release" / "step", help="the program step")
    parser.add_argument("--timing", type=float, default=5, help="milliseconds that one timing takes at least")
    parser.add_argument("--seconds", type=float, default=8, help="seconds per shape at least")
    parser.add_argument("--rounds", type=int, default=9, help="rounds per shape at least")
    parser.add_argument("--only", default="", help="only shapes whose name (384x384 r 8 n 128) contains this")
    parser.add_argument("--csv", help="write every figure into this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), PEFT {peft.__version__}")
    cases = [case for case in CASES if arguments.only in name(case)]
    if not cases:
        raise SystemExit(f"no shape has {arguments.only!r} in its name")
    rows = {}
    for case in cases:
        sides = [Ours(arguments.program, *case[:3]), Torch(*case[:3])]
        compare(sides, *case[:3])
        seconds = measure(sides, arguments)
        rows.update({(case, kind): row(case, kind, seconds) for kind in KINDS})
        sides[0].close()
        print(f"{name(case):<20} done", flush=True)
    print_leads(cases, rows)
    print_price(cases, rows)
    if arguments.csv:
        with open(arguments.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(next(iter(rows.values()))))
            writer.writeheader()
            writer.writerows(rows.values())
        print(f"written: {arguments.csv}")


if __name__ == "__main__":
    main()
