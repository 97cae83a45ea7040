"""Philox4x32-10 of Random123 and the dropout masks drawn from it."""

import numpy as np

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (np.uint32(0x9E3779B9), np.uint32(0xBB67AE85))
HALF, LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
ROUNDS = 10


def philox(counter, key):
    """Encrypt counters [count, 4] with the key (k0, k1); returns u32 [count, 4]."""
    c = [np.asarray(word, np.uint32) for word in np.asarray(counter, np.uint32).T]
    keys = [np.array(k, np.uint32) for k in key]
    for _ in range(ROUNDS):
        first, second = (m * c[i].astype(np.uint64) for m, i in zip(MULTIPLIERS, (0, 2)))
        c = [
            (second >> HALF).astype(np.uint32) ^ c[1] ^ keys[0],
            (second & LOW).astype(np.uint32),
            (first >> HALF).astype(np.uint32) ^ c[3] ^ keys[1],
            (first & LOW).astype(np.uint32),
        ]
        keys = [np.array((int(k) + int(w)) & 0xFFFFFFFF, np.uint32) for k, w in zip(keys, WEYL)]
    return np.stack(c, axis=1)


def dropout_mask(shape, p, seed, step, stream):
    """Mask [tokens, in] of 0 and 1. Element e = token·in + i keeps its input iff its word is at
    least floor(p·2^32); that word is number e % 4 of the block with counter
    [e / 4 low, e / 4 high, step, stream] under the key [seed low, seed high]."""
    count = shape[0] * shape[1]
    index = np.arange((count + 3) // 4, dtype=np.uint64)
    counter = np.zeros((len(index), 4), np.uint32)
    counter[:, 0], counter[:, 1] = index & LOW, index >> HALF
    counter[:, 2], counter[:, 3] = step, stream
    words = philox(counter, (seed & 0xFFFFFFFF, seed >> 32)).reshape(-1)[:count]
    return (words >= np.uint32(int(p * 2**32))).astype(np.uint32).reshape(shape)


def selftest():
    """Check the known answers that Random123 publishes for philox4x32-10."""
    ones, pi = 0xFFFFFFFF, (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0)
    known = (
        ((0,) * 4, (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ones,) * 4, (ones, ones), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (pi[:4], pi[4:], (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    )
    for counter, key, answer in known:
        got = philox([counter], key)[0]
        assert tuple(int(w) for w in got) == answer, f"philox{counter}: {got}"
