// Images that the user draws and labels. They stay in the memory of the page.

const DIGITS = 10;
const PIXELS = 64;

export class Own {
  #labels = [];
  #images = [];
  #$;
  #changed;

  /**
   * @param {(id: string) => HTMLElement} $
   * @param {() => void} changed called when there is another set of images
   */
  constructor($, changed) {
    [this.#$, this.#changed] = [$, changed];
  }

  get isEmpty() {
    return this.#labels.length === 0;
  }

  /** As the prepared digits: labels [n], ink [n, 64]. */
  get images() {
    const pixels = new Uint8Array(this.#images.length * PIXELS);
    this.#images.forEach((image, i) => pixels.set(image, i * PIXELS));
    return { labels: Uint8Array.from(this.#labels), pixels };
  }

  /** @param {() => import('./pad.js').Pad} pad where the images come from */
  listen(pad) {
    const buttons = Array.from({ length: DIGITS }, (_, digit) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = digit;
      button.setAttribute('aria-label', `It is a ${digit}`);
      button.addEventListener('click', () => this.#add(digit, pad()));
      return button;
    });
    this.#$('labels').replaceChildren(...buttons);
    this.#$('forget').addEventListener('click', () => {
      [this.#labels, this.#images] = [[], []];
      this.#update();
    });
  }

  show(shown) {
    this.#$('label-row').hidden = !shown;
  }

  enable(enabled) {
    this.#$('label-row').disabled = !enabled;
  }

  #add(digit, pad) {
    if (pad.isEmpty) return;
    this.#labels.push(digit);
    this.#images.push(pad.image);
    pad.clear();
    this.#update();
  }

  #update() {
    const count = this.#labels.length;
    this.#$('own-count').value = count === 1 ? '1 image' : `${count} images`;
    this.#changed();
  }
}
