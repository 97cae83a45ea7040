// One curve over the steps of a training, as SVG.

const SVG = 'http://www.w3.org/2000/svg';
const [LEFT, TOP, HEIGHT, BOTTOM] = [36, 8, 108, 20];
/** More points than this would not be seen. */
const MOST = 600;

export class Chart {
  #svg;
  #frame;
  #line;
  #options;
  #curve = { x: [], y: [], steps: 1 };
  #drawn = '';

  /**
   * @param {HTMLElement} parent
   * @param {{ name: string, highest: number, ticks: (highest: number) => number[], write: (value: number) => string }} options
   *   `highest` is where the scale ends at least
   */
  constructor(parent, options) {
    this.#options = options;
    this.#svg = element('svg', { role: 'img', 'aria-label': options.name });
    [this.#frame, this.#line] = [element('g'), element('polyline', { class: 'curve' })];
    this.#svg.append(this.#frame, this.#line);
    parent.append(this.#svg);
    new ResizeObserver(() => this.#draw()).observe(parent);
  }

  /**
   * @param {{ x: number[], y: number[], steps: number, mark?: number }} curve `steps` is where the axis ends; `mark` is drawn as
   *   a line across
   */
  set(curve) {
    this.#curve = curve;
    this.#draw();
    const { name, write } = this.#options;
    const { x, y } = curve;
    const told = y.length ? `, ${write(y[0])} at first, ${write(y.at(-1))} after ${x.at(-1)} steps` : '';
    this.#svg.setAttribute('aria-label', name + told);
  }

  #draw() {
    const { y, steps, mark } = this.#curve;
    const width = this.#svg.clientWidth || 300;
    const highest = y.reduce((a, b) => Math.max(a, b), this.#options.highest);
    const up = (value) => TOP + HEIGHT * (1 - value / highest);
    const across = (step) => LEFT + ((width - LEFT) * step) / steps;
    // Only the curve changes all the time.
    const frame = [width, highest, steps, mark].join();
    if (frame !== this.#drawn) this.#drawFrame(width, highest, up);
    this.#drawn = frame;
    this.#line.setAttribute('points', this.#points(across, up));
  }

  #drawFrame(width, highest, up) {
    const { steps, mark } = this.#curve;
    const { ticks, write } = this.#options;
    const rule = (value, name) => element('line', { class: name, x1: LEFT, x2: width, y1: up(value), y2: up(value) });
    const right = { 'text-anchor': 'end' };
    const parts = ticks(highest).flatMap((value) => [
      rule(value, 'frame'),
      element('text', { x: LEFT - 6, y: up(value) + 4, ...right }, write(value)),
    ]);
    if (mark !== undefined) parts.push(rule(mark, 'mark'));
    const below = TOP + HEIGHT + BOTTOM - 3;
    parts.push(element('text', { x: LEFT, y: below }, '0'), element('text', { x: width, y: below, ...right }, `${steps} steps`));
    this.#svg.setAttribute('viewBox', `0 0 ${width} ${TOP + HEIGHT + BOTTOM}`);
    this.#frame.replaceChildren(...parts);
  }

  #points(across, up) {
    const { x, y } = this.#curve;
    const every = Math.ceil(y.length / MOST) || 1;
    const points = [];
    for (let i = 0; i < y.length; i += every) points.push(`${across(x[i]).toFixed(1)},${up(y[i]).toFixed(1)}`);
    return points.join(' ');
  }
}

function element(name, attributes = {}, text = '') {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}
