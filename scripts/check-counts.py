#!/usr/bin/env python3
"""Fixed calls take as many instructions as benches/counts/counts.txt says, within 2 %.

Runs benches/counts/counts.rs on each backend and counts the instructions of every call: scalar and AVX2 under callgrind, NEON under
qemu-aarch64 with the plugin scripts/insncount.c. Counts are instructions, not cycles. AVX-512 is not counted, as callgrind
does not know it; Cortex-M and RISC-V are not counted yet.

  scripts/check-counts.py            compare
  scripts/check-counts.py --bless    write counts.txt anew

Exits 0 only when every call in counts.txt was counted, no other, and each within 2 %: fewer instructions are to be blessed,
too. Installs the Debian packages that it needs, as root or with sudo. The crate is handed to rustc as Cargo would do it, but
without the names that Cargo derives from the directory: they change the order of functions, and with it the counts.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "benches" / "counts" / "counts.txt"
TOLERANCE = 0.02

HOST, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
BACKENDS = {
    HOST: ("scalar/separate", "avx2/separate", "avx2/fused"),
    ARM: ("neon/separate", "neon/fused"),
}
# Commands that are needed, and the packages that bring them.
NEEDED = {
    "valgrind": "valgrind", "gcc": "gcc", "qemu-aarch64": "qemu-user", "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
}


def run(command, **more):
    return subprocess.run([str(word) for word in command], check=True, text=True, stdin=subprocess.DEVNULL, **more)


def install_what_is_missing():
    missing = [package for command, package in NEEDED.items() if not shutil.which(command)]
    if not missing:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    run([*sudo, "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "update"])
    run([*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q", "--no-install-recommends",
         "--no-remove", "-o", "DPkg::Lock::Timeout=900", *missing, "libc6-dev-arm64-cross"])


def build(target, scratch):
    """The library and the program in one piece, as `lto = "fat"` with one codegen unit does it."""
    out = scratch / target
    flags = ["--edition", "2024", "--target", target, "-Copt-level=3", "-Ccodegen-units=1", "-Dwarnings", "--out-dir", out]
    flags += ["-Clinker=aarch64-linux-gnu-gcc"] if target == ARM else []
    run(["rustc", *flags, "--crate-name", "lowrank", "--crate-type", "rlib", "--cfg", 'feature="std"', "-Clinker-plugin-lto",
         "src/lib.rs"], cwd=ROOT)
    run(["rustc", *flags, "--crate-name", "counts", "--crate-type", "bin", "-Clto=fat", "-Cstrip=debuginfo",
         "--extern", f"lowrank={out}/liblowrank.rlib", "benches/counts/counts.rs"], cwd=ROOT)
    return out / "counts"


def under_callgrind(program, backend, scratch):
    """The calls, and the instructions from mark to mark."""
    out = scratch / "callgrind"
    calls = run(["valgrind", "--tool=callgrind", "--dump-before=mark", f"--callgrind-out-file={out}", program, backend],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    dumps = sorted(scratch.glob("callgrind.*"), key=lambda path: int(path.suffix[1:]))
    counts = [int(re.search(r"^totals: (\d+)", dump.read_text(), re.MULTILINE)[1]) for dump in dumps]
    for dump in dumps:
        dump.unlink()
    return calls, counts


def under_qemu(program, backend, scratch):
    """The calls, and the instructions from mark to mark."""
    plugin = scratch / "insncount.so"
    if not plugin.exists():
        run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", plugin, ROOT / "scripts" / "insncount.c"])
    done = run(["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-plugin", plugin, program, backend],
               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.stdout, [int(line) for line in done.stderr.split()]


def measure():
    """Instructions per (backend, call)."""
    counted = {}
    with tempfile.TemporaryDirectory() as scratch:
        for target, backends in BACKENDS.items():
            program = build(target, pathlib.Path(scratch))
            for backend in backends:
                tool = under_callgrind if target == HOST else under_qemu
                calls, counts = tool(program, backend, pathlib.Path(scratch))
                calls = calls.splitlines()
                # Before, call, between, call, ...: every second number.
                if not calls or len(counts) < 2 * len(calls):
                    sys.exit(f"FAILED: {backend}: {len(calls)} calls, {len(counts)} counts")
                counted |= {(backend, call): count for call, count in zip(calls, counts[1::2])}
    return counted


def read_committed():
    """The compiler that counts.txt was written with, and its counts."""
    lines = COMMITTED.read_text().splitlines()
    rows = [re.split(r" {2,}", line) for line in lines if line and not line.startswith("#")]
    compiler = next(line for line in lines if line.startswith("# rustc")).removeprefix("# ")
    return compiler, {(backend, call): int(count) for backend, call, count in rows}


def write_committed(compiler, counted):
    lines = ["# Instructions of fixed calls, by scripts/check-counts.py --bless.", f"# {compiler}"]
    lines += [f"{backend:<16}  {call:<34}  {count:>9}" for (backend, call), count in counted.items()]
    COMMITTED.write_text("\n".join(lines) + "\n")
    print(f"wrote {len(counted)} counts to {COMMITTED.relative_to(ROOT)}")


def compare(committed, counted):
    """Prints a line per call; returns the number of faults."""
    faults = 0
    print(f"{'backend':<16}  {'call':<34}  {'committed':>9}  {'now':>9}  {'ratio':>6}")
    for key in dict.fromkeys([*committed, *counted]):
        was, now = committed.get(key), counted.get(key)
        ratio = now / was if was and now else None
        good = ratio is not None and abs(ratio - 1) <= TOLERANCE
        faults += not good
        print(f"{key[0]:<16}  {key[1]:<34}  {was or 'none':>9}  {now or 'none':>9}  "
              f"{f'{ratio:.4f}' if ratio else '-':>6}{'' if good else '  FAILED'}")
    return faults


def main():
    parser = argparse.ArgumentParser(description="Fixed calls take as many instructions as counts.txt says.")
    parser.add_argument("--bless", action="store_true", help="write counts.txt anew")
    options = parser.parse_args()
    install_what_is_missing()
    compiler = run(["rustc", "--version"], stdout=subprocess.PIPE).stdout.strip()
    counted = measure()
    if options.bless:
        write_committed(compiler, counted)
        return
    written_with, committed = read_committed()
    faults = compare(committed, counted)
    if compiler != written_with:
        print(f"NOTE: counted with {compiler}, compared with counts of {written_with}")
    print("not counted: avx512 (callgrind does not know it), Cortex-M, RISC-V")
    print(f"{'ok' if not faults else 'FAILED'}: {len(committed) - faults} of {len(committed)} calls within {TOLERANCE:.0%}")
    print(f"counts: {len(counted)} calls, {faults} faults")
    sys.exit(0 if counted and not faults else 1)


if __name__ == "__main__":
    main()
