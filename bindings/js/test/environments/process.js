// Programs that are started, and what they say.
import { spawn } from 'node:child_process';

const PATIENCE = 60_000;

/**
 * What a program prints. Throws with all of it where the program fails.
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd: string, env?: Record<string, string> }} options
 */
export function output(program, args, { cwd, env = {} }) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], timeout: PATIENCE });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => { said += bytes; });
    child.on('error', reject);
    child.on('close', (status) => (status === 0 ? resolve(said) : reject(new Error(`${program}: status ${status}\n${said.slice(-4000)}`))));
  });
}

/** The result that a program prints. @param {Parameters<typeof output>} args */
export async function printed(...args) {
  const said = await output(...args);
  const line = said.split('\n').find((line) => line.startsWith('RESULT '));
  if (!line) throw new Error(`no result\n${said.slice(-4000)}`);
  return JSON.parse(line.slice(7));
}

/**
 * Runs a program while `use` needs it; it and what it has started end then.
 * @template T
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd: string, env?: Record<string, string> }} options
 * @param {(said: () => string) => Promise<T>} use
 * @returns {Promise<T>}
 */
export async function running(program, args, { cwd, env = {} }, use) {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => { said += bytes; });
  const ended = new Promise((resolve) => child.on('close', resolve));
  const early = new Promise((_, reject) => {
    child.on('error', reject);
    child.on('close', (status) => reject(new Error(`${program} ended with status ${status}\n${said.slice(-4000)}`)));
  });
  const late = patience(`${program} says nothing`, () => said);
  try {
    return await Promise.race([use(() => said), early, late.over]);
  } finally {
    late.stop();
    early.catch(() => {});
    try {
      process.kill(-child.pid, 'SIGTERM');
    } catch {
      // It has ended.
    }
    await ended;
  }
}

/** @param {string} what @param {() => string} said */
function patience(what, said) {
  let timer;
  const over = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} for ${PATIENCE / 1000} s\n${said().slice(-4000)}`)), PATIENCE);
  });
  return { over, stop: () => clearTimeout(timer) };
}
