//! What is measured: the operations of one adapted layer, and beside them what the machine can do at best.
//!
//! Used by the criterion benchmarks (`cargo bench -p lowrank-bench`) and by the programs `share` and `threads`.

mod halves;
mod pair;
pub mod peak;
mod workload;

pub use halves::Halves;
pub use pair::Pair;
pub use workload::{ADAMW, Layout, Operation, Work, Workload};

use std::time::Instant;

use lowrank::{Arithmetic, Backend};

/// The backends of this machine on which a measurement makes sense. Emulated fused arithmetic is left out, and said to be.
pub fn measured_backends() -> Vec<Backend> {
    let (measured, emulated): (Vec<_>, Vec<_>) =
        Backend::available().partition(|b| b.has_fused() || b.arithmetic() == Arithmetic::Separate);
    for backend in emulated {
        println!("not measured: {backend:?}, which is emulated");
    }
    measured
}

/// How long `action` takes.
pub fn seconds(action: impl FnOnce()) -> f64 {
    let start = Instant::now();
    action();
    start.elapsed().as_secs_f64()
}
