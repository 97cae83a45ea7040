// The figures below the settings, and the size in the first sentence.

const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;

export class Figures {
  #show;

  /** @param {(id: string) => HTMLElement} $ */
  constructor($) {
    this.#show = (id, text) => ($(id).textContent = text);
  }

  begin({ flavour, wasmBytes, version }) {
    this.#show('flavour-shown', `${flavour}, lowrank ${version}`);
    this.#show('wasm-bytes', kB(wasmBytes));
    this.#show('module-size', kB(wasmBytes));
    for (const id of ['steps-rate', 'gflops', 'computing', 'digest']) this.#show(id, '–');
  }

  /**
   * @param {{ computed: number, computing: number, operations: number }} progress steps, milliseconds they took, operations
   *   of each
   */
  setRates({ computed, computing, operations }) {
    const rate = computed / (computing / 1000);
    if (!Number.isFinite(rate)) return;
    this.#show('steps-rate', Math.round(rate).toLocaleString('en'));
    this.#show('gflops', ((rate * operations) / 1e9).toFixed(2));
    this.#show('computing', `${(computing / 1000).toFixed(3)} s for ${computed} steps`);
  }

  end({ digest }) {
    this.#show('digest', digest);
  }
}
