#!/usr/bin/env bash
# The npm package is what its README says. Prints a line "ok: ..." for every part; exits 0 only when every part ran and
# passed. Needs the groups `targets`, `wasm`, `c`, `web`, `hosts` and `peft` of scripts/setup.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../bindings/js"
exec </dev/null
unset RUSTFLAGS CARGO_BUILD_TARGET

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
# quietly WHAT COMMAND...: shows the output only when it fails
quietly() { local what=$1; shift; "$@" >"$work/log" 2>&1 || { cat "$work/log"; fail "$what"; }; }

for tool in node npm cargo chromium firefox-esr ../../target/wasmtime/bin/python ../../target/peft/bin/python; do
  command -v "$tool" >/dev/null || fail "$tool is not there: scripts/setup targets wasm c web hosts peft"
done
quietly "npm ci" npm ci --no-audit --no-fund
quietly "npm ci, for the environments" npm ci --no-audit --no-fund --prefix test/environments
grep -lq '"resolved"' package-lock.json test/environments/package-lock.json && fail "a package-lock.json names a registry"
quietly "the build" ./build
echo "ok: built: $(ls dist/*.wasm | wc -l) modules, $(ls dist/*.js | wc -l) scripts, $(ls dist/*.d.ts | wc -l) declarations"
quietly "src/layout.js" node scripts/layout.mjs --check
echo "ok: layout.js: $(grep -c '^export' src/layout.js) offsets and codes are those of the ABI"
quietly "src/peft-fields.js" node scripts/fields.mjs --check
echo "ok: peft-fields.js: its fields are those of the command"
node scripts/sizes.mjs --check | sed 's/^/ok: /'
quietly "the types" npx --no-install tsc --project test/types/tsconfig.json
echo "ok: types: a program in strict TypeScript compiles"
npm pack --ignore-scripts --pack-destination "$work" >/dev/null 2>&1
tarball=$(ls "$work"/*.tgz)
quietly publint npx --no-install publint run "$tarball" --strict
echo "ok: publint: no complaint"
quietly attw npx --no-install attw "$tarball" --profile esm-only
echo "ok: attw: types resolve for every entry"
strangers=$(tar -tzf "$tarball" | grep -vE '^package/(package\.json|README\.md|LICENSE-(MIT|APACHE)|dist/[a-z0-9-]+\.wasm|dist/(inline/)?[a-z0-9-]+\.d\.ts|dist/[a-zA-Z0-9-]+\.js(\.map)?|dist/inline/(small|files)\.js)$' || true)
[ -z "$strangers" ] || fail "what should not ship: $strangers"
echo "ok: $(tar -tzf "$tarball" | wc -l) files would ship, $(stat -c %s "$tarball") bytes"
grep -qE '\beval\(|new Function' dist/*.js dist/inline/*.js && fail "eval in dist"
echo "ok: no eval"
quietly "the tests" node --test --test-reporter=tap test/*.test.js
grep -qE '^# skipped 0$' "$work/log" || { grep SKIP "$work/log"; fail "tests were skipped"; }
passed=$(sed -n 's/^# pass //p' "$work/log")
[ "$passed" -ge 60 ] || fail "$passed tests ran"
echo "ok: $passed tests"
# Not through a pipe: browsers and bundlers may outlive the runner, and keep it open.
test/environments/run >"$work/environments" || { cat "$work/environments"; fail "an environment"; }
cat "$work/environments"
