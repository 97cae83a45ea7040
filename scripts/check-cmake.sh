#!/usr/bin/env bash
# A part of check-c-abi.sh: the C library as others get it, by bindings/c/library, CMake and pkg-config. Prints a line "ok: ..." for every
# way; exits 0 only when every way ran and gave a program that trains, or was refused with a sentence where it has to be.
# Needs the groups `targets`, `c`, `arm` and `i686` of scripts/setup.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
exec </dev/null
unset RUSTFLAGS CARGO_BUILD_TARGET OPT_LEVEL LIBC EXTRA CARGOFLAGS PREFIX CC LD OBJCOPY AR NM DESTDIR CFLAGS PKG_CONFIG_PATH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A checkout with a space in its path.
C="$work/a checkout/bindings/c"
M4="-mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard"

fail() { echo "FAILED: $*" >&2; exit 1; }
# quietly COMMAND...: shows the output when it fails
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log"; fail "$*"; }; }
# refused SENTENCE COMMAND...: fails, and says why
refused() {
  local sentence=$1
  shift
  if "$@" >"$work/log" 2>&1; then fail "was not refused: $*"; fi
  # CMake breaks lines.
  tr -s '\n ' ' ' <"$work/log" | grep -qF -- "$sentence" || { cat "$work/log"; fail "does not say \"$sentence\": $*"; }
}
trains() { "$@" | grep -q '^step 19: loss 1.1711' || fail "does not train: $*"; }
is_for() { readelf -h "$1" | grep -qE "Machine: +$2" || { readelf -h "$1"; fail "$1 is not for $2"; }; }

# project FOLDER LINES: a project that trains, with those lines to get the library
project() {
  mkdir -p "$1"
  cat >"$1/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.19)
project(user LANGUAGES C)
$2
foreach(kind lowrank shared)
  add_executable(train-\${kind} "$C/examples/train.c")
  target_link_libraries(train-\${kind} PRIVATE lowrank::\${kind})
endforeach()
END
}

library_links_with_any_compiler() {
  local out=$work/library cc
  ln -s /usr/bin/gcc "$work/my gcc"
  for cc in "gcc -m64" "ccache gcc" "'$work/my gcc' -m64 -O2" "$work/my gcc" '"gcc" "-DNAME=a b"'; do
    rm -rf "$out"
    CC=$cc quietly "$C/library" "$out"
    [ "$(ls "$out")" = $'liblowrank.a\nliblowrank.so\nliblowrank.so.0' ] || fail "CC=$cc: $(ls "$out")"
    is_for "$out/liblowrank.so.0" ".*X86-64"
  done
  for cc in "nothere -m64|nothere is not on the PATH" "'gcc|a quote has no end" "gcc -nothere|-nothere" "ccache nothere|nothere"; do
    rm -rf "$out"
    CC=${cc%|*} refused "${cc#*|}" "$C/library" "$out"
    [ -z "$(ls "$out" 2>/dev/null)" ] || fail "CC=$cc leaves $(ls "$out")"
  done
  OBJCOPY=nothere refused "nothere is not on the PATH" "$C/library" "$out"
  OPT_LEVEL=7 refused "expected s, 2 or 3" "$C/library" "$out"
  refused "rustc knows no target thumbv9" "$C/library" "$out" thumbv9
  [ -z "$(ls "$out" 2>/dev/null)" ] || fail "a library that is refused leaves $(ls "$out")"
  # Of one target, nothing is left for another.
  quietly "$C/library" "$out"
  quietly "$C/library" "$out" thumbv7em-none-eabihf
  [ "$(ls "$out")" = liblowrank.a ] || fail "beside a library for a Cortex-M: $(ls "$out")"
  # Two at a time, that differ.
  OPT_LEVEL=s "$C/library" "$work/small" & local small=$!
  OPT_LEVEL=3 "$C/library" "$work/fast" & local fast=$!
  wait $small && wait $fast || fail "two libraries at a time"
  OPT_LEVEL=s quietly "$C/library" "$work/small again"
  cmp "$work/small/liblowrank.a" "$work/small again/liblowrank.a" || fail "two libraries at a time are one"
  echo "ok: bindings/c/library: 5 compilers of several words link it, 7 mistakes are refused and leave nothing, two at a time differ"
}

found_where_it_was_installed() {
  local libdir prefix generator
  for libdir in lib lib64 "lib/deep er"; do
    generator="Unix Makefiles"
    [ "$libdir" != lib64 ] || generator=Ninja
    quietly cmake -G "$generator" -S "$C" -B "$work/b uild $libdir" -DCMAKE_INSTALL_LIBDIR="$libdir" -DCMAKE_INSTALL_PREFIX=/usr
    quietly cmake --build "$work/b uild $libdir" -j 4
    prefix="$work/pre fix $libdir"
    quietly cmake --install "$work/b uild $libdir" --prefix "$prefix"
    consumers "$prefix" "$libdir"
    # The whole prefix can be moved, and so can a staged one.
    mv "$prefix" "$work/moved"
    consumers "$work/moved" "$libdir"
    rm -rf "$work/moved"
    DESTDIR="$work/stage" quietly cmake --install "$work/b uild $libdir"
    mv "$work/stage/usr" "$work/moved"
    consumers "$work/moved" "$libdir"
    rm -rf "$work/moved" "$work/stage"
    echo "ok: CMake ($generator): libdir '$libdir': --prefix, moved, DESTDIR: find_package and pkg-config give programs that train"
  done
  quietly cmake -S "$C" -B "$work/absolute" -DCMAKE_INSTALL_LIBDIR="$work/ab solute" -DCMAKE_INSTALL_INCLUDEDIR=inc
  quietly cmake --build "$work/absolute"
  quietly cmake --install "$work/absolute" --prefix "$work/other"
  by_pkg_config "$work/ab solute/pkgconfig" "$work/ab solute"
  echo "ok: CMake: an absolute libdir, and a prefix that only the installation knows: pkg-config gives a program that trains"
}

# consumers PREFIX LIBDIR
consumers() {
  local kind
  rm -rf "$work/user" "$work/user build"
  project "$work/user" "find_package(lowrank 0.1 REQUIRED)"
  quietly cmake -S "$work/user" -B "$work/user build" -DCMAKE_PREFIX_PATH="$1" -Dlowrank_DIR="$1/$2/cmake/lowrank"
  quietly cmake --build "$work/user build"
  for kind in lowrank shared; do trains "$work/user build/train-$kind"; done
  by_pkg_config "$1/$2/pkgconfig" "$1/$2"
}

# by_pkg_config FOLDER LIBDIR
by_pkg_config() {
  local flags
  flags=$(PKG_CONFIG_PATH=$1 pkg-config --cflags --libs lowrank)
  eval "gcc -std=c99 -Wall -Wextra -Werror -pedantic '$C/examples/train.c' $flags -o '$work/train'" || fail "pkg-config says $flags"
  LD_LIBRARY_PATH=$2 trains "$work/train"
}

built_with_its_user() {
  local way lines generator kind
  for way in add_subdirectory FetchContent; do
    case $way in
      add_subdirectory) lines="add_subdirectory(\"$C\" lowrank)" ;;
      FetchContent) lines="include(FetchContent)
FetchContent_Declare(lowrank URL /nowhere SOURCE_SUBDIR bindings/c)
FetchContent_MakeAvailable(lowrank)" ;;
    esac
    for generator in "Unix Makefiles" Ninja; do
      rm -rf "$work/user" "$work/user build"
      project "$work/user" "$lines"
      quietly cmake -G "$generator" -S "$work/user" -B "$work/user build" -DFETCHCONTENT_SOURCE_DIR_LOWRANK="$work/a checkout"
      quietly cmake --build "$work/user build" -j 4
      for kind in lowrank shared; do trains "$work/user build/train-$kind"; done
      quietly cmake --install "$work/user build" --prefix "$work/nothing"
      [ ! -e "$work/nothing" ] || fail "$way: a part of another project installs itself"
      echo "ok: CMake ($generator): $way gives lowrank::lowrank and lowrank::shared, which train"
    done
  done
}

built_for_another_machine() {
  local line flags target
  cat >"$work/arm.cmake" <<'END'
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
END
  for line in "$M4|thumbv7em-none-eabihf" "-mcpu=cortex-m4 -mthumb|thumbv7em-none-eabi" "-mcpu=cortex-m7 -mthumb|thumbv7em-none-eabi" \
    "-mcpu=cortex-m0plus -mthumb|thumbv6m-none-eabi" "-mcpu=cortex-m33 -mfloat-abi=hard|thumbv8m.main-none-eabihf" \
    "-mcpu=cortex-m3|thumbv7m-none-eabi" "-mcpu=cortex-m23|thumbv8m.base-none-eabi"; do
    flags=${line%|*} target=${line#*|}
    rm -rf "$work/cross"
    quietly cmake -S "$C" -B "$work/cross" -DCMAKE_TOOLCHAIN_FILE="$work/arm.cmake" -DCMAKE_C_FLAGS="$flags"
    grep -qx -- "-- lowrank: for $target" "$work/log" || { cat "$work/log"; fail "$flags is not $target"; }
  done
  for flags in "" "-mcpu=cortex-a9" "-mcpu=cortex-m4 -mbig-endian"; do
    rm -rf "$work/cross"
    refused "set LOWRANK_TARGET to a Rust target" cmake -S "$C" -B "$work/cross" -DCMAKE_TOOLCHAIN_FILE="$work/arm.cmake" -DCMAKE_C_FLAGS="$flags"
  done
  rm -rf "$work/cross"
  quietly cmake -S "$C" -B "$work/cross" -DLOWRANK_TARGET=riscv32imac-unknown-none-elf -DCMAKE_C_FLAGS=-DANY
  grep -qx -- "-- lowrank: for riscv32imac-unknown-none-elf" "$work/log" || fail "LOWRANK_TARGET does not win"
  echo "ok: CMake: 7 Cortex-M by their flags, 3 machines that there is no target for are refused, LOWRANK_TARGET wins"

  # An image for a Cortex-M4F in one build, and run.
  mkdir -p "$work/board"
  cat >"$work/board/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.19)
project(board LANGUAGES C)
add_subdirectory("$C" lowrank)
add_executable(train.elf "$C/examples/train.c")
target_link_libraries(train.elf PRIVATE lowrank::lowrank)
END
  printf '%s\n' "__flash = 0x00000000;" "__flash_size = 4M;" "__ram = 0x20000000;" "__ram_size = 4M;" "__stack_size = 8K;" \
    "INCLUDE picolibc.ld" >"$work/board/memory.ld"
  quietly cmake -S "$work/board" -B "$work/board/build" -DCMAKE_TOOLCHAIN_FILE="$work/arm.cmake" -DCMAKE_C_FLAGS="$M4 --specs=picolibc.specs" \
    -DCMAKE_EXE_LINKER_FLAGS="--crt0=hosted --oslib=semihost -T $work/board/memory.ld -Wl,--gc-sections,--no-warn-execstack"
  quietly cmake --build "$work/board/build"
  is_for "$work/board/build/train.elf" ARM
  trains timeout 60 qemu-system-arm -machine mps2-an386 -display none -chardev stdio,id=out -semihosting-config enable=on,chardev=out \
    -kernel "$work/board/build/train.elf"
  echo "ok: CMake: cross compiled for a Cortex-M4F with nothing but a toolchain file, and trains on it"

  # Installed for one machine, it is not found by another; a 32-bit compiler gives a 32-bit library.
  rm -rf "$work/cross" "$work/user build"
  quietly cmake -S "$C" -B "$work/cross" -DCMAKE_TOOLCHAIN_FILE="$work/arm.cmake" -DCMAKE_C_FLAGS="$M4"
  quietly cmake --build "$work/cross"
  quietly cmake --install "$work/cross" --prefix "$work/for arm"
  project "$work/user" "find_package(lowrank 0.1 REQUIRED)"
  refused "Could not find a configuration file" cmake -S "$work/user" -B "$work/user build" \
    -Dlowrank_DIR="$work/for arm/lib/cmake/lowrank"
  rm -rf "$work/cross"
  quietly cmake -S "$C" -B "$work/cross" -DCMAKE_C_FLAGS=-m32
  quietly cmake --build "$work/cross"
  is_for "$work/cross/library/liblowrank.so.0" "Intel 80386"
  gcc -m32 -I "$C" "$C/examples/train.c" "$work/cross/library/liblowrank.a" -lm -o "$work/train"
  trains "$work/train"
  rm -rf "$work/cross"
  CC="ccache gcc -m64" quietly cmake -S "$C" -B "$work/cross"
  quietly cmake --build "$work/cross"
  is_for "$work/cross/library/liblowrank.so.0" ".*X86-64"
  echo "ok: CMake: CC of several words, -m32; what is installed for a Cortex-M is not found for the host"
}

for tool in cargo gcc cmake ninja ccache pkg-config arm-none-eabi-gcc qemu-system-arm readelf; do
  command -v $tool >/dev/null || fail "$tool is not there: scripts/setup targets c arm i686"
done
# How the library is made is tried here, not what is in it: it has no vector code and one arithmetic, which is soon compiled.
export RUSTFLAGS="--cfg lowrank_scalar_only --cfg lowrank_separate_only" CARGO_TARGET_DIR=$work/target
mkdir "$work/a checkout"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$work/a checkout"
library_links_with_any_compiler
found_where_it_was_installed
built_with_its_user
built_for_another_machine
