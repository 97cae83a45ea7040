// node wasi-run.mjs RETURNED PROGRAM.wasm [ARG...]: runs a wasm32-wasip1 program, which sees the working directory and these
// variables, and writes what it returned into the file RETURNED.
import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';

const PASSED_ON = /^(LOWRANK_|RUST_|PROPTEST_)/;

const [, , returned, file, ...args] = process.argv;
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => PASSED_ON.test(name)));
const here = process.cwd();
const preopens = { '.': here, [here]: here };
const wasi = new WASI({ version: 'preview1', args: [file, ...args], env, preopens, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(file));
const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: wasi.wasiImport });
process.exitCode = wasi.start(instance);
writeFileSync(returned, `${process.exitCode}`);
