// Runs benches/peers/wasm on a page.

import { load } from './node.js';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';

const BINARIES = ['tfjs-backend-wasm-simd.wasm', 'tfjs-backend-wasm.wasm', 'tfjs-backend-wasm-threaded-simd.wasm'];

await load(['simd128.wasm', 'scalar.wasm', ...BINARIES]);
setWasmPaths('./');
// The bench looks at what is instantiated, to tell which binary that is.
WebAssembly.instantiateStreaming = undefined;
if (new URLSearchParams(location.search).has('package')) await import('../../../../benches/peers/wasm/package.mjs');
else await import('../../../../benches/peers/wasm/bench.mjs');
console.info(`exit ${process.exitCode ?? 0}`);
