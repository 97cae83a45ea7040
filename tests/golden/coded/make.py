"""Writes blocks.txt: blocks of the formats of GGUF, and what gguf-py decodes them to.

    pip install numpy==2.4.6 gguf==0.19.0
    python make.py

Every code of 8 and 4 bits meets scales that are zero, subnormal, small, one, negative and the largest; random blocks follow.
"""

import pathlib

import gguf
import numpy as np

SCALES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x2E66, 0x3C00, 0xBC01, 0x7BFF, 0xFBFF]
HERE = pathlib.Path(__file__).parent
QUANTS = gguf.GGMLQuantizationType


def f16(bits):
    return np.array([bits], "<u2").view(np.uint8)


def q8_0(scale, part):
    return np.concatenate([f16(scale), np.arange(32 * part, 32 * part + 32, dtype=np.uint8)])


def q4_0(scale, part):
    return np.concatenate([f16(scale), (np.arange(16) * 17 + part * 16 & 255).astype(np.uint8)])


def q4_k(random, scale, minimum):
    return np.concatenate([f16(scale), f16(minimum), random.integers(0, 256, 140, np.uint8)])


def q6_k(random, scale):
    return np.concatenate([random.integers(0, 256, 208, np.uint8), f16(scale)])


def random_scale(random):
    """A finite number in f16, of any magnitude."""
    return int(random.integers(0, 0x7C00)) | int(random.integers(0, 2)) << 15


def blocks():
    random = np.random.default_rng(20261201)
    for scale in SCALES:
        for part in range(8):
            yield "q8_0", QUANTS.Q8_0, q8_0(scale, part)
        for part in range(2):
            yield "q4_0", QUANTS.Q4_0, q4_0(scale, part)
    for at, scale in enumerate(SCALES):
        yield "q4_k", QUANTS.Q4_K, q4_k(random, scale, SCALES[(3 * at + 1) % len(SCALES)])
        yield "q6_k", QUANTS.Q6_K, q6_k(random, scale)
    for _ in range(6):
        yield "q4_k", QUANTS.Q4_K, q4_k(random, random_scale(random), random_scale(random))
        yield "q6_k", QUANTS.Q6_K, q6_k(random, random_scale(random))


def main():
    lines = ["# format, the bytes of a block, the f32 that they decode to: written by make.py"]
    for name, kind, block in blocks():
        with np.errstate(all="ignore"):
            numbers = gguf.quants.dequantize(block[None, :], kind).reshape(-1)
        words = numbers.astype(">f4").tobytes().hex()
        lines.append(f"{name} {block.tobytes().hex()} {words}")
    (HERE / "blocks.txt").write_text("\n".join(lines) + "\n", newline="\n")
    print(f"{len(lines) - 1} blocks")


if __name__ == "__main__":
    main()
