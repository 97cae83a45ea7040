// The test images, a page at a time, each a button that says how it was read.

import { show } from './paint.js';
import { INPUTS } from './scenario.js';
import { seen } from './tasks.js';

const PER_PAGE = 60;

export class Grid {
  #parts;
  #chosen;
  #images = { task: 'own', digits: { labels: new Uint8Array(), pixels: new Uint8Array() }, test: new Uint16Array() };
  #read = new Uint8Array();
  #first = 0;
  #pressed = -1;

  /**
   * @param {{ grid: HTMLElement, back: HTMLButtonElement, next: HTMLButtonElement, page: HTMLOutputElement }} parts
   * @param {(image: Uint8Array) => void} chosen called with the image as drawn
   */
  constructor(parts, chosen) {
    [this.#parts, this.#chosen] = [parts, chosen];
    parts.back.addEventListener('click', () => this.#turn(-PER_PAGE));
    parts.next.addEventListener('click', () => this.#turn(PER_PAGE));
    parts.grid.addEventListener('click', (event) => {
      const tile = event.target.closest('.tile');
      if (tile) this.#press(Number(tile.dataset.place));
    });
  }

  /** Shows the test images of a task from the first one on. */
  setImages(task, digits, test) {
    this.#images = { task, digits, test };
    [this.#first, this.#pressed, this.#read] = [0, -1, new Uint8Array()];
    this.draw();
  }

  /**
   * @param {Uint8Array} read what each test image was read as, in order
   */
  setRead(read) {
    const before = this.#read;
    this.#read = read;
    for (const tile of this.#parts.grid.children) {
      const { place } = tile.dataset;
      if (read[place] !== before[place]) this.#mark(tile);
    }
  }

  /** No image is chosen any more. */
  release() {
    this.#pressed = -1;
    for (const tile of this.#parts.grid.children) tile.setAttribute('aria-pressed', 'false');
  }

  draw() {
    const { test } = this.#images;
    const last = Math.min(this.#first + PER_PAGE, test.length);
    const tiles = Array.from({ length: last - this.#first }, (_, i) => this.#tile(this.#first + i));
    this.#parts.grid.replaceChildren(...tiles);
    this.#parts.page.value = test.length ? `${this.#first + 1}–${last} of ${test.length}` : 'no images';
    this.#parts.back.disabled = this.#first === 0;
    this.#parts.next.disabled = last >= test.length;
    for (const tile of tiles) show(tile.firstChild, seen(this.#images.task, this.#pixels(Number(tile.dataset.place))));
  }

  #pixels(place) {
    const image = this.#images.test[place];
    return this.#images.digits.pixels.subarray(image * INPUTS, (image + 1) * INPUTS);
  }

  #tile(place) {
    const tile = document.createElement('button');
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [8, 8];
    tile.type = 'button';
    tile.append(canvas, document.createElement('span'));
    tile.dataset.place = place;
    tile.setAttribute('aria-pressed', String(place === this.#pressed));
    this.#mark(tile);
    return tile;
  }

  #mark(tile) {
    const place = Number(tile.dataset.place);
    const label = this.#images.digits.labels[this.#images.test[place]];
    const read = this.#read[place];
    const verdict = read === undefined ? '' : read === label ? 'right' : 'wrong';
    tile.className = `tile ${verdict}`;
    tile.lastChild.textContent = verdict === 'wrong' ? read : '';
    tile.setAttribute('aria-label', `Image ${place + 1}, a ${label}${verdict ? `, read as ${read}` : ''}`);
  }

  #turn(by) {
    this.#first += by;
    this.draw();
  }

  #press(place) {
    this.release();
    this.#pressed = place;
    this.#parts.grid.children[place - this.#first].setAttribute('aria-pressed', 'true');
    this.#chosen(this.#pixels(place).slice());
  }
}
