//! `counts BACKEND`: fixed calls, each between two marks, for tools that count the instructions from mark to mark.
//! `scripts/check-counts.py` compiles and runs it.
//!
//! Prints one line per call, in the order in which they run. A call runs once unmarked before it runs marked.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

use lowrank::{Backend, Shape};
use workload::{Layout, Operation, Workload};

#[path = "../src/workload.rs"]
#[allow(dead_code, reason = "the amount of work is what the benchmarks need")]
mod workload;

const RANK: usize = 8;

static MARKS: AtomicU32 = AtomicU32::new(0);

/// Counting tools find this function by its name. It does something, so that no call of it can be left out.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn mark() {
    MARKS.fetch_add(1, Ordering::Relaxed);
}

/// Inputs and outputs, tokens, and what is done with them.
fn calls() -> [(usize, usize, Vec<Operation>); 3] {
    let passes = Layout::ALL.map(|layout| [Operation::Forward(layout), Operation::Backward(layout)]).concat();
    let updates = Layout::ALL.map(Operation::Merge).into_iter().chain([Operation::AdamW]);
    let all = passes.iter().copied().chain([Operation::Thin]).chain(updates).collect::<Vec<_>>();
    [(64, 1, all.clone()), (64, 8, [passes, vec![Operation::Thin]].concat()), (128, 32, all)]
}

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some(backend) = Backend::available().find(|backend| backend.to_string() == name) else {
        let there = Backend::available().map(|backend| backend.to_string()).collect::<Vec<_>>();
        eprintln!("no backend {name:?} here; there are: {}", there.join(", "));
        return ExitCode::FAILURE;
    };
    for (size, tokens, operations) in calls() {
        for operation in operations {
            let done = Workload::new(backend, Shape::new(size, size, RANK), tokens).and_then(|workload| {
                workload.prepare(operation, |run| {
                    run();
                    mark();
                    run();
                    mark();
                })
            });
            if let Err(error) = done {
                eprintln!("{operation}, {size} x {size}, {tokens} tokens: {error:?}");
                return ExitCode::FAILURE;
            }
            println!("{operation} {size}x{size} r{RANK} n{tokens}");
        }
    }
    ExitCode::SUCCESS
}
