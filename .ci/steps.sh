# shellcheck shell=bash
# The steps of .ci/run: what each is called, when it runs, what it has to count, and what it does. Read by .ci/run.

MSRV=1.89.0
NATIVE=$(scripts/native-backends) || exit 1
BARE_TARGETS="thumbv6m-none-eabi thumbv7em-none-eabi thumbv7em-none-eabihf thumbv8m.main-none-eabihf
riscv32imc-unknown-none-elf riscv32imac-unknown-none-elf riscv32imafc-unknown-none-elf wasm32-unknown-unknown"
# Miri hides the environment from the program unless told otherwise.
MIRI="-Zmiri-strict-provenance -Zmiri-env-forward=LOWRANK_EXPECT"

# What is counted (at least one is needed): tests that passed, or lines that start with "ok: ". What follows "note: " is shown, too.
# Backends become LOWRANK_EXPECT, and each has to appear in a line "promise NAME BACKEND/...: COUNT ...".
# The steps of lane 0 run first: nothing is built while compilers are installed. Then the lanes 1 and 2 at the same time, each one
# step after the other. What a lane builds and then runs lies in directories that the other lane does not build in.
STEPS="
# step            lane  counted  backends
cargo-test        0     tests    -
setup             0     -        -
demo-test         1     tests    -
promises-full     1     tests    $NATIVE
promises-native   1     tests    $NATIVE
tools             1     tests    -
peft              1     oks      -
firmware          1     oks      -
rustfmt           1     -        -
clippy            1     -        -
rustdoc           1     -        -
features          1     oks      -
dependencies      1     oks      -
aarch64           1     tests    scalar,neon
wasm              1     tests    scalar
wasm-simd128      1     tests    scalar,simd128
wasm-small        1     tests    scalar,simd128
i686              1     tests    scalar
digests           1     oks      -
benches           1     oks      -
asan              2     tests    -
npm               1     oks      -
page              1     oks      -
mutants           2     oks      -
bare-targets      2     oks      -
msrv              2     -        -
miri              2     tests    scalar,avx2,avx512
fuzz              2     oks      -
peers             2     oks      -
assembly          2     oks      -
counts            2     oks      -
c-abi             2     oks      -
cost              2     oks      -
"

step_cargo-test() { cargo test; }
step_setup() { scripts/setup; }
step_demo-test() { cargo test -p lowrank-demo -p lowrank-personalize; }
step_tools() { cargo test -p lowrank-tools -p lowrank-embedded-storage; }
step_peft() {
  (
    quick_build
    cargo build --release -p lowrank-personalize -p lowrank-tools --bins --examples
    target/peft/bin/python tools/tests/peft_round_trip.py --bin target/release
  )
}
# The commands of the README as they are written there; then every image on every board. The vectors of m55-helium flush
# subnormals, which the selftest has to see.
step_firmware() {
  local board said
  (
    cd firmware
    cargo fmt --check
    cargo clippy --release --bins --lib -- -D warnings
    cargo clippy --release --bins --lib --target riscv32imafc-unknown-none-elf -- -D warnings
  )
  scripts/quickstart firmware/README.md
  from_peft_into_flash
  for board in $(firmware/run --list | grep -vx m55-helium); do
    firmware/run "$board" golden
    echo "ok: golden on $board"
    firmware/run "$board" stack
    echo "ok: stack on $board"
    # The others have no FPU, and so no flags.
    case $board in m0 | rv32imac) ;; *)
      firmware/run "$board" flags
      echo "ok: flags on $board" ;;
    esac
    if said=$(firmware/run "$board" fault 2>&1); then echo "$said"; return 1; fi
    grep -x "failed: a fault at 0x[0-9a-f]*" <<<"$said"
    echo "ok: fault on $board"
  done
  if said=$(firmware/run m55-helium golden 2>&1); then echo "$said"; return 1; fi
  grep -F "the selftest failed: Deviation { probe: 24, expected: 1, got: 0 }" <<<"$said"
  echo "ok: the selftest refuses vectors that flush subnormals"
}
from_peft_into_flash() {
  local commands
  commands=$(awk '/^## / { on = /From PEFT into flash/ } on && /^```$/ { exit } code { print } on && /^```sh$/ { code = 1 }' README.md)
  [ "$(grep -c . <<<"$commands")" = 3 ]
  (
    quick_build
    export CARGO_INSTALL_ROOT=$PWD/$LOGS/install PATH=$PWD/$LOGS/install/bin:$PATH
    bash -euxo pipefail -c "$commands"
    echo "ok: three commands of the README"
  )
  git diff --exit-code -- firmware
  echo "ok: what is committed is what they write"
}
step_rustfmt() { cargo fmt --all --check; }
step_clippy() { cargo clippy --workspace --all-targets --all-features -- -D warnings; }
# The workspace; the crate alone without features and with each; as docs.rs builds it, where `std` has to be named.
step_rustdoc() {
  local feature
  export RUSTDOCFLAGS="-D warnings"
  cargo doc --workspace --no-deps --all-features
  for feature in "" $(features); do
    cargo doc --package lowrank --no-deps --no-default-features --features "$feature"
    echo "ok: documented with ${feature:-no feature}"
  done
  RUSTDOCFLAGS="-D warnings --cfg docsrs" \
    cargo +nightly doc --target-dir target/docsrs --package lowrank --no-deps --all-features
  [ "$(grep -oF 'crate feature <code>std</code>' target/docsrs/doc/lowrank/struct.Backend.html | wc -l)" = 2 ]
  echo "ok: documented as on docs.rs, with the features of what needs one"
}
features() { awk '/^\[/ { on = $0 == "[features]" } on && /^[a-z]/ && $1 != "default" { print $1 }' Cargo.toml; }
step_features() {
  local feature
  cargo clippy --lib --no-default-features -- -D warnings
  echo "ok: no feature"
  for feature in $(features); do
    cargo clippy --lib --no-default-features --features "$feature" -- -D warnings
    echo "ok: only $feature"
  done
  RUSTFLAGS="--cfg lowrank_separate_only" cargo clippy --lib -p lowrank -p lowrank-abi -- -D warnings
  echo "ok: without Fused"
  RUSTFLAGS="--cfg lowrank_small --cfg lowrank_separate_only" cargo clippy --lib -p lowrank -p lowrank-abi -- -D warnings
  echo "ok: small"
}
step_dependencies() {
  local tree crates
  tree=$(cargo tree -e normal -p lowrank --all-features --target all --prefix none --format '{lib}')
  crates=$(sort -u <<<"$tree")
  echo "$crates"
  grep -qx lowrank <<<"$crates"
  if grep -vxE 'lowrank|libm' <<<"$crates"; then echo "lowrank depends on more than libm"; return 1; fi
  echo "ok: lowrank depends on nothing, or on libm"
}
# Optimised, but without optimisation at link time, which would take longer than the tests.
quick_build() { export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16; }
quick_release() { (quick_build; cargo test --release "$@" -- --nocapture); }
step_promises-full() { LOWRANK_FULL=1 cargo test --release --test promises -- --nocapture; }
step_promises-native() { RUSTFLAGS=-Ctarget-cpu=native quick_release --test promises; }
step_aarch64() { quick_release --target aarch64-unknown-linux-gnu; }
step_wasm() { quick_release --target wasm32-wasip1; }
step_wasm-simd128() { RUSTFLAGS=-Ctarget-feature=+simd128 step_wasm; }
step_wasm-small() { RUSTFLAGS="-Ctarget-feature=+simd128 --cfg lowrank_small" step_wasm; }
step_i686() { quick_release --target i686-unknown-linux-gnu; }
step_bare-targets() {
  local target
  for target in $BARE_TARGETS; do
    cargo build --lib --no-default-features -p lowrank -p lowrank-embedded-storage -p lowrank-abi --target "$target"
    echo "ok: $target"
  done
}
step_msrv() { cargo "+$MSRV" check --lib --bins -p lowrank -p lowrank-demo -p lowrank-personalize -p lowrank-tools -p lowrank-embedded-storage -p lowrank-abi; }
step_miri() {
  MIRIFLAGS=$MIRI RUSTFLAGS=-Ctarget-feature=+avx512f,+avx2,+fma cargo +nightly miri test --test promises -- --nocapture miri
}
# The sanitizer calls its checks. Inline checks make the kernels so large that compiling takes twice as long.
SANITIZED_CALLS=-Cllvm-args=-asan-instrumentation-with-call-threshold=0
step_asan() {
  quick_build
  export CARGO_PROFILE_RELEASE_OPT_LEVEL=1
  RUSTFLAGS="-Zsanitizer=address $SANITIZED_CALLS" cargo +nightly test --release --target-dir target/asan \
    --target x86_64-unknown-linux-gnu --test promises -- --nocapture bounds::
}
step_fuzz() {
  local targets target runs seconds
  export RUSTFLAGS=$SANITIZED_CALLS
  targets=$(cargo +nightly fuzz list)
  for target in $targets; do
    case $target in file|peft) seconds=30 ;; *) seconds=10 ;; esac
    cargo +nightly fuzz run "$target" -- -max_total_time=$seconds 2>&1 | tee "$LOGS/fuzz-$target.log"
    runs=$(sed -n 's/^Done \([1-9][0-9]*\) runs in .*/\1/p' "$LOGS/fuzz-$target.log")
    [ -n "$runs" ]
    echo "ok: $target, $runs runs"
  done
}
step_digests() { scripts/digests; }
step_assembly() { scripts/check-assembly.py; }
step_counts() { scripts/check-counts.py; }
step_c-abi() {
  scripts/check-c-abi.sh
  scripts/quickstart bindings/c/README.md
  scripts/quickstart bindings/c/README.md "On a host"
  scripts/quickstart bindings/c/README.md "On a Cortex-M"
}
step_cost() { scripts/check-cost.py; }
step_npm() { scripts/check-npm.sh; }
# Its screenshots are in target/ci/demo.
step_page() { scripts/check-page.sh; }
# Five minutes of it: the faults in files that have changed, or a sample of all that the record judges.
step_mutants() { scripts/mutants --changed; }
step_benches() { (quick_build; cargo bench --workspace --no-run; scripts/readme-tables --check); }

# Speed is not judged here: that the programs run, and that their contenders agree.
step_peers() {
  local shape="64x64 n 8"
  (
    cd benches/peers
    cargo clippy --workspace --all-targets -- -D warnings
    cargo run --release --bin peers -- --only "$shape" --rounds 1 --seconds 0
    echo "ok: peers"
    RUSTFLAGS=-Ctarget-feature=+simd128 cargo clippy --package lowrank-peers-wasm --target wasm32-unknown-unknown -- -D warnings
    wasm/run --only "$shape" --rounds 1 --seconds 0
    echo "ok: peers in WebAssembly"
  )
}

# Builds that no later step uses.
spare() {
  case $1 in
    page) rm -rf target/js firmware/target ;;
    miri) rm -rf target/miri ;;
    asan) rm -rf target/asan ;;
    mutants) rm -rf target/faults ;;
    fuzz) rm -rf fuzz/target ;;
    digests) rm -rf target/{aarch64-unknown-linux-gnu,i686-unknown-linux-gnu,wasm32-wasip1} ;;
    peers) rm -rf benches/peers/target ;;
    cost) rm -rf target/cost ;;
  esac
}
