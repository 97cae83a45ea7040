#!/usr/bin/env bash
# The demo page trains, in Chromium. Builds the package and the site, serves it, and runs the tests of the page. Prints a line
# "ok: ..." for every part; exits 0 only when every part ran and passed. Needs the groups `targets`, `wasm`, `web`, `arm` and
# `peft` of scripts/setup. Screenshots are in target/ci/demo.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
exec </dev/null
unset RUSTFLAGS CARGO_BUILD_TARGET

DEMO=bindings/js/demo
CHROMIUM=${CHROMIUM:-$(command -v chromium || true)}
export CHROMIUM

fail() { echo "FAILED: $*" >&2; exit 1; }
[ -n "$CHROMIUM" ] || fail "chromium is not there: scripts/setup web"
for tool in node npm qemu-system-arm target/peft/bin/python; do
  command -v $tool >/dev/null || fail "$tool is not there: scripts/setup web arm peft"
done

# The command of the README serves the page, and refuses what it does not know.
serve_works() {
  local log url pid
  log=$(mktemp)
  node $DEMO/serve --port 0 >"$log" &
  pid=$!
  for _ in $(seq 100); do
    url=$(sed -n 's/^serving .* at \(.*\) until stopped$/\1/p' "$log")
    [ -z "$url" ] || break
    sleep 0.1
  done
  [ -n "$url" ] || { kill $pid; fail "serve: $(cat "$log")"; }
  node -e "fetch('$url').then((r) => r.text()).then((t) => process.exit(t.includes('<h1>') ? 0 : 1))" || { kill $pid; fail "$url"; }
  kill $pid
  wait $pid 2>/dev/null || true
  ! node $DEMO/serve --port 70000 2>/dev/null || fail "serve takes a port that there is not"
  ! node $DEMO/serve --out src 2>/dev/null || fail "serve empties a folder that is not a site"
  echo "ok: serve: $(sed 's/ at .*//' "$log")"
  rm "$log"
}

bindings/js/build >/dev/null
echo "ok: package: $(cat bindings/js/dist/{,inline/}*.js | wc -c) bytes of JavaScript in bindings/js/dist"
npm ci --silent --no-audit --no-fund --prefix $DEMO
# It reads and writes files: how fast it does so is of no interest here.
CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo build --quiet --release -p lowrank-tools --bins
serve_works
echo "ok: $("$CHROMIUM" --version 2>/dev/null)"
# One after the other: they measure.
node --test --test-concurrency=1 --test-reporter=./$DEMO/test/reporter.js --test-reporter-destination=stdout $DEMO/test/*.test.js
$DEMO/bench
# That it runs, and that the contenders agree; the machine may be busy.
$DEMO/bench-peers --package --only "64x64 n 8"
echo "ok: the package beside TensorFlow.js in Chromium"
