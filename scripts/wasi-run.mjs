// node wasi-run.mjs PROGRAM.wasm [ARG...]: runs a wasm32-wasip1 program, which sees the working directory and these variables.
import { WASI } from 'node:wasi';
import { readFile } from 'node:fs/promises';

const PASSED_ON = /^(LOWRANK_|RUST_|PROPTEST_)/;

const [, , file, ...args] = process.argv;
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => PASSED_ON.test(name)));
const here = process.cwd();
const preopens = { '.': here, [here]: here };
const wasi = new WASI({ version: 'preview1', args: [file, ...args], env, preopens, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(file));
const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: wasi.wasiImport });
process.exitCode = wasi.start(instance);
