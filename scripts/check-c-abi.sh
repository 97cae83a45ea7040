#!/usr/bin/env bash
# The C ABI is what the header says. Prints a line "ok: ..." with a count for every part; exits 0 only when every
# part ran and passed. Needs the groups `targets`, `c`, `arm`, `aarch64`, `i686` and `wasm` of scripts/setup.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
exec </dev/null
unset RUSTFLAGS CARGO_BUILD_TARGET OPT_LEVEL LIBC EXTRA CARGOFLAGS PREFIX

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
C=bindings/c
STRICT="-Wall -Wextra -Werror -pedantic -I $C"
SANITIZE="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
# What a C library or the compiler's own library provides.
ALLOWED='^(mem(cpy|set|cmp|move)|bcmp|f(max|min)f|__aeabi_(u?[idlf]|[fd]c)[a-z0-9_]+|__[a-z]+(sf|df|si|di|ti)[0-9a-z]*)$'

fail() { echo "FAILED: $*" >&2; exit 1; }
same() { diff -u "$2" "$3" || fail "$1"; }

# compile LANGUAGE SOURCES ARGUMENT...: as C99, C11 or C++17, warnings are errors
compile() {
  local language=$1 sources=$2
  shift 2
  # shellcheck disable=SC2086 # several words
  case $language in
    c99|c11) gcc -std="$language" $STRICT -x c $sources -x none "$@" ;;
    c++17) g++ -std=c++17 $STRICT -x c++ $sources -x none "$@" ;;
  esac
}

header_is_current() {
  cbindgen --quiet --config bindings/abi/cbindgen.toml --output "$work/lowrank.h" bindings/abi
  same "the header is not what cbindgen makes of bindings/abi" $C/lowrank.h "$work/lowrank.h"
  echo "ok: header: $(wc -l <$C/lowrank.h) lines, regenerated and the same"
}

layout_agrees() {
  local language
  layout "" "$work/layout.c"
  for language in c99 c11 c++17; do
    compile $language "$work/layout.c" -c -o "$work/layout.o"
  done
  echo "ok: layout on the host: $(grep -c '^LAYOUT(' "$work/layout.c") sizes and offsets agree in 3 languages"
  layout i686-unknown-linux-gnu "$work/layout32.c"
  compile c11 "$work/layout32.c" -m32 -fsyntax-only
  echo "ok: layout for i686: $(grep -c '^LAYOUT(' "$work/layout32.c") sizes and offsets agree"
  # bindings/abi/src/memory.rs asserts that numbers lie as on wasm32, which can run the program that prints.
  layout wasm32-wasip1 "$work/layout-arm.c"
  arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -std=c11 -ffreestanding -I $C -fsyntax-only "$work/layout-arm.c"
  echo "ok: layout for thumb: $(grep -c '^LAYOUT(' "$work/layout-arm.c") sizes and offsets agree"
}

# layout TARGET OUT: what Rust says of the structs
layout() { cargo run --quiet --package lowrank-abi --example layout ${1:+--target "$1"} >"$2"; }

# symbols KIND FILE: what is visible is what the header declares, what is missing is for a C library to provide
symbols() {
  local kind=$1 file=$2 prefix=${3:-} flags=${4:--g} missing
  "${prefix}nm" "$flags" --defined-only "$file" | awk 'NF == 3 { print $3 }' | sort >"$work/visible"
  same "$kind: visible symbols (right) are not the functions of the header" "$work/declared" "$work/visible"
  missing=$("${prefix}nm" "$flags" --undefined-only "$file" | awk '$1 == "U" { sub(/@.*/, "", $2); print $2 }' | grep -vE "$ALLOWED" || true)
  [ -z "$missing" ] || fail "$kind needs what no C library has: $missing"
  echo "ok: symbols of the $kind: $(wc -l <"$work/visible") visible, all of the header"
}

symbols_are_those_of_the_header() {
  compile c11 $C/lowrank.h -E -P >"$work/header.i"
  grep -oE '\blowrank_[a-z0-9_]+\(' "$work/header.i" | tr -d '(' | sort -u >"$work/named"
  grep -oE '^static inline [a-z_0-9]+ lowrank_[a-z0-9_]+\(|^ *static inline .*' "$work/header.i" \
    | grep -oE 'lowrank_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$work/inline"
  comm -23 "$work/named" "$work/inline" >"$work/declared"
  [ -s "$work/declared" ]
  symbols "static library" "$work/host/liblowrank.a"
  symbols "shared library" "$work/host/liblowrank.so.0" "" -D
  symbols "library for thumbv7em" "$work/m4/liblowrank.a" arm-none-eabi-
  symbols "library for thumbv6m" "$work/m0/liblowrank.a" arm-none-eabi-
}

every_function_is_misused() {
  tr '\n' ' ' <"$work/header.i" | grep -oE 'lowrank_[a-z0-9_]+\([^)]*lowrank_error \*error\)' | sed 's/(.*//' | sort >"$work/with-error"
  [ -s "$work/with-error" ]
  sed -nE 's/^    CALL\(([a-z0-9_]+), .*/lowrank_\1/p' $C/tests/misuse/calls.c | sort >"$work/misused"
  same "functions with an error (left) are not those of tests/misuse/calls.c" "$work/with-error" "$work/misused"
  echo "ok: misuse: all $(wc -l <"$work/misused") functions that take an error are called with every wrong one"
}

tests_pass() {
  local language digests line
  cargo run --quiet --package lowrank-abi --example golden >"$work/digests"
  [ "$(wc -l <"$work/digests")" = 2 ]
  for language in c99 c11 c++17; do
    # shellcheck disable=SC2086 # several words
    compile $language $C/tests/golden.c $SANITIZE "$work/host/liblowrank.a" -o "$work/golden"
    for digests in baseline detected; do
      "$work/golden" $digests >"$work/got" 2>"$work/calls" || fail "golden.c ($language, $digests)"
      same "golden.c ($language, $digests): digests differ from those of Rust" "$work/digests" "$work/got"
      echo "ok: golden values ($language, $digests): $(cat "$work/calls")"
    done
    # shellcheck disable=SC2086 # several words
    compile $language "$C/tests/misuse/*.c" $SANITIZE "$work/host/liblowrank.a" -o "$work/misuse"
    line=$("$work/misuse") || { echo "$line"; fail "misuse ($language)"; }
    grep -qE '^[1-9][0-9]+ misuses refused, 0 failures$' <<<"$line"
    echo "ok: misuse ($language): $line"
  done
}

# What examples/train.c does call by call, examples/layer.c does with one struct: they print the same.
examples_agree() {
  local example
  for example in train layer; do
    compile c99 $C/examples/$example.c -O1 "$work/host/liblowrank.a" -lm -o "$work/$example"
    "$work/$example" >"$work/$example.txt"
  done
  [ "$(wc -l <"$work/train.txt")" = 20 ]
  same "examples/layer.c prints something else than examples/train.c" "$work/train.txt" "$work/layer.txt"
  echo "ok: examples: $(tail -n 1 "$work/layer.txt"), call by call and with one struct"
}

nothing_clashes() {
  local libc clash="" digest
  gcc -std=c99 -O2 -fno-builtin -fno-tree-loop-distribute-patterns -c $C/tests/clash.c -o "$work/clash.o"
  compile c99 $C/tests/golden.c -O2 "$work/clash.o" "$work/host/liblowrank.a" -lm -o "$work/golden"
  "$work/golden" >"$work/got" 2>/dev/null
  same "golden.c beside another memcpy" "$work/digests" "$work/got"
  echo "ok: clash: a program with its own memcpy, memset, fmaxf, sqrtf: 2 digests"
  digest=$(CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo run --quiet --release -p lowrank-personalize -- --json --epochs 1 --arithmetic separate --backend scalar \
    | sed -n 's/^ *"digest": *"\([^"]*\)".*/\1/p')
  [ -n "$digest" ]
  for libc in newlib picolibc; do
    for clash in "" "$PWD/$C/tests/clash.c"; do
      LIBC=$libc EXTRA=${clash:+-fno-tree-loop-distribute-patterns $clash} firmware/c/build "$work/m4" --run >"$work/image" 2>&1 \
        || { cat "$work/image"; fail "the image with $libc${clash:+ and its own memcpy}"; }
      grep -qx "digest $digest" "$work/image" || { cat "$work/image"; fail "the digest of the host is $digest"; }
      echo "ok: Cortex-M4F, $libc${clash:+, its own memcpy}: $(grep digits "$work/image"), digest $digest as on the host"
    done
  done
}

# library_without_panics OUT [TARGET]: no panic can be reached. The handler calls a function that does not exist, and there is no code
# for it, so this is the library that others build without the feature.
library_without_panics() {
  local out=$1 target=${2:-} prefix= found
  case $target in thumb*) prefix=arm-none-eabi- ;; aarch64*) prefix=aarch64-linux-gnu- ;; esac
  # shellcheck disable=SC2086 # nothing, or one word
  CARGOFLAGS="--features panic-is-a-link-error" $C/library "$out" $target
  found=$("${prefix}nm" "$out/liblowrank.a" | grep -E 'lowrank_panic_can_be_reached|panicking|core.*3fmt' || true)
  [ -z "$found" ] || { echo "$found"; fail "a panic can be reached (${target:-host})"; }
  echo "ok: ${target:-host}: 0 panic or fmt symbols"
}

# What forward, backward, a step of AdamW and merge take of the library, call by call and on one struct for a layer, with all
# that they call but the C library, at the level of firmware.
bytes_are_counted() {
  local arithmetic surface functions bytes
  for arithmetic in both separate; do
    OPT_LEVEL=s ARITHMETIC=$arithmetic $C/library "$work/bytes" thumbv7em-none-eabihf
    for surface in calls layer; do
      case $surface in
        calls) functions="forward backward adamw_step merge" ;;
        layer) functions="layer_init layer_forward layer_backward layer_adamw_step layer_merge" ;;
      esac
      # shellcheck disable=SC2046 # several words
      arm-none-eabi-ld -r --gc-sections $(printf -- '-u lowrank_%s ' $functions) "$work/bytes/liblowrank.a" -o "$work/taken.o"
      bytes=$(arm-none-eabi-size -A "$work/taken.o" | awk '/^\.(text|rodata|data)/ { bytes += $2 } END { print bytes + 0 }')
      [ "$bytes" -gt 0 ]
      echo "ok: thumbv7em, opt-level s, arithmetic $arithmetic: $functions: $bytes bytes"
    done
  done
}

# A CPU without AVX-512, and one without AVX2 too: what they do not have is refused by every function, from the static and
# from the shared library; and what they have gives the digests of Rust.
other_cpus_are_asked() {
  local cpu lacks kind line
  # shellcheck disable=SC2086 # several words
  compile c11 "$C/tests/misuse/*.c" -O1 "$work/host/liblowrank.a" -o "$work/misuse-static"
  # shellcheck disable=SC2086 # several words
  compile c11 "$C/tests/misuse/*.c" -O1 "$work/host/liblowrank.so.0" -o "$work/misuse-shared"
  compile c11 $C/tests/golden.c -O1 "$work/host/liblowrank.a" -o "$work/golden"
  for cpu in Nehalem Haswell; do
    case $cpu in Nehalem) lacks="5 6 7 8" ;; Haswell) lacks="7 8" ;; esac
    for kind in static shared; do
      # shellcheck disable=SC2086 # several words
      line=$(LD_LIBRARY_PATH=$work/host qemu-x86_64 -cpu $cpu "$work/misuse-$kind" $lacks 2>&1) || { echo "$line"; fail "misuse on $cpu, $kind"; }
      echo "ok: misuse on $cpu, $kind: $(tail -n 1 <<<"$line")"
    done
    qemu-x86_64 -cpu $cpu "$work/golden" detected >"$work/got" 2>"$work/calls" || { cat "$work/calls"; fail "golden.c on $cpu"; }
    same "golden.c on $cpu" "$work/digests" "$work/got"
    echo "ok: golden values on $cpu: $(grep calls "$work/calls")"
  done
}

for tool in cbindgen gcc g++ arm-none-eabi-gcc qemu-system-arm qemu-x86_64 node; do
  command -v $tool >/dev/null || fail "$tool is not there: scripts/setup targets c arm aarch64 i686 wasm"
done
header_is_current
layout_agrees
library_without_panics "$work/host"
library_without_panics "$work/m4" thumbv7em-none-eabihf
library_without_panics "$work/m0" thumbv6m-none-eabi
library_without_panics "$work/aarch64" aarch64-unknown-linux-gnu
symbols_are_those_of_the_header
every_function_is_misused
tests_pass
examples_agree
nothing_clashes
other_cpus_are_asked
bytes_are_counted
scripts/check-cmake.sh
