"""One layer learns four examples in wasmtime: the raw functions of a module, structs packed by hand.

    pip install wasmtime
    python wasmtime_host.py dist/small-simd128.wasm

The structs are those of lowrank.h on a machine with pointers of 4 bytes; src/layout.js has the offsets, too. It prints the loss
before every step, and the adapter's bytes at the end.
"""

import struct
import sys

from wasmtime import Engine, Instance, Module, Store

INPUTS, OUTPUTS, RANK, TOKENS = 2, 3, 2, 4
WEIGHTS = [1, 0, 0, 1, 1, 1]
X = [1, 2, 2, 1, 0, 1, 1, 0]
LABELS = [0, 1, 0, 1]
ADAMW, TRAINS_A, BASELINE = 2, 1, 0
STEPS = 20

# size, then as in lowrank.h; "<" packs without gaps, so that padding is written out.
DROPOUT = "<IfIIQQ"
CLOCK = "<IxxxxQff"
CODE = "<II"
LAYER = "<" + "I" * 8 + "f" + "I" * 8 + "IIII" + CODE[1:] + "xxxx" + DROPOUT[1:] + CODE[1:] + DROPOUT[1:] + CLOCK[1:] + "12I"
ADAMW_SETTINGS = "<Iffxxxxddff"
MEAN_LOSS = "<IIIf"
ERROR = "<IiIIIIIfff"


class Lowrank:
    """A module, its memory from `__heap_base` on, and room for a struct of an error."""

    def __init__(self, path):
        engine = Engine()
        self.store = Store(engine)
        self.exports = Instance(self.store, Module.from_file(engine, path), []).exports(self.store)
        self.memory = self.exports["memory"]
        self.free = self.exports["__heap_base"].value(self.store)
        self.error = self.put(struct.pack(ERROR, struct.calcsize(ERROR), *[0] * 9))

    def put(self, data):
        """Copy bytes into the memory, at a multiple of 16."""
        at = -(-self.free // 16) * 16
        self.free = at + len(data)
        if self.free > self.memory.data_len(self.store):
            self.memory.grow(self.store, -(-(self.free - self.memory.data_len(self.store)) // 65536))
        self.memory.write(self.store, data, at)
        return at

    def floats(self, values):
        """Numbers of 32 bits."""
        return self.put(struct.pack(f"<{len(values)}f", *values))

    def read(self, layout, at):
        """Unpack a struct."""
        return struct.unpack(layout, self.memory.read(self.store, at, at + struct.calcsize(layout)))

    def call(self, name, *args):
        """Call a function; raise what it says."""
        if self.exports["lowrank_" + name](self.store, *args, self.error) != 0:
            raise RuntimeError(f"{name}: {self.read(ERROR, self.error)}")


def main(path):
    lowrank = Lowrank(path)
    x, weights = lowrank.floats(X), lowrank.floats(WEIGHTS)
    y, dy = lowrank.floats([0] * TOKENS * OUTPUTS), lowrank.floats([0] * TOKENS * OUTPUTS)
    labels = lowrank.put(struct.pack(f"<{TOKENS}I", *LABELS))
    settings = struct.pack(ADAMW_SETTINGS, struct.calcsize(ADAMW_SETTINGS), 0.05, 1.0, 0.9, 0.999, 1e-8, 0.01)
    adamw = lowrank.put(settings)
    loss = lowrank.put(bytes(struct.calcsize(MEAN_LOSS)))

    sizes = [INPUTS, OUTPUTS, RANK, TOKENS, ADAMW, TRAINS_A, BASELINE, 1.0]
    pointers = [weights, 0, x, y, dy, 0, 0, 0]  # bias, dx: none; the arena comes below
    fields = [struct.calcsize(LAYER), *sizes, *pointers]  # layer_init fills in what follows
    layer = lowrank.put(struct.pack(LAYER, *fields, *[0] * 36))

    lowrank.call("layer_plan", layer)
    length = lowrank.read(LAYER, layer)[16]
    arena = lowrank.floats([0] * length)
    lowrank.memory.write(lowrank.store, struct.pack("<I", arena), layer + 60)
    lowrank.call("layer_init", layer, 42, 0)  # seed, layer number
    for step in range(STEPS):
        lowrank.memory.write(lowrank.store, struct.pack(MEAN_LOSS, struct.calcsize(MEAN_LOSS), TOKENS, 0, 0.0), loss)
        lowrank.call("layer_forward", layer, TOKENS)
        lowrank.call("layer_softmax_cross_entropy", layer, TOKENS, labels, TOKENS, loss)
        lowrank.call("layer_backward", layer, TOKENS, 0)
        lowrank.call("layer_adamw_step", layer, adamw)
        print(f"step {step}: loss {lowrank.read(MEAN_LOSS, loss)[3] / TOKENS:.9g}")
    adapter = RANK * (INPUTS + OUTPUTS) * 4
    print(lowrank.memory.read(lowrank.store, arena, arena + adapter).hex())


if __name__ == "__main__":
    main(sys.argv[1])
