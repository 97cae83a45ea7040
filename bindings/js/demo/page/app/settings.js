// The form of the settings.

const $ = (id) => document.getElementById(id);
const NUMBERS = ['learning-rate', 'steps', 'seed'];
/** A change of these makes another network; the rest counts when a training starts. */
const NETWORK = ['task', 'rank', 'seed', 'arithmetic', 'flavour'];

export class Settings {
  /** What the network of now was made with. */
  #accepted = new Map();

  /**
   * @param {(keepLoaded: boolean) => void} changed called when another network is wanted; an adapter from a file stays
   *   unless its rank or the seed of a fresh one was changed
   */
  constructor(changed) {
    for (const id of NETWORK) $(id).addEventListener('change', () => changed(id !== 'rank' && id !== 'seed'));
    $('rank').addEventListener('input', () => ($('rank-value').value = $('rank').value));
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) $('watch').checked = false;
  }

  /** Whether all numbers are in range; shows the first that is not. */
  check() {
    return NUMBERS.every((id) => $(id).reportValidity());
  }

  get task() {
    return $('task').value;
  }

  get steps() {
    return $('steps').valueAsNumber;
  }

  get learningRate() {
    return $('learning-rate').valueAsNumber;
  }

  get watch() {
    return $('watch').checked;
  }

  /** What makes a network. */
  get network() {
    const { task } = this;
    const [rank, seed] = [$('rank').valueAsNumber, $('seed').valueAsNumber];
    return { task, rank, seed, arithmetic: $('arithmetic').value, flavour: $('flavour').value };
  }

  /** The network is there. */
  accept() {
    for (const id of NETWORK) this.#accepted.set(id, $(id).value);
  }

  /** It could not be made: the form shows again what there is. */
  revert() {
    for (const [id, value] of this.#accepted) $(id).value = value;
  }

  /** Tells the rank of the adapter in use: of a file, it may be one that the slider does not have. */
  showRank(rank) {
    $('rank-value').value = rank;
  }

  enable(enabled) {
    $('settings').disabled = !enabled;
  }
}
