#!/usr/bin/env python3
"""The machine code of the register tile keeps its shape.

Compiles benches/counts/tiles.rs for every instruction set, at opt-level 3 and "s", disassembles it, and looks at the innermost
loops of each backend. The loop of the full tile, R rows x V vectors, unrolled U times, must be there for both terms of a
product, each copy with exactly

    U*R*V steps   (one fused instruction, or one multiplication and one addition)
    U*V   loads   of vectors
    U*R   loads   of one number for all lanes (one-lane targets: U*(R+V) loads of any kind)
    0     stores, calls, accesses to the stack

and no loop may be that of a taller tile, which would need more registers than there are. Loops of a partly filled last vector
and of lanes across rows are told apart by masked loads, shuffles or calls: they are counted, and not held to this.

  scripts/check-assembly.py [--only TEXT] [--show]     TEXT: part of "target opt-level"; --show prints the loops

Exits 0 only when every expected loop was found and none has another shape. Needs rustup; adds its component llvm-tools.
The crate is handed to rustc as Cargo would do it, but without the names that Cargo derives from the directory: they change
the order of functions, and with it what stays in registers.
"""
import argparse
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Backends with their tiles, and the arithmetics that are instructions there (not emulated), per target.
TARGETS = {
    "x86_64-unknown-linux-gnu": ("x86", {"avx512": (8, 3), "avx2": (6, 2)}, ("Fused", "Separate")),
    "aarch64-unknown-linux-gnu": ("aarch64", {"neon": (8, 3)}, ("Fused", "Separate")),
    "wasm32-unknown-unknown": ("wasm", {"simd128": (4, 2)}, ("Separate",)),
    "thumbv7em-none-eabihf": ("arm", {"scalar": (4, 2)}, ("Separate",)),
}
ONE_LANE = {"scalar"}
LEVELS = ("3", "s")
MOST_UNROLLED = 8

# Accesses to the stack per iteration that the compiler is known to make; more are a fault.
KNOWN = {
    # 29 registers would do, but all products are scheduled before the first sum.
    ("aarch64-unknown-linux-gnu", "3", "neon/separate"): 12,
    ("aarch64-unknown-linux-gnu", "s", "neon/separate"): 14,
    # Addresses of the four copies, not accumulators.
    ("thumbv7em-none-eabihf", "3", "scalar/separate"): 23,
}

# What an instruction does, as (kind, how often). An instruction may do several things.
Effects = collections.Counter


def x86(text):
    """AT&T syntax: the destination is the last operand."""
    mnemonic, _, operands = text.partition("#")[0].strip().partition(" ")
    does = Effects()
    memory = "(" in operands and not mnemonic.startswith(("lea", "prefetch", "nop"))
    if mnemonic.startswith("call"):
        does["call"] += 1
    if "{%k" in operands or re.match(r"vmaskmov|vunpck|vshuf|vperm", mnemonic):
        does["special"] += 1
    if re.match(r"vfn?m(add|sub)\w+ps$", mnemonic):
        does["fused"] += 1
    elif mnemonic in ("vmulps", "vaddps"):
        does["product" if mnemonic == "vmulps" else "sum"] += 1
    if mnemonic.startswith(("push", "pop")) or (memory and "%rsp" in operands):
        does["stack"] += 1
    elif memory and re.search(r"\)( \{%k\d\})?$", operands) and not mnemonic.startswith(("cmp", "test", "call", "jmp")):
        does["store"] += 1
    elif memory:
        does["broadcast" if mnemonic == "vbroadcastss" or "{1to" in operands else "load"] += 1
    return does


def aarch64(text):
    mnemonic, _, operands = text.partition(" ")
    does = Effects()
    if mnemonic in ("bl", "blr"):
        does["call"] += 1
    if re.match(r"zip|trn|uzp", mnemonic):
        does["special"] += 1
    vector = ".4s" in operands
    if mnemonic in ("fmla", "fmls") and vector:
        does["fused"] += 1
    elif mnemonic in ("fmul", "fadd") and vector:
        does["product" if mnemonic == "fmul" else "sum"] += 1
    registers = 2 if mnemonic in ("ldp", "ldnp", "stp", "stnp") else 1
    if re.search(r"\[(sp|x29)\b", operands):
        does["stack"] += registers
    elif mnemonic.startswith("st"):
        does["store"] += registers
    elif mnemonic.startswith("ld"):
        does["broadcast" if mnemonic == "ld1r" or re.match(r"s\d", operands) else "load"] += registers
    return does


def arm(text):
    mnemonic, _, operands = text.partition("@")[0].strip().partition(" ")
    does = Effects()
    if mnemonic in ("bl", "blx"):
        does["call"] += 1
    # VMLA rounds the product and then the sum; VFMA rounds once.
    if mnemonic in ("vmul.f32", "vmla.f32"):
        does["product"] += 1
    if mnemonic in ("vadd.f32", "vmla.f32"):
        does["sum"] += 1
    if mnemonic == "vfma.f32":
        does["fused"] += 1
    registers = len(re.findall(r"\bs\d+|\bd\d+", operands)) if re.match(r"vldm|vstm|vpop|vpush", mnemonic) else 1
    registers = 2 if mnemonic.startswith(("ldrd", "strd")) else registers
    if re.search(r"\[(sp|r7)\b", operands) or re.match(r"v?push|v?pop|\w+ sp\b", mnemonic):
        does["stack"] += registers
    elif re.match(r"v?st", mnemonic):
        does["store"] += registers
    elif re.match(r"v?ld", mnemonic):
        does["load"] += registers
    return does


def wasm(text):
    """The engine owns the registers: what does not fit into locals would be a load or a store beyond the expected ones."""
    mnemonic = text.split(" ")[0]
    kinds = {
        "f32x4.mul": "product", "f32.mul": "product", "f32x4.add": "sum", "f32.add": "sum",
        "v128.load": "load", "f32.load": "load", "v128.load32_splat": "broadcast", "call": "call", "call_indirect": "call",
        "memory.fill": "call", "memory.copy": "call", "f32x4.relaxed_madd": "fused",
        "i8x16.shuffle": "special",
    }
    if mnemonic in kinds:
        return Effects({kinds[mnemonic]: 1})
    if re.search(r"\.store", mnemonic):
        return Effects(store=1)
    return Effects(stack=1) if re.search(r"\.load", mnemonic) or mnemonic.startswith("global.") else Effects()


DIALECTS = {"x86": x86, "aarch64": aarch64, "arm": arm, "wasm": wasm}


def run(command, **more):
    return subprocess.run(command, check=True, text=True, stdin=subprocess.DEVNULL, **more)


def objdump():
    """The disassembler of the compiler's own LLVM: it knows every instruction that the compiler emits."""
    sysroot = run(["rustc", "--print", "sysroot"], stdout=subprocess.PIPE).stdout.strip()
    host = re.search(r"host: (\S+)", run(["rustc", "-vV"], stdout=subprocess.PIPE).stdout)[1]
    tool = pathlib.Path(sysroot, "lib", "rustlib", host, "bin", "llvm-objdump")
    if not tool.exists():
        run(["rustup", "component", "add", "llvm-tools"])
    return tool


def compile_tiles(target, level, out):
    """The library and the program in one piece, as `lto = "fat"` with one codegen unit does it."""
    flags = ["--edition", "2024", "--target", target, f"-Copt-level={level}", "-Ccodegen-units=1", "-Cpanic=abort",
             "-Csymbol-mangling-version=v0", "-Dwarnings", "--out-dir", out]
    flags += ["-Ctarget-feature=+simd128"] if target.startswith("wasm") else []
    kind, name = ("cdylib", "tiles.wasm") if target.startswith("wasm") else ("staticlib", "libtiles.a")
    run(["rustc", *flags, "--crate-name", "lowrank", "--crate-type", "rlib", "-Clinker-plugin-lto", "src/lib.rs"], cwd=ROOT)
    run(["rustc", *flags, "--crate-name", "tiles", "--crate-type", kind, "-Clto=fat", "--extern",
         f"lowrank={out}/liblowrank.rlib", "benches/counts/tiles.rs"], cwd=ROOT)
    return pathlib.Path(out, name)


def disassemble(tool, program):
    """The functions as (name, [(address, text)])."""
    listing = run([tool, "-d", "--demangle", "--no-show-raw-insn", program], stdout=subprocess.PIPE)
    functions = []
    for line in listing.stdout.splitlines():
        if label := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            functions.append((label[1], []))
        elif functions and (instruction := re.match(r"\s*([0-9a-f]+):\s+(\S.*)", line)):
            functions[-1][1].append((int(instruction[1], 16), re.sub(r"\s+", " ", instruction[2]).strip()))
    return functions


def innermost_loops(body, structured):
    """The loops that contain no other loop, each as a list of instructions."""
    spans = structured_spans(body) if structured else branch_spans(body)
    inner = [s for s in spans if not any(o != s and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    return [[text for _, text in body[first:last + 1]] for first, last in sorted(inner)]


def branch_spans(body):
    """From the target of each backward branch to the branch."""
    index = {address: i for i, (address, _) in enumerate(body)}
    spans = set()
    for i, (address, text) in enumerate(body):
        branch = re.match(r"(j\w+|b(\.\w+|\w\w(\.[nw])?)?|cbn?z|tbn?z)(?<!bl) .*?0x([0-9a-f]+) <", text)
        if branch and int(branch[4], 16) <= address and int(branch[4], 16) in index:
            spans.add((index[int(branch[4], 16)], i))
    return spans


def structured_spans(body):
    """From each `loop` to its `end`."""
    spans, opened = set(), []
    for i, (_, text) in enumerate(body):
        word = text.split(" ")[0]
        if word in ("block", "loop", "if", "try_table"):
            opened.append((word, i))
        elif word == "end" and opened:
            kind, first = opened.pop()
            if kind == "loop":
                spans.add((first, i))
    return spans


def effects_of(loop, dialect):
    return sum((DIALECTS[dialect](text) for text in loop), Effects())


def unrolled(does, backend, tile, arithmetic):
    """How often the loop holds the tile, or 0 when it is not the loop of this tile."""
    rows, vectors = tile
    for times in range(1, MOST_UNROLLED + 1):
        steps = times * rows * vectors
        wanted = {"fused": steps} if arithmetic == "Fused" else {"product": steps, "sum": steps}
        loads = {"load": times * vectors, "broadcast": times * rows}
        if backend in ONE_LANE:
            loads = {"load": times * (rows + vectors)}
        if all(does[kind] == count for kind, count in {"fused": 0, "product": 0, "sum": 0, **wanted, **loads}.items()):
            return times
    return 0


TABLE = "{:<25} {:<3} {:<16} {:<4} {:>5} {:>6} {:>5} {:>5} {:>9} {:>6} {:>5} {:>5} {:>12} {:>8}  {:<5} {}"
HEAD = ("target", "opt", "backend", "tile", "loops", "unroll", "steps", "loads", "broadcast", "stores", "stack", "calls",
        "instructions", "per step", "", "large loops of tails and lanes across")


def judge(loops, dialect, where, tile, arithmetic, show):
    """Prints the line of one tile, of the longest of its loops, and returns what is wrong with it."""
    backend, height, width = where[2].partition("/")[0], *tile
    full, special, calling, wrong = [], 0, 0, []
    for loop in loops:
        does = effects_of(loop, dialect)
        if does["special"] + does["call"]:
            large = does["fused"] + does["sum"] >= height * width
            special += large
            calling += large and does["call"] > 0
        elif times := unrolled(does, backend, tile, arithmetic):
            full.append((len(loop), times, does, loop))
        else:
            wrong += [f"a loop of {rows} rows" for rows in range(height + 1, 2 * height + 1)
                      if unrolled(does, backend, (rows, width), arithmetic)]
    if len(full) < 2:
        wrong.append(f"{len(full)} loops of the full tile, expected one for each of the two terms")
    known = KNOWN.get(where, 0)
    for _, _, does, _ in full:
        wrong += [f"{does['store']} stores in the loop"] * (does["store"] > 0)
        wrong += [f"{does['stack']} accesses to the stack in the loop, expected {known}"] * (does["stack"] > known)
    length, times, does, loop = max(full, key=lambda entry: entry[0] / entry[1], default=(0, 0, Effects(), []))
    steps = does["fused"] + does["sum"]
    verdict = "WRONG" if wrong else "known" if does["stack"] else "ok"
    print(TABLE.format(*where, f"{height}x{width}", len(full), times, steps, does["load"], does["broadcast"],
                       does["store"], does["stack"], does["call"], length, f"{length / steps:.2f}" if steps else "-",
                       verdict, f"{special}, {calling} with calls"))
    if show:
        print("\n".join(f"    | {text}" for text in loop))
    return wrong


def main():
    parser = argparse.ArgumentParser(description="The machine code of the register tile keeps its shape.")
    parser.add_argument("--only", default="", metavar="TEXT", help='part of "target opt-level"')
    parser.add_argument("--show", action="store_true", help="print the loops")
    options = parser.parse_args()
    tool = objdump()
    checked, failures = 0, []
    print(TABLE.format(*HEAD).rstrip())
    for target, (dialect, backends, arithmetics) in TARGETS.items():
        for level in LEVELS:
            if options.only not in f"{target} {level}":
                continue
            with tempfile.TemporaryDirectory() as out:
                functions = disassemble(tool, compile_tiles(target, level, out))
            for backend, tile in backends.items():
                for arithmetic in arithmetics:
                    marks = (f"simd::{backend}::", f"simd::lanes::{arithmetic}")
                    loops = [loop for name, body in functions if all(mark in name for mark in marks)
                             for loop in innermost_loops(body, dialect == "wasm")]
                    where = (target, level, f"{backend}/{arithmetic.lower()}")
                    wrong = judge(loops, dialect, where, tile, arithmetic, options.show)
                    checked += 1
                    failures += [f"{' '.join(where)}: {fault}" for fault in wrong]
                    sys.stdout.flush()
    for failure in failures:
        print(f"FAILED: {failure}")
    if not checked:
        print("FAILED: nothing was looked at")
    elif not failures:
        print(f"ok: {checked} tiles have the expected shape; known accesses to the stack are marked")
    print(f"assembly: {checked} tiles, {len(failures)} faults")
    sys.exit(0 if checked and not failures else 1)


if __name__ == "__main__":
    main()
