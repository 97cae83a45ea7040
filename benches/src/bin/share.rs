//! Which share of the machine's peak the products reach: both are timed in turn, in one run.

use std::process::ExitCode;

use clap::Parser;
use lowrank::{Arithmetic, Backend, Error, Shape};
use lowrank_bench::{Layout, Operation, Work, Workload, measured_backends, peak, seconds};

/// Prints which share of the peak of this machine each operation reaches.
///
/// The peak is a loop of multiply-adds in registers. Peak and operation are timed in turn, so that whatever else the
/// machine does strikes both. `best` compares the fastest round of each, `median` is the median over the rounds of the
/// share within the round.
#[derive(Parser)]
struct Arguments {
    /// Rounds per operation.
    #[arg(long, default_value_t = 300)]
    rounds: usize,
    /// Microseconds that one timing takes.
    #[arg(long, default_value_t = 500)]
    micros: u64,
    /// Rank of the adapter.
    #[arg(long, default_value_t = 8)]
    rank: usize,
    /// Only this backend: avx2, avx512, neon.
    #[arg(long)]
    backend: Option<String>,
    /// Only the packed product of 384x384 on 128 tokens, which `--require` is about.
    #[arg(long)]
    bar: bool,
    /// Fail unless the fastest round of the packed product of 384x384 on 128 tokens reaches this share, in percent, on
    /// every backend with fused arithmetic.
    #[arg(long, value_name = "PERCENT")]
    require: Option<f64>,
}

const BAR: (Operation, usize, usize) = (Operation::Base(Layout::Packed), 384, 128);

/// Operation, inputs = outputs, tokens.
fn cases() -> Vec<(Operation, usize, usize)> {
    let base = [(384, 128), (1024, 128), (1024, 16), (1024, 1), (64, 8), (64, 1)];
    let base =
        base.into_iter().flat_map(|(size, n)| [Layout::Packed, Layout::Rows].map(|l| (Operation::Base(l), size, n)));
    let whole = [
        Operation::Thin,
        Operation::Forward(Layout::Packed),
        Operation::Backward(Layout::Packed),
        Operation::Backward(Layout::Rows),
        Operation::Merge(Layout::Rows),
        Operation::Sgd,
        Operation::AdamW,
    ];
    base.chain(whole.map(|operation| (operation, 384, 128))).collect()
}

/// Operations per second of the peak and of an operation, one pair per round.
struct Rates {
    peak: Vec<f64>,
    own: Vec<f64>,
}

impl Rates {
    fn best(rates: &[f64]) -> f64 {
        rates.iter().copied().fold(0.0, f64::max)
    }

    fn best_share(&self) -> f64 {
        100.0 * Self::best(&self.own) / Self::best(&self.peak)
    }

    fn median_share(&self) -> f64 {
        let mut shares: Vec<_> = self.own.iter().zip(&self.peak).map(|(own, peak)| 100.0 * own / peak).collect();
        shares.sort_by(f64::total_cmp);
        shares[shares.len() / 2]
    }
}

/// How often `action` fits into the time of one timing.
fn repetitions(micros: u64, mut action: impl FnMut(usize)) -> usize {
    let mut count = 1;
    while seconds(|| action(count)) < micros as f64 * 1e-6 && count < 1 << 30 {
        count *= 2;
    }
    count
}

fn compare(arguments: &Arguments, backend: Backend, work: Work, operation: &mut dyn FnMut()) -> Rates {
    let peak_loop = |rounds| peak::compute(backend, rounds).unwrap_or(0);
    let rounds = repetitions(arguments.micros, |count| _ = peak_loop(count));
    let calls = repetitions(arguments.micros, |count| (0..count).for_each(|_| operation()));
    let mut rates = Rates { peak: vec![], own: vec![] };
    for _ in 0..arguments.rounds.max(1) {
        let mut flops = 0;
        let time = seconds(|| flops = peak_loop(rounds));
        rates.peak.push(flops as f64 / time);
        let time = seconds(|| (0..calls).for_each(|_| operation()));
        rates.own.push((calls as u64 * work.flops) as f64 / time);
    }
    rates
}

/// Prints one line; returns the share.
fn line(
    arguments: &Arguments,
    backend: Backend,
    (operation, size, tokens): (Operation, usize, usize),
) -> Result<f64, Error> {
    let workload = Workload::new(backend, Shape::new(size, size, arguments.rank), tokens)?;
    let work = workload.work(operation);
    let rates = workload.prepare(operation, |run| compare(arguments, backend, work, run))?;
    let (own, share) = (Rates::best(&rates.own), rates.best_share());
    println!(
        "{:<16} {operation:<16} {:>11} {tokens:>6} {:>9.1} {:>9.1} {:>7.1}% {:>7.1}% {:>9.1}",
        format!("{backend:?}"),
        format!("{size}x{size}"),
        own * 1e-9,
        Rates::best(&rates.peak) * 1e-9,
        share,
        rates.median_share(),
        own * 1e-9 * work.bytes as f64 / work.flops as f64,
    );
    Ok(share)
}

fn print_bandwidth(backends: &[Backend]) {
    let data = vec![1.0; 64 << 20];
    for &backend in backends.iter().filter(|b| b.arithmetic() == Arithmetic::Separate) {
        let rate = (0..8).map(|_| {
            let mut bytes = 0;
            let time = seconds(|| bytes = peak::read(backend, &data));
            bytes as f64 / time
        });
        println!("reads 256 MiB at {:.1} GB/s ({})", rate.fold(0.0, f64::max) * 1e-9, backend.name());
    }
}

fn main() -> Result<ExitCode, Error> {
    let arguments = Arguments::parse();
    let mut backends = measured_backends();
    backends.retain(|b| arguments.backend.as_deref().is_none_or(|name| name == b.name()));
    print_bandwidth(&backends);
    backends.retain(|&backend| {
        let has_peak = peak::compute(backend, 1).is_some();
        if !has_peak {
            println!("not measured: {backend:?}, for which there is no peak loop");
        }
        has_peak
    });
    println!(
        "{:<16} {:<16} {:>11} {:>6} {:>9} {:>9} {:>8} {:>8} {:>9}",
        "backend", "operation", "out x in", "tokens", "GFLOP/s", "peak", "best", "median", "GB/s"
    );
    let (mut judged, mut below) = (0, 0);
    for &backend in &backends {
        for case in if arguments.bar { vec![BAR] } else { cases() } {
            let share = line(&arguments, backend, case)?;
            if case == BAR && backend.arithmetic() == Arithmetic::Fused {
                judged += 1;
                below += usize::from(arguments.require.is_some_and(|percent| share < percent));
            }
        }
    }
    let Some(percent) = arguments.require else { return Ok(ExitCode::SUCCESS) };
    println!("{} of {judged} fused backends reach {percent} % of the peak", judged - below);
    Ok(if below == 0 && judged > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
