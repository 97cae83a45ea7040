// Tables and CSV.
import { writeFileSync } from 'node:fs';

/** What came out for one case: for each contender its name, variant and times; ours first. */
export class Line {
  constructor(measured, entries) {
    this.case = measured;
    this.entries = entries;
  }

  /** The times of a contender, of its fastest variant where it has several. */
  #of(name) {
    const all = this.entries.filter((entry) => entry.name === name);
    return all.sort((a, b) => a.times.best() - b.times.best())[0];
  }

  /** How many times as long the peer takes as ours: fastest rounds, and the median over the rounds. */
  #lead(name) {
    const [ours, peers] = [this.entries[0].times, this.entries.filter((entry) => entry.name === name)];
    return {
      best: Math.min(...peers.map(({ times }) => times.best() / ours.best())),
      median: Math.min(...peers.map(({ times }) => ours.medianLead(times))),
    };
  }

  get rounds() {
    return this.entries[0].times.rounds.length;
  }

  #rate(times) {
    return this.case.flops / times.best() * 1e-9;
  }

  /** The cells of the table. */
  cells() {
    const rate = (times) => times === undefined ? '-' : this.#rate(times).toFixed(1);
    const lead = (name) => this.#of(name) === undefined
      ? ['-', '-']
      : Object.values(this.#lead(name)).map((value) => value.toFixed(2));
    const tfjs = this.#of('tfjs');
    return [
      this.case.name, rate(this.entries[0].times), rate(this.#of('scalar').times), rate(tfjs.times), tfjs.variant || '-',
      ...lead('tfjs'), rate(this.#of('XNNPACK')?.times), ...lead('XNNPACK'), String(this.rounds),
    ];
  }

  /** What keeps the line from its bar, or nothing. */
  shortfall() {
    const { best, median } = this.#lead('tfjs');
    const { bar, name } = this.case;
    if (bar === undefined || (best >= bar && median >= bar)) return undefined;
    return `${name}: ${best.toFixed(2)} ${median.toFixed(2)} times tfjs, required ${bar.toFixed(1)}`;
  }

  csv() {
    const { kind, sizes, flops } = this.case;
    const ours = this.entries[0].times;
    return this.entries.map(({ name, variant, times }) => [
      kind, sizes.outputs, sizes.inputs, sizes.tokens, name, variant,
      this.#rate(times).toFixed(3), (flops / times.median() * 1e-9).toFixed(3),
      (times.best() / ours.best()).toFixed(4), ours.medianLead(times).toFixed(4),
    ].join(','));
  }
}

const HEAD = ['out x in, tokens', 'ours', 'scalar', 'tfjs', 'as', 'best', 'median', 'XNNPACK', 'best', 'median', 'rounds'];

/** Prints the lines of each group that has some. `groups`: title and kinds. */
export function print(lines, groups) {
  console.log('\nGFLOP/s in the fastest round. best, median: how many times as fast as the peer ours is.');
  for (const [title, kinds] of groups) {
    const rows = lines.filter((line) => kinds.includes(line.case.kind)).map((line) => line.cells());
    if (rows.length === 0) continue;
    const widths = HEAD.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i].length)));
    console.log(`\n${title}`);
    for (const row of [HEAD, ...rows]) {
      console.log(row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join('  '));
    }
  }
}

export function writeCsv(lines, file) {
  const head = 'kind,outputs,inputs,tokens,contender,variant,best_gflops,median_gflops,lead_best,lead_median';
  writeFileSync(file, [head, ...lines.flatMap((line) => line.csv()), ''].join('\n'));
}
