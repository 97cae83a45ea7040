"""Writes scales.json: the factor of B·A in binary32, as PEFT 0.21.2 computes it and PyTorch applies it.

    target/peft/bin/python tools/tests/data/scales.py [--check]

With --check, nothing is written, and the status says whether the file is what would be.

Each row has `lora_alpha` (its JSON text), `r`, `use_rslora` and `bits`: of the factor, or "refused". PEFT divides in binary64 and PyTorch
rounds the quotient. Refused is what is no finite number of 32 bits then, and a whole number that binary64 has not: Python divides it
without rounding it first.
"""

import json
import math
import random
import struct
import sys
from pathlib import Path

import torch

ALPHAS = [
    "1", "8", "16", "16.0", "1.6e1", "0.1", "0.30000000000000004", "1e-7", "3", "7", "-4", "-0.0", "0", "0.0", "1e308", "-1e308", "1e39",
    "3.4028234663852886e38", "3.4028235677973366e38", "3.4028235677973362e38", "5e-324", "2.2250738585072014e-308", "1e-45", "7.006492321624085e-46",
    "-0", "7.006492321624086e-46", "1.1754943508222875e-38", "16777216", "16777217", "16777217.0", "16777219", "33554433", "4294967295",
    "9007199254740991", "9007199254740992", "9007199254740993", "9007199254740993.0", "9007199254740994", "-9007199254740993",
    "1152921504606846976", "1152921504606846977", "18446744073709551615", "18446744073709551616", "1180591620717411303424", "1e22",
]
RANKS = [1, 2, 3, 4, 7, 8, 10, 16, 64, 255, 1000, 4096, 65537, 16777217, 4294967295]


def row(text, rank, rslora):
    alpha = json.loads(text)
    bits = "refused"
    if isinstance(alpha, float) or int(float(alpha)) == alpha:
        # LoraLayer.update_layer; a product of a tensor and a number is one in the type of the tensor.
        scaling = alpha / math.sqrt(rank) if rslora else alpha / rank
        factor = (torch.ones(1) * scaling).item()
        if math.isfinite(factor):
            bits = struct.pack(">f", factor).hex()
    return {"lora_alpha": text, "r": rank, "use_rslora": rslora, "bits": bits}


def rows():
    for text in ALPHAS:
        for rank in RANKS if text in ("16", "0.1", "7") else (1, 3, 8):
            yield row(text, rank, False)
            yield row(text, rank, True)
    rng = random.Random(2)
    for i in range(300):
        if i % 3 == 0:
            alpha = struct.unpack("<d", rng.getrandbits(64).to_bytes(8, "little"))[0]
        elif i % 3 == 1:
            alpha = struct.unpack("<f", rng.getrandbits(32).to_bytes(4, "little"))[0]
        else:
            alpha = rng.uniform(-64, 64)
        if math.isfinite(alpha):
            yield row(json.dumps(alpha), rng.choice(RANKS), rng.random() < 0.5)


if __name__ == "__main__":
    text = "[\n" + ",\n".join(map(json.dumps, rows())) + "\n]\n"
    path = Path(__file__).with_suffix(".json")
    if sys.argv[1:] == ["--check"]:
        sys.exit(path.read_text(encoding="ascii") != text)
    path.write_text(text, encoding="ascii")
