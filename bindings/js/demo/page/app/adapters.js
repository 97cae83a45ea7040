// Adapters from files, and into them.

import { emit, parse } from '../lowrank/files.js';
import { CLASSES, HIDDEN, INPUTS } from './scenario.js';

export const LAYERS = ['hidden', 'output'];
const TENSORS = 'adapter_model.safetensors';
const CONFIG = 'adapter_config.json';
/** What an adapter file starts with: the word and a zero byte. */
const MAGIC = 'lowrank\0';
const SHAPES = { hidden: [INPUTS, HIDDEN], output: [HIDDEN, CLASSES] };

/** PEFT is only loaded by those who use it. */
const peft = () => import('../lowrank/peft.js');

/**
 * Reads the adapter of one file of lowrank, or of the two files of PEFT; others that came along are left alone.
 *
 * @param {{ name: string, bytes: Uint8Array }[]} files
 * @returns {Promise<Record<string, import('lowrank').Entry>>} by layer
 * @throws {Error} that says which file it is, what was expected and what came
 */
export async function openFiles(files) {
  const named = (name) => files.find((file) => file.name === name);
  const [tensors, config] = [named(TENSORS), named(CONFIG)];
  if (tensors && config) return readPeft(tensors, config);
  if (tensors || config) {
    throw new Error(`${tensors ? CONFIG : TENSORS} is missing: expected beside ${(tensors ?? config).name}; choose or drop both, or their folder`);
  }
  if (files.length > 1) {
    throw new Error(`expected one adapter file, or ${TENSORS} and ${CONFIG}, got ${files.map(({ name }) => name).join(', ')}`);
  }
  const { name, bytes } = files[0];
  return fitting(name, await readDevice(name, bytes));
}

async function readDevice(name, bytes) {
  const start = bytes.subarray(0, MAGIC.length);
  if (String.fromCharCode(...start) !== MAGIC) {
    const came = start.length ? `one that starts with ${Array.from(start, hex).join(' ')}` : 'an empty file';
    throw new Error(`${name}: expected an adapter file, which starts with the word lowrank, or the two files of PEFT; got ${came}`);
  }
  try {
    return await parse(bytes);
  } catch (error) {
    if (error.code === 'NonFinite') throw Object.assign(new Error(`${name}: ${error.message}`), { code: error.code });
    throw Object.assign(new Error(`${name} is damaged, or of a newer version: ${error.message}`), { code: error.code });
  }
}

const hex = (byte) => byte.toString(16).padStart(2, '0');

async function readPeft(tensors, config) {
  const { readPeft: read } = await peft();
  try {
    return fitting(TENSORS, read({ tensors: tensors.bytes, config: config.bytes }));
  } catch (error) {
    throw Object.assign(new Error(`This PEFT adapter cannot be used. ${error.message}`), { code: error.code });
  }
}

/** The adapters of both layers, where they are those of this network. */
function fitting(file, { entries, warnings }) {
  const names = entries.map(({ name }) => name).sort();
  if (names.join() !== LAYERS.join()) {
    throw new Error(`${file}: expected adapters of the layers ${LAYERS.join(' and ')}, got ${names.join(', ') || 'none'}`);
  }
  for (const entry of entries) {
    const flaw = flawOf(entry);
    if (flaw) throw new Error(`${file}: layer ${entry.name}: ${flaw}`);
  }
  const dead = warnings.find(({ code }) => code === 'DeadAdapter');
  if (dead) throw new Error(`${file}: layer ${dead.message}`);
  return Object.fromEntries(entries.map((entry) => [entry.name, entry]));
}

function flawOf({ name, inputs, outputs, bias, bBias }) {
  const [wantedInputs, wantedOutputs] = SHAPES[name];
  if (inputs !== wantedInputs || outputs !== wantedOutputs) {
    return `expected ${wantedInputs} inputs and ${wantedOutputs} outputs, got ${inputs} and ${outputs}`;
  }
  return bias || bBias ? 'expected an adapter of A and B, got one with a bias' : undefined;
}

const entriesOf = (scenario) => LAYERS.map((name) => scenario[name].entry(name));

/** The file that devices have. */
export const saveDevice = (scenario) => emit(entriesOf(scenario));

/** The two files of PEFT, by name. */
export async function savePeft(scenario) {
  const { writePeft } = await peft();
  const { tensors, config } = writePeft(entriesOf(scenario));
  return { [TENSORS]: tensors, [CONFIG]: config };
}
