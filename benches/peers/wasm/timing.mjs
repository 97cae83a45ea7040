// Timing in turn, as `timing.rs` of `peers` does it: every contender once per round, so that whatever else the machine does
// strikes all of them.

const now = () => performance.now() * 1e-3;

/** Seconds per call, one per round. */
export class Seconds {
  rounds = [];

  /** The fastest round. */
  best() {
    return Math.min(...this.rounds);
  }

  /** The median over the rounds. */
  median() {
    return median(this.rounds);
  }

  /** The median over the rounds of how many times as long `other` takes within the round. */
  medianLead(other) {
    return median(this.rounds.map((own, i) => other.rounds[i] / own));
  }
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

function seconds(calls, action) {
  const start = now();
  for (let i = 0; i < calls; i++) action();
  return now() - start;
}

function callsThatTake(time, action) {
  let calls = 1;
  while (seconds(calls, action) < time && calls < 2 ** 30) calls *= 2;
  return calls;
}

/** Lets the engine see each action for so long that it has compiled it as well as it can. */
function warmUp(time, actions) {
  for (const action of actions) {
    const start = now();
    while (now() - start < time) action();
  }
}

/**
 * Times all `actions` in turn. The first of a round changes from round to round, and before each timing stands a call that
 * is not timed, so that none finds its data in the caches thanks to another.
 *
 * `effort`: `warmUp`, seconds of each action beforehand; `timing`, seconds that one timing takes at least; no round is begun
 * after `total` seconds, but there are at least `rounds`.
 */
export function inTurn(effort, actions) {
  warmUp(effort.warmUp, actions);
  const calls = actions.map((action) => callsThatTake(effort.timing, action));
  const times = actions.map(() => new Seconds());
  const start = now();
  for (let round = 0; round < effort.rounds || now() - start < effort.total; round++) {
    for (let turn = 0; turn < actions.length; turn++) {
      const i = (turn + round) % actions.length;
      actions[i]();
      times[i].rounds.push(seconds(calls[i], actions[i]) / calls[i]);
    }
  }
  return times;
}
