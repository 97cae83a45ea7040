"""Make digits.bin and base.bin, the data of the demo, from scikit-learn's digits.

digits.bin  1,797 records of 41 bytes: one label byte (0..9), then 8 rows of 5 bytes.
            A row is a 40-bit little-endian word; pixel c (0..16) is its bits 5c..5c+4.
base.bin    the frozen network 64-48-10 with ReLU, trained on upright digits:
            W1 [48, 64], b1 [48], W2 [10, 48], b2 [10], row-major f32, little-endian.

A network input is pixel / 16. Image i belongs to the test set when i % 5 == 0 and to the
training set otherwise. The rotated task turns every image by 90 degrees counter-clockwise:
rotated[r][c] = image[c][7 - r].

Needs numpy and scikit-learn. The training is full-batch, in f64, from a fixed seed, and is
rounded to f32 once at the end, so two runs on one machine write the same bytes.
"""

import argparse
from pathlib import Path

import numpy as np

SIDE = 8
BITS = 5
RECORD = 1 + SIDE * SIDE * BITS // 8
LAYERS = ((48, 64), (10, 48))


def pack_digits(images, labels):
    """Encode images [n, 8, 8] with values 0..16 and labels [n] as 41-byte records."""
    shifts = np.uint64(BITS) * np.arange(SIDE, dtype=np.uint64)
    words = (images.astype(np.uint64) << shifts).sum(axis=2, dtype=np.uint64)
    rows = words.astype("<u8").view(np.uint8).reshape(len(images), SIDE, 8)[:, :, :BITS]
    body = rows.reshape(len(images), SIDE * BITS)
    return np.hstack([labels.astype(np.uint8)[:, None], body]).tobytes()


def unpack_digits(data):
    """Decode records into images [n, 8, 8] and labels [n]."""
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    words = np.zeros((len(records), SIDE, 8), np.uint8)
    words[:, :, :BITS] = records[:, 1:].reshape(-1, SIDE, BITS)
    shifts = np.uint64(BITS) * np.arange(SIDE, dtype=np.uint64)
    return (words.view("<u8") >> shifts) & np.uint64(31), records[:, 0].astype(np.int64)


def rotate(images):
    """Turn images [n, 8, 8] by 90 degrees counter-clockwise."""
    return np.rot90(images, k=1, axes=(1, 2))


def inputs(images):
    """Flatten images [n, 8, 8] to network inputs [n, 64] in 0..1."""
    return images.reshape(len(images), -1).astype(np.float64) / 16.0


def is_test(count):
    """Mask of the test set among `count` images."""
    return np.arange(count) % 5 == 0


def unpack_base(data):
    """Decode base.bin into [W1, b1, W2, b2] of f32."""
    flat, parts = np.frombuffer(data, "<f4"), []
    for outputs, width in LAYERS:
        for shape in ((outputs, width), (outputs,)):
            size = int(np.prod(shape))
            parts.append(flat[:size].reshape(shape))
            flat = flat[size:]
    assert flat.size == 0
    return parts


def hidden_and_logits(params, x):
    """Forward pass of the base network."""
    w1, b1, w2, b2 = params
    hidden = np.maximum(x @ w1.T + b1, 0.0)
    return hidden, hidden @ w2.T + b2


def accuracy(params, x, labels):
    """Share of rows of x whose largest logit is the label."""
    return float(np.mean(hidden_and_logits(params, x)[1].argmax(axis=1) == labels))


def train_base(x, labels, steps, seed):
    """Full-batch Adam on the softmax cross-entropy with weight decay 1e-4 in the gradient."""
    rng = np.random.default_rng(seed)
    params = []
    for outputs, width in LAYERS:
        bound = 1.0 / np.sqrt(width)
        params += [rng.uniform(-bound, bound, (outputs, width)), np.zeros(outputs)]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in params]
    target = np.eye(LAYERS[-1][0])[labels]
    for step in range(1, steps + 1):
        hidden, logits = hidden_and_logits(params, x)
        logits = logits - logits.max(axis=1, keepdims=True)
        prob = np.exp(logits)
        prob /= prob.sum(axis=1, keepdims=True)
        d_logits = (prob - target) / len(x)
        d_hidden = (d_logits @ params[2]) * (hidden > 0.0)
        grads = [d_hidden.T @ x, d_hidden.sum(0), d_logits.T @ hidden, d_logits.sum(0)]
        for p, g, (m, v) in zip(params, grads, moments):
            g = g + 1e-4 * p
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= 0.01 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return params


def main():
    """Write both files and print the accuracies that README.md quotes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent,
                        help="directory to write to (default: beside this script)")
    parser.add_argument("--steps", type=int, default=300, help="training steps of the base network")
    parser.add_argument("--seed", type=int, default=1, help="seed of the base network")
    args = parser.parse_args()

    from sklearn.datasets import load_digits

    source = load_digits()
    digits = pack_digits(source.images, source.target)
    images, labels = unpack_digits(digits)
    assert np.array_equal(images, source.images) and np.array_equal(labels, source.target)

    test = is_test(len(labels))
    upright = inputs(images)
    params = train_base(upright[~test], labels[~test], args.steps, args.seed)
    base = b"".join(p.astype("<f4").tobytes() for p in params)

    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "digits.bin").write_bytes(digits)
    (args.out / "base.bin").write_bytes(base)

    params = unpack_base(base)
    rotated = inputs(rotate(images))
    print(f"digits.bin {len(digits)} bytes, base.bin {len(base)} bytes")
    print(f"images: {np.sum(~test)} training, {np.sum(test)} test")
    print(f"base, upright training set: {accuracy(params, upright[~test], labels[~test]):.2%}")
    print(f"base, upright test set:     {accuracy(params, upright[test], labels[test]):.2%}")
    print(f"base, rotated test set:     {accuracy(params, rotated[test], labels[test]):.2%}")


if __name__ == "__main__":
    main()
