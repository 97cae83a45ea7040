//! Products of low-rank adaptation: lowrank beside `gemm`, `matrixmultiply`, OpenBLAS, BLIS and MKL, in turn, in one run.

use std::cell::RefCell;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use lowrank::Backend;
use lowrank_bench::peak;
use lowrank_peers::blas::{self, Blas};
use lowrank_peers::memory::{Buffer, read_streams};
use lowrank_peers::product::{Case, Contender, Matrices};
use lowrank_peers::report::{Line, Report};
use lowrank_peers::timing::{Effort, in_turn};

/// Times Y [n, out] = X·Wᵀ on one thread: lowrank, and what one would link instead, in turn, in one run.
///
/// In every round every contender is timed once, with the loop of multiply-adds and the reading of memory that make the
/// roofline.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Only shapes whose name (as in the tables, "384x384 n 128" or "thin") contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Milliseconds that one timing takes at least.
    #[arg(long, value_name = "MS", default_value_t = 1.0)]
    timing: f64,
    /// Seconds that one shape takes at least.
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    seconds: f64,
    /// Rounds of each shape at least.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Backend of lowrank: avx2, avx512, neon. Default: the best of this machine. The peers choose for themselves.
    #[arg(long)]
    backend: Option<String>,
    /// Write every figure into this file.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    // SAFETY: no thread was started yet.
    unsafe { blas::set_environment() };
    let backend = choose(arguments.backend.as_deref())?;
    let effort = Effort {
        timing: Duration::from_secs_f64(arguments.timing * 1e-3),
        total: Duration::from_secs_f64(arguments.seconds),
        rounds: arguments.rounds.max(1),
    };
    println!("ours: {backend}, panels of {}", backend.panel_width());
    println!("gemm 0.19 with x86-v4, matrixmultiply 0.3.11");
    let libraries = present();
    print_bandwidth(backend);
    let mut report = Report::default();
    for case in Case::all() {
        if Line::name_of(&case).contains(&arguments.only) {
            let line = measure(backend, &libraries, case, effort)?;
            line.print_progress();
            report.lines.push(line);
        }
    }
    if report.lines.is_empty() {
        return Err(format!("no shape has \"{}\" in its name", arguments.only).into());
    }
    report.print();
    if let Some(path) = &arguments.csv {
        report.write_csv(path)?;
        println!("written: {}", path.display());
    }
    Ok(())
}

fn choose(name: Option<&str>) -> Result<Backend, String> {
    let Some(name) = name else { return Ok(Backend::detect()) };
    let found = Backend::available().find(|backend| backend.name() == name && backend.has_fused());
    found.map(|backend| backend.with(lowrank::Arithmetic::Fused)).ok_or_else(|| format!("no backend {name} here"))
}

fn present() -> Vec<Blas> {
    let mut present = vec![];
    for library in blas::libraries() {
        match library {
            Ok(library) => {
                println!("{}: {}", library.name, library.description);
                present.push(library);
            }
            Err(missing) => println!("{missing}"),
        }
    }
    present
}

fn print_bandwidth(backend: Backend) {
    let data = Buffer::numbers(64 << 20, 0);
    let effort = Effort { timing: Duration::ZERO, total: Duration::ZERO, rounds: 16 };
    let mut actions: [Box<dyn FnMut()>; 2] =
        [Box::new(|| _ = peak::read(backend, &data)), Box::new(|| _ = read_streams(&data))];
    let times = in_turn(effort, &mut actions);
    let rate = |time: f64| size_of_val(&*data) as f64 / time * 1e-9;
    for (way, times) in ["end to end", "as eight streams"].iter().zip(&times) {
        println!("reads 256 MiB {way} at {:.1} GB/s (median {:.1})", rate(times.best()), rate(times.median()));
    }
}

/// Times everybody on one case.
fn measure(backend: Backend, libraries: &[Blas], case: Case, effort: Effort) -> Result<Line, Box<dyn Error>> {
    let matrices = Matrices::new(case);
    let mut contenders = matrices.ours(backend)?;
    contenders.extend(matrices.peers(libraries));
    let mut y = Buffer::zeros(case.tokens * case.outputs);
    for contender in &mut contenders {
        y.fill(f32::NAN);
        (contender.run)(&mut y);
        if !matrices.is_product(&y) {
            return Err(format!("{} {}: wrong product", contender.name, contender.variant).into());
        }
    }
    let names: Vec<_> = contenders.iter().map(|contender| (contender.name, contender.variant)).collect();
    let data = Buffer::numbers(case.bytes() / size_of::<f32>(), 7);
    let y = RefCell::new(y);
    let mut actions: Vec<Box<dyn FnMut() + '_>> = vec![];
    for Contender { mut run, .. } in contenders {
        let y = &y;
        actions.push(Box::new(move || run(&mut y.borrow_mut())));
    }
    let rounds = 2_000;
    let flops = peak::compute(backend, rounds).ok_or("no peak loop for this backend")?;
    actions.push(Box::new(move || _ = peak::compute(backend, rounds)));
    actions.push(Box::new(|| _ = peak::read(backend, &data)));
    actions.push(Box::new(|| _ = read_streams(&data)));
    let mut times = in_turn(effort, &mut actions);
    let streams = times.pop().unwrap_or_default();
    let read = times.pop().unwrap_or_default().best().min(streams.best());
    let peak = times.pop().unwrap_or_default();
    let (peak, bandwidth) = (flops as f64 / peak.best(), case.bytes() as f64 / read);
    Ok(Line::new(case, names.into_iter().zip(times).collect(), peak, bandwidth))
}
