"""The text format of the golden files; README.md beside this file describes it."""

import numpy as np

TYPES = {"f32": (np.float32, "<u4", 8), "f64": (np.float64, "<u8", 16), "u32": (np.uint32, "<u4", 8)}


class Golden:
    """The lines of one golden file, in the order in which they were added."""

    def __init__(self):
        self.lines = []

    def meta(self, **values):
        """Add one `meta key value` line per keyword; floats are written so that they read back exactly."""
        for key, value in values.items():
            self.lines.append(f"meta {key} {value!r}" if isinstance(value, float) else f"meta {key} {value}")

    def array(self, kind, name, values):
        """Add `kind name dims... : hex...`. The conversion to `kind` must not lose a bit."""
        dtype, bits, digits = TYPES[kind]
        source = np.asarray(values)
        exact = np.ascontiguousarray(source, dtype=dtype)
        assert np.array_equal(exact.astype(source.dtype), source), f"{name} does not fit {kind}"
        words = " ".join(f"{int(w):0{digits}x}" for w in exact.reshape(-1).view(bits))
        dims = " ".join(str(d) for d in exact.shape)
        self.lines.append(f"{kind} {name} {dims} : {words}")

    def write(self, path):
        """Write the file with Unix line ends."""
        path.write_text("\n".join(self.lines) + "\n", newline="\n")


def read(path):
    """Return (meta: dict of str, arrays: dict of numpy arrays)."""
    meta, arrays = {}, {}
    for line in path.read_text().splitlines():
        kind, name, rest = line.split(" ", 2)
        if kind == "meta":
            meta[name] = rest
            continue
        dtype, bits, _ = TYPES[kind]
        dims, words = rest.split(":")
        flat = np.array([int(w, 16) for w in words.split()], bits).view(dtype)
        arrays[name] = flat.reshape([int(d) for d in dims.split()])
    return meta, arrays
