// The page's side of the worker.

export class Client {
  #worker;
  #waiting = new Map();
  #id = 0;

  /**
   * @param {(progress: object) => void} progress
   * @param {(message: string) => void} failed called when the worker itself does not work
   */
  constructor(progress, failed) {
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    this.#worker.addEventListener('message', ({ data }) => (data.progress ? progress(data.progress) : this.#answer(data)));
    this.#worker.addEventListener('error', (event) => failed(event.message || 'The worker cannot be loaded.'));
  }

  /**
   * @param {string} name of the request
   * @param {unknown} argument
   * @param {Transferable[]} [transfer]
   */
  ask(name, argument, transfer = []) {
    const id = this.#id++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, name, argument }, transfer);
    });
  }

  #answer({ id, result, error }) {
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) reject(Object.assign(new Error(error.message), error));
    else resolve(result);
  }
}
