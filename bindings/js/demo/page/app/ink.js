// From strokes on a square to an image of 8 by 8 pixels like those of the data.

import { FULL } from './tasks.js';

const SIDE = 8;
const FINE = 32;
const BLOCK = FINE / SIDE;
/** Half the width of a pen on the fine grid, about that of the data. */
const PEN = 1.7;

/**
 * The data are bitmaps of 32 by 32, filled by the digit, whose blocks of 4 by 4 were counted. So the strokes are scaled to fill
 * the square, kept in proportion, and counted in the same way.
 *
 * @param {number[][][]} strokes each a list of points [x, y]
 * @returns {Uint8Array} 64 numbers from 0 to 16
 */
export function imageOf(strokes) {
  const points = strokes.flat();
  const image = new Uint8Array(SIDE * SIDE);
  if (points.length === 0) return image;
  const fit = fitting(points);
  const bits = new Uint8Array(FINE * FINE);
  for (const stroke of strokes) {
    const fitted = stroke.map(fit);
    fitted.forEach((point, i) => ink(bits, fitted[Math.max(i - 1, 0)], point));
  }
  bits.forEach((bit, i) => {
    image[SIDE * Math.floor(i / FINE / BLOCK) + Math.floor((i % FINE) / BLOCK)] += bit;
  });
  return image.map((count) => Math.min(count, FULL));
}

const lower = (a, b) => Math.min(a, b);
const higher = (a, b) => Math.max(a, b);

/** Puts the box round the points into the middle of the fine grid, as large as fits. */
function fitting(points) {
  const furthest = (axis, choose) => points.reduce((found, point) => choose(found, point[axis]), points[0][axis]);
  const [left, right] = [furthest(0, lower), furthest(0, higher)];
  const [top, bottom] = [furthest(1, lower), furthest(1, higher)];
  const extent = Math.max(right - left, bottom - top);
  const scale = extent > 0 ? (FINE - 2 * PEN) / extent : 0;
  return ([x, y]) => [(x - (left + right) / 2) * scale + FINE / 2, (y - (top + bottom) / 2) * scale + FINE / 2];
}

/** Sets the bits whose middle is nearer to the line than half a pen. */
function ink(bits, [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const length2 = dx * dx + dy * dy;
  const first = (a, b) => Math.max(Math.floor(Math.min(a, b) - PEN), 0);
  const last = (a, b) => Math.min(Math.ceil(Math.max(a, b) + PEN), FINE);
  for (let row = first(ay, by); row < last(ay, by); row++) {
    for (let col = first(ax, bx); col < last(ax, bx); col++) {
      const [x, y] = [col + 0.5 - ax, row + 0.5 - ay];
      const along = length2 > 0 ? Math.min(Math.max((x * dx + y * dy) / length2, 0), 1) : 0;
      if (Math.hypot(x - along * dx, y - along * dy) <= PEN) bits[FINE * row + col] = 1;
    }
  }
}
