// The drawing area: pointer and touch draw strokes, keys ink single fields.

import { imageOf } from './ink.js';
import { colourOf, paint } from './paint.js';
import { FULL } from './tasks.js';

const SIDE = 8;
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

export class Pad {
  #canvas;
  #said;
  #changed;
  #strokes = [];
  #drawing = false;
  /** Set by keys or from outside; strokes start anew. */
  #fields = null;
  #cursor = [0, 0];
  #keys = false;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLOutputElement} said where the field under the cursor is told
   * @param {(image: Uint8Array) => void} changed called with the image as drawn, 64 numbers from 0 to 16
   */
  constructor(canvas, said, changed) {
    [this.#canvas, this.#said, this.#changed] = [canvas, said, changed];
    canvas.addEventListener('pointerdown', (event) => this.#down(event));
    canvas.addEventListener('pointermove', (event) => this.#move(event));
    for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => (this.#drawing = false));
    canvas.addEventListener('keydown', (event) => this.#key(event));
    canvas.addEventListener('blur', () => this.#showCursor(false));
    this.draw();
  }

  get image() {
    return this.#fields ?? imageOf(this.#strokes);
  }

  get isEmpty() {
    return this.image.every((pixel) => pixel === 0);
  }

  /** Shows an image as drawn; the next stroke starts on an empty area. */
  set(image) {
    [this.#fields, this.#strokes] = [Uint8Array.from(image), []];
    this.#update();
  }

  clear() {
    [this.#fields, this.#strokes] = [null, []];
    this.#update();
  }

  /** Paints what is there, for example in other colours. */
  draw() {
    const [context, size] = [this.#canvas.getContext('2d'), this.#canvas.width];
    context.clearRect(0, 0, size, size);
    const colour = colourOf(this.#canvas, 'ink');
    if (this.#fields) paint(context, this.#fields, colour, size / SIDE);
    else drawStrokes(context, this.#strokes, colour, size);
    if (this.#keys) drawCursor(context, this.#cursor, colourOf(this.#canvas, 'accent'), size / SIDE);
  }

  #update() {
    this.draw();
    this.#changed(this.image);
  }

  #point({ clientX, clientY }) {
    const box = this.#canvas.getBoundingClientRect();
    return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
  }

  #down(event) {
    if (event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    if (this.#fields) [this.#fields, this.#strokes] = [null, []];
    this.#drawing = true;
    this.#keys = false;
    this.#strokes.push([this.#point(event)]);
    this.#update();
  }

  #move(event) {
    if (!this.#drawing) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.#strokes.at(-1).push(this.#point(each));
    this.#update();
  }

  #key(event) {
    const { key } = event;
    const step = STEPS[key];
    if (!step && ![' ', 'Delete', 'Backspace'].includes(key)) return;
    event.preventDefault();
    if (step) this.#cursor = this.#cursor.map((at, i) => Math.min(Math.max(at + step[i], 0), SIDE - 1));
    else if (key === ' ') this.#toggle();
    else this.clear();
    this.#showCursor(true);
    this.#tell();
  }

  #toggle() {
    const image = this.image.slice();
    const [row, col] = this.#cursor;
    const at = SIDE * row + col;
    image[at] = image[at] > FULL / 2 ? 0 : FULL;
    this.set(image);
  }

  #tell() {
    const [row, col] = this.#cursor;
    const ink = this.image[SIDE * row + col] > FULL / 2 ? 'ink' : 'empty';
    this.#said.value = `row ${row + 1}, column ${col + 1}: ${ink}`;
  }

  #showCursor(show) {
    this.#keys = show;
    if (!show) this.#said.value = '';
    this.draw();
  }
}

function drawStrokes(context, strokes, colour, size) {
  Object.assign(context, { lineWidth: size / 11, lineCap: 'round', lineJoin: 'round', strokeStyle: colour });
  for (const stroke of strokes) {
    context.beginPath();
    for (const [x, y] of [stroke[0], ...stroke]) context.lineTo(x * size, y * size);
    context.stroke();
  }
}

function drawCursor(context, [row, col], colour, field) {
  Object.assign(context, { lineWidth: 6, strokeStyle: colour, lineJoin: 'miter' });
  context.strokeRect(col * field + 3, row * field + 3, field - 6, field - 6);
}
