// What benches/peers/wasm asks of node, on a page. The files were loaded before.

import * as core from '@tensorflow/tfjs-core';
import * as wasm from '@tensorflow/tfjs-backend-wasm';

/** Bytes by the end of their path. */
const files = new Map();
const lines = [];

const nameOf = (path) => String(path).split('/').at(-1);

export async function load(names) {
  for (const name of names) files.set(name, new Uint8Array(await (await fetch(name)).arrayBuffer()));
}

export const readFileSync = (path) => files.get(nameOf(path));
export const readFile = async (path) => readFileSync(path);
export const fileURLToPath = (url) => String(url);
export const [dirname, join] = [() => '.', (...parts) => parts.join('/')];
export const setFlagsFromString = () => {};

/** Those of the address of the page. */
export function parseArgs({ options }) {
  const given = new URLSearchParams(location.search);
  const value = ([name, { type, default: otherwise }]) => [name, type === 'boolean' ? given.has(name) : (given.get(name) ?? otherwise)];
  return { values: Object.fromEntries(Object.entries(options).map(value)) };
}

export function createRequire() {
  const modules = { '@tensorflow/tfjs-core': core, '@tensorflow/tfjs-backend-wasm': wasm };
  return Object.assign((name) => modules[name], { resolve: (name) => name });
}

export function writeFileSync() {
  throw new Error('--csv: a page writes no files');
}

const same = (a, b) => (a.length === b.length && a.every((byte, i) => byte === b[i]) ? 0 : 1);

globalThis.Buffer = {
  from: (source, at, length) => Object.assign(new Uint8Array(source, at, length), {
    toString() {
      return String.fromCharCode(...this);
    },
  }),
  compare: same,
};
globalThis.process = {
  argv: ['', '', new URLSearchParams(location.search).get('only') ?? ''],
  // Without `node`: TensorFlow.js would take this for one.
  versions: { v8: navigator.userAgent.match(/Chrome\/[\d.]+/)[0] },
  stderr: { write() {} },
  stdout: { write: (text) => lines.push(text) },
};
