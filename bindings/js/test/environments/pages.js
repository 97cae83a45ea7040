// What browsers take: pages, service workers, the background of an extension.
import { cpSync, mkdirSync } from 'node:fs';
import { browse } from './browsers.js';
import { BUNDLERS } from './bundlers.js';
import { freePort } from './hosts.js';
import { REPORTS } from './workspace.js';

/** @typedef {import('./rows.js').Run} Run */
/** @typedef {import('./rows.js').Context} Context */

const START = "import { run } from './main.js';\nrun();\n";
/** For hosts without `import()`. */
export const STATIC = "import 'lowrank/files';";
/** Addresses in place of names, for what has no import map. @param {string} specifier */
const addressOf = (specifier) => `/node_modules/lowrank/dist/${specifier.split('/')[1] ?? 'index'}.js`;

/** Writes a page with one script. @param {Context} context @param {string} folder @param {string} script @param {string} [head] */
function page({ space }, folder, script, head = '') {
  space.write(folder, 'index.html', `<!doctype html><meta charset="utf-8">${head}<script type="module" src="${script}"></script>\n`);
  return `/${folder}/index.html`;
}

/** A page that imports the package by name, through an import map. @type {(browser: string) => Run} */
export const mappedPage = (browser) => (context) => {
  const { space, server, id } = context;
  space.entry(id, { report: REPORTS.post(server.reportTo(id)) });
  space.write(id, 'start.js', START);
  const names = ['lowrank', 'lowrank/peft', 'lowrank/wasm'];
  const map = JSON.stringify({ imports: Object.fromEntries(names.map((name) => [name, addressOf(name)])) });
  return browse(browser, server, id, page(context, id, './start.js', `<script type="importmap">${map}</script>`));
};

/** A page under a policy. @type {(browser: string, policy: string) => Run} */
export const policedPage = (browser, policy) => (context) => {
  const { space, server, id } = context;
  space.entry(id, { report: REPORTS.post(server.reportTo(id)), resolve: addressOf });
  space.write(id, 'start.js', START);
  server.restrict(`/${id}/`, policy);
  return browse(browser, server, id, page(context, id, './start.js'));
};

/** A service worker, which may not call `import()`. @type {(browser: string, imports?: string[]) => Run} */
export const serviceWorker = (browser, imports = []) => (context) => {
  const { space, server, id } = context;
  space.entry(id, { report: REPORTS.post(server.reportTo(id)), imports, resolve: addressOf });
  space.write(id, 'sw.js', "import { run } from './main.js';\nself.addEventListener('install', (event) => event.waitUntil(run()));\n");
  space.write(id, 'start.js', "navigator.serviceWorker.register('./sw.js', { type: 'module' });\n");
  return browse(browser, server, id, page(context, id, './start.js'));
};

/** The background of an extension, which is a service worker: the whole extension is one folder. @type {Run} */
export function extension({ space, server, id }) {
  mkdirSync(space.at(id, 'app'), { recursive: true });
  cpSync(space.at('node_modules', 'lowrank', 'dist'), space.at(id, 'lowrank'), { recursive: true });
  for (const name of ['program.js', 'adapter.js']) cpSync(space.at(name), space.at(id, name));
  const resolve = (specifier) => `../lowrank/${specifier.split('/')[1] ?? 'index'}.js`;
  space.entry(`${id}/app`, { report: REPORTS.post(server.reportTo(id)), imports: [STATIC], resolve });
  space.write(id, 'background.js', "import { run } from './app/main.js';\nrun();\n");
  space.write(id, 'manifest.json', JSON.stringify({
    manifest_version: 3, name: 'lowrank', version: '1', background: { service_worker: 'background.js', type: 'module' },
    host_permissions: ['http://127.0.0.1/*'],
    content_security_policy: { extension_pages: "script-src 'self' 'wasm-unsafe-eval'; object-src 'self'" },
  }));
  return browse('chromium', server, id, 'about:blank', [`--load-extension=${space.at(id)}`]);
}

/** A page of one script that a bundler has made. @type {(bundler: string, how?: object) => Run} */
export const bundled = (bundler, how = {}) => async (context) => {
  const { space, server, id } = context;
  space.entry(id, { report: REPORTS.post(server.reportTo(id)), ...how });
  const out = `${id}-out`;
  const made = await BUNDLERS[bundler](space.write(id, 'start.js', START), space.at(out));
  return browse('chromium', server, id, made.endsWith('.html') ? `/${out}/${made}` : page(context, out, `./${made}`));
};

/** The development server of Vite, which makes modules of its own of packages. @type {Run} */
export async function viteServer(context) {
  const { space, server, id } = context;
  space.entry(id, { report: REPORTS.post(server.reportTo(id)) });
  space.write(id, 'start.js', START);
  const path = page(context, id, './start.js');
  const { createServer } = await import('vite');
  const vite = await createServer({
    root: space.folder, configFile: false, logLevel: 'error', cacheDir: space.at(id, 'cache'),
    server: { host: '127.0.0.1', port: await freePort(), watch: null },
  });
  try {
    await vite.listen();
    return await browse('chromium', server, id, new URL(path, vite.resolvedUrls.local[0]).href);
  } finally {
    await vite.close();
  }
}
