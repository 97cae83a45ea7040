// Chromium and Firefox: pages, service workers and the background of an extension, which post what they have found.
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { running } from './process.js';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };

/** A server of the workspace, which takes the results: POST /report/NAME. */
export class Server {
  #waiting = new Map();
  #policies = new Map();

  /** @param {string} folder */
  static async of(folder) {
    const server = new Server();
    server.http = createServer((request, response) => server.#answer(folder, request, response));
    await new Promise((ready) => server.http.listen(0, '127.0.0.1', ready));
    server.address = `http://127.0.0.1:${server.http.address().port}`;
    return server;
  }

  /** The address that a result is posted to. @param {string} name */
  reportTo(name) {
    return `${this.address}/report/${name}`;
  }

  /** The next result of an environment. @param {string} name */
  result(name) {
    return new Promise((resolve) => this.#waiting.set(name, resolve));
  }

  /** The content security policy of what is below a path. @param {string} path @param {string} policy */
  restrict(path, policy) {
    this.#policies.set(path, policy);
  }

  close() {
    this.http.close();
    this.http.closeAllConnections();
  }

  #answer(folder, request, response) {
    const { pathname } = new URL(request.url, this.address);
    const report = /^\/report\/(.*)$/.exec(decodeURIComponent(pathname))?.[1];
    if (request.method === 'POST' && report) {
      let text = '';
      request.on('data', (bytes) => { text += bytes; });
      request.on('end', () => {
        response.writeHead(204).end();
        this.#waiting.get(report)?.(JSON.parse(text));
      });
      return;
    }
    const file = join(folder, pathname.endsWith('/') ? `${pathname}index.html` : pathname);
    if (!existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    for (const [path, policy] of this.#policies) if (pathname.startsWith(path)) response.setHeader('content-security-policy', policy);
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'cache-control': 'no-store' });
    createReadStream(file).pipe(response);
  }
}

const QUIET = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--no-first-run', '--no-default-browser-check', '--disable-dev-shm-usage', '--mute-audio', '--disable-features=LocalNetworkAccessChecks',
];

/** Each with the arguments that it takes. */
export const BROWSERS = {
  chromium: { program: process.env.CHROMIUM ?? 'chromium', args: (profile) => [...QUIET, `--user-data-dir=${profile}`] },
  firefox: { program: process.env.FIREFOX ?? 'firefox-esr', args: (profile) => ['--headless', '--no-remote', '--profile', profile] },
};

/**
 * Opens an address in a browser with a new profile, until the result of an environment is there.
 * @param {string} browser of `BROWSERS`
 * @param {Server} server
 * @param {string} id
 * @param {string} address or the path of a page of the server
 * @param {string[]} [extra] arguments
 */
export async function browse(browser, server, id, address, extra = []) {
  const profile = mkdtempSync(join(tmpdir(), `lowrank-${browser}-`));
  try {
    const { program, args } = BROWSERS[browser];
    const target = address.startsWith('/') ? server.address + address : address;
    return await running(program, [...args(profile), ...extra, target], { cwd: profile, env: { HOME: profile } }, () => server.result(id));
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
