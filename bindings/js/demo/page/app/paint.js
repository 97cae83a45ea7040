// Images of 8 by 8 pixels on canvases, in the colours of the page.

import { FULL } from './tasks.js';

const SIDE = 8;

/** A colour of the page where an element stands, light or dark. */
export const colourOf = (element, name) => getComputedStyle(element).getPropertyValue(`--${name}`).trim();

/**
 * @param {CanvasRenderingContext2D} context
 * @param {ArrayLike<number>} image 64 numbers from 0 to 16
 * @param {string} colour
 * @param {number} size of a pixel
 */
export function paint(context, image, colour, size = 1) {
  context.save();
  context.fillStyle = colour;
  for (let i = 0; i < SIDE * SIDE; i++) {
    context.globalAlpha = image[i] / FULL;
    context.fillRect((i % SIDE) * size, Math.floor(i / SIDE) * size, size, size);
  }
  context.restore();
}

/**
 * @param {HTMLCanvasElement} canvas of 8 by 8 pixels
 * @param {ArrayLike<number>} image
 */
export function show(canvas, image) {
  const context = canvas.getContext('2d');
  context.clearRect(0, 0, SIDE, SIDE);
  paint(context, image, colourOf(canvas, 'ink'));
}
