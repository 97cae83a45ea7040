// A server of static files under a path of its choice, as any host is.

import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
};

/** The file of a request; `undefined` outside of the folder. */
function fileOf(folder, base, url) {
  const path = decodeURIComponent(new URL(url, 'http://localhost').pathname);
  if (!path.startsWith(base)) return undefined;
  const file = normalize(join(folder, path.slice(base.length) || 'index.html'));
  return file.startsWith(folder + sep) ? file : undefined;
}

/**
 * @param {string} folder
 * @param {{ port?: number, base?: string, headers?: Record<string, string> }} [options] `base` starts and ends with `/`; port 0 takes
 *   any that is free; `headers` are added to every answer
 * @returns {Promise<{ url: string, close: () => Promise<void> }>}
 */
export function serve(folder, { port = 0, base = '/', headers = {} } = {}) {
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    answer(folder, base, request, response);
  });
  const close = () => new Promise((done) => (server.close(done), server.closeAllConnections()));
  return new Promise((ready, failed) => {
    server.once('error', failed);
    server.listen(port, '127.0.0.1', () => ready({ url: `http://127.0.0.1:${server.address().port}${base}`, close }));
  });
}

function answer(folder, base, request, response) {
  let file;
  let size;
  try {
    file = fileOf(folder, base, request.url);
    size = file && statSync(file).isFile() ? statSync(file).size : undefined;
  } catch {
    size = undefined;
  }
  if (size === undefined) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
    return;
  }
  const type = TYPES[extname(file)] ?? 'application/octet-stream';
  response.writeHead(200, { 'content-type': type, 'content-length': size, 'cache-control': 'no-cache' });
  if (request.method === 'HEAD') response.end();
  else createReadStream(file).pipe(response);
}
