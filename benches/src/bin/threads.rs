//! What two threads bring: the calls of a layer whole on one thread, and in halves on two, in turn in the same run.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use lowrank::{Backend, Error, Shape};
use lowrank_bench::{Halves, Layout, Pair, Workload, measured_backends, peak, seconds};

/// Prints how much faster two threads are than one.
///
/// Both are timed in turn, so that whatever else the machine does strikes both. `best` is the fastest round on one thread
/// over the fastest on two, `median` is the median over the rounds of the ratio within the round. `machine` is the same
/// median for multiply-adds in registers, timed in turn with them: far from 2, and the cores had other things to do, or are
/// one; a case is then measured again, up to five times. The row `read` reads 256 MiB.
///
/// Before a case is timed, both ways run from the same start; the program fails when a bit of the results differs.
#[derive(Parser)]
struct Arguments {
    /// Rounds per case.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Microseconds that one timing takes at least.
    #[arg(long, default_value_t = 2000)]
    micros: u64,
    /// Rank of the adapter.
    #[arg(long, default_value_t = 8)]
    rank: usize,
    /// This backend instead of the fastest: avx2/fused, scalar/separate and so on.
    #[arg(long)]
    backend: Option<String>,
    /// The weights as rows instead of packed.
    #[arg(long)]
    rows: bool,
    /// Only the cases whose name contains this: "step", "384x384 n 128".
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Print comma-separated values.
    #[arg(long)]
    csv: bool,
    /// Fail unless `best` reaches this on all shapes that are bound by computing: 384x384 and more, on 128 tokens.
    #[arg(long, value_name = "RATIO")]
    require: Option<f64>,
}

#[derive(Copy, Clone, PartialEq)]
enum Call {
    /// Halves of the tokens, or of the outputs where there is one token.
    Forward,
    /// Forward, backward and AdamW. Only where there are tokens to halve.
    Step,
}

/// Inputs = outputs, tokens.
const SHAPES: [(usize, usize); 9] =
    [(64, 8), (128, 32), (384, 128), (1024, 1), (1024, 16), (1024, 128), (2048, 128), (4096, 1), (4096, 16)];

/// What two cores bring at least when multiply-adds in registers are all they do.
const TWO_CORES: f64 = 1.9;
const ATTEMPTS: usize = 5;

/// Seconds on one thread and on two, one pair per round.
#[derive(Default)]
struct Times {
    one: Vec<f64>,
    two: Vec<f64>,
}

fn best(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

impl Times {
    fn push(&mut self, one: f64, two: f64) {
        self.one.push(one);
        self.two.push(two);
    }

    fn best_ratio(&self) -> f64 {
        best(&self.one) / best(&self.two)
    }

    fn median_ratio(&self) -> f64 {
        let mut ratios: Vec<_> = self.one.iter().zip(&self.two).map(|(one, two)| one / two).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Who measures: two threads, on a backend.
struct Bench {
    arguments: Arguments,
    backend: Backend,
    pair: Pair,
}

impl Bench {
    /// Loops of the peak that take about half a millisecond; the same on two threads, half of them each.
    const LOOPS: usize = 1 << 16;

    /// Keeps both threads busy for a second: the host of a virtual machine takes a while to give it two cores.
    fn warm_up(&mut self) {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            self.peak();
        }
    }

    /// Seconds that the peak takes on one thread and on two, where there is a loop for it.
    fn peak(&mut self) -> Option<(f64, f64)> {
        let backend = self.backend;
        let compute = |loops| _ = peak::compute(backend, loops);
        peak::compute(backend, 1)?;
        let one = seconds(|| compute(Self::LOOPS));
        self.pair.wake();
        Some((one, seconds(|| self.pair.join(|| compute(Self::LOOPS / 2), || compute(Self::LOOPS / 2)))))
    }

    /// Times two ways of doing the same in turn, each as often as fits into the time of one timing, and the peak with them.
    fn compare(&mut self, mut one: impl FnMut(), mut two: impl FnMut(&mut Pair)) -> (Times, Times) {
        let mut calls = 1;
        while seconds(|| (0..calls).for_each(|_| one())) < self.arguments.micros as f64 * 1e-6 && calls < 1 << 30 {
            calls *= 2;
        }
        let (mut times, mut machine) = (Times::default(), Times::default());
        for _ in 0..self.arguments.rounds.max(1) {
            let first = seconds(|| (0..calls).for_each(|_| one()));
            self.pair.wake();
            let second = seconds(|| (0..calls).for_each(|_| two(&mut self.pair)));
            times.push(first / calls as f64, second / calls as f64);
            if let Some((first, second)) = self.peak() {
                machine.push(first, second);
            }
        }
        (times, machine)
    }

    /// Measures again, a few times, where the machine did not give two cores.
    fn measure_in_calm(&mut self, workload: &Workload, call: Call, tokens: usize) -> Result<(Times, Times), Error> {
        let mut times = self.measure(workload, call, tokens)?;
        for _ in 1..ATTEMPTS {
            if times.1.median_ratio() < TWO_CORES {
                times = self.measure(workload, call, tokens)?;
            }
        }
        Ok(times)
    }

    /// Compares what three calls leave, then times them.
    fn measure(&mut self, workload: &Workload, call: Call, tokens: usize) -> Result<(Times, Times), Error> {
        let layout = if self.arguments.rows { Layout::Rows } else { Layout::Packed };
        let mut memories = [vec![0.0; Halves::len(workload)?], vec![0.0; Halves::len(workload)?]];
        let [memory1, memory2] = &mut memories;
        let (mut one, mut two) = (Halves::new(workload, layout, memory1)?, Halves::new(workload, layout, memory2)?);
        for _ in 0..3 {
            on_one(&mut one, call);
            in_halves(&mut two, call, tokens, &mut self.pair);
        }
        assert!(one.results().eq(two.results()), "the bits differ");
        Ok(self.compare(|| on_one(&mut one, call), |pair| in_halves(&mut two, call, tokens, pair)))
    }

    fn print(&self, name: &str, cut: &str, (times, machine): &(Times, Times)) {
        let (backend, one, two) = (self.backend, best(&times.one) * 1e6, best(&times.two) * 1e6);
        let (best, median, machine) = (times.best_ratio(), times.median_ratio(), machine.median_ratio());
        if self.arguments.csv {
            println!("{backend},{name},{cut},{one:.2},{two:.2},{best:.3},{median:.3},{machine:.3}");
        } else {
            println!(
                "{backend:<13} {name:<25} {cut:<8} {one:>10.1} {two:>10.1} {best:>7.2} {median:>7.2} {machine:>8.2}"
            );
        }
    }

    fn print_header(&self) {
        if self.arguments.csv {
            println!("backend,case,cut,one_us,two_us,best,median,machine");
        } else {
            let (one, two) = ("one, us", "two, us");
            println!("backend       case                      cut by   {one:>10} {two:>10}    best  median  machine");
        }
    }

    fn print_read(&mut self) {
        let (backend, data) = (self.backend, vec![1.0; 64 << 20]);
        let (first, second) = data.split_at(data.len() / 2);
        let read = |data| _ = peak::read(backend, data);
        let times = self.compare(|| read(&data), |pair| pair.join(|| read(first), || read(second)));
        self.print("read", "-", &times);
    }
}

/// A call on two threads.
fn in_halves(halves: &mut Halves<'_>, call: Call, tokens: usize, pair: &mut Pair) {
    match call {
        Call::Step => halves.step_in_halves(pair),
        Call::Forward if tokens > 1 => halves.forward_by_tokens(pair),
        Call::Forward => assert!(halves.forward_by_outputs(pair).is_ok()),
    }
}

fn on_one(halves: &mut Halves<'_>, call: Call) {
    match call {
        Call::Step => halves.step(),
        Call::Forward => halves.forward(),
    }
}

fn main() -> Result<ExitCode, Error> {
    let arguments = Arguments::parse();
    let chosen =
        |b: &Backend| arguments.backend.as_ref().map_or(*b == Backend::detect(), |name| *name == b.to_string());
    let Some(backend) = measured_backends().into_iter().find(chosen) else {
        eprintln!("no such backend here");
        return Ok(ExitCode::FAILURE);
    };
    let (only, required) = (arguments.only.clone(), arguments.require);
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut bench = Bench { arguments, backend, pair: Pair::new() };
    bench.print_header();
    bench.warm_up();
    if wanted("read") {
        bench.print_read();
    }
    let (mut judged, mut below) = (0, 0);
    for (size, tokens) in SHAPES {
        for (call, name) in [(Call::Forward, "forward"), (Call::Step, "step")] {
            let name = format!("{name} {size}x{size} n {tokens}");
            if !wanted(&name) || (call == Call::Step && tokens == 1) {
                continue;
            }
            let workload = Workload::new(backend, Shape::new(size, size, bench.arguments.rank), tokens)?;
            let times = bench.measure_in_calm(&workload, call, tokens)?;
            bench.print(&name, if tokens > 1 { "tokens" } else { "outputs" }, &times);
            if size >= 384 && tokens >= 128 {
                judged += 1;
                below += usize::from(required.is_some_and(|ratio| times.0.best_ratio() < ratio));
            }
        }
    }
    let Some(ratio) = required else { return Ok(ExitCode::SUCCESS) };
    println!("{} of {judged} cases that are bound by computing reach {ratio}", judged - below);
    Ok(if below == 0 && judged > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
