#!/usr/bin/env python3
"""Writes the frozen network and the digits of demo/data as constants in C, for the linker to put into flash.

    data.py OUT.c
"""
import pathlib
import struct
import sys

DATA = pathlib.Path(__file__).resolve().parents[2] / "demo" / "data"


def main(out):
    base = (DATA / "base.bin").read_bytes()
    digits = (DATA / "digits.bin").read_bytes()
    words = ", ".join(f"0x{word:08x}u" for (word,) in struct.iter_unpack("<I", base))
    numbers = ", ".join(map(str, digits))
    pathlib.Path(out).write_text(
        "#include <stdint.h>\n"
        f"const uint32_t BASE[{len(base) // 4}] = {{{words}}}; /* bits of f32 */\n"
        f"const uint8_t DIGITS[{len(digits)}] = {{{numbers}}};\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
