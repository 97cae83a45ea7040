// How sure the network is of each digit.

const DIGITS = 10;

/** Shares of the ten digits, from 0 to 1, of their logits. */
export function softmax(logits) {
  const highest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - highest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** The first of the largest. */
export const largest = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

export class Bars {
  #parent;
  #output;
  #bars;

  /**
   * @param {HTMLElement} parent
   * @param {HTMLOutputElement} output where the digit is told
   */
  constructor(parent, output) {
    this.#parent = parent;
    this.#output = output;
    this.#bars = Array.from({ length: DIGITS }, (_, digit) => {
      const bar = document.createElement('div');
      bar.append(document.createElement('i'), String(digit));
      return bar;
    });
    parent.replaceChildren(...this.#bars);
    this.clear();
  }

  /** @param {ArrayLike<number>} logits ten */
  set(logits) {
    const shares = softmax(logits);
    this.#show(shares, largest(shares));
  }

  /** Says that the bars are of an image that is not shown any more. */
  set busy(busy) {
    this.#parent.ariaBusy = String(busy);
  }

  clear() {
    this.#show(new Array(DIGITS).fill(0), -1);
  }

  #show(shares, digit) {
    this.#output.value = digit < 0 ? '–' : digit;
    this.#bars.forEach((bar, i) => {
      const percent = (100 * shares[i]).toFixed(1);
      bar.className = i === digit ? 'bar first' : 'bar';
      bar.title = `${i}: ${percent} %`;
      bar.firstChild.style.setProperty('--share', percent);
    });
  }
}
