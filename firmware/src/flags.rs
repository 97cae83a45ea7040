//! The calls of `tests/promises/fp_flags.rs`, on the device.

use lowrank::Backend;
use semihosting::println;

#[path = "../../tests/promises/support/flags.rs"]
mod calls;

use calls::Flags;

use crate::{Failure, check, data};

/// What is promised of the flags.
const AT_LEAST: usize = 10_000;

/// Whether what raises a flag is seen to raise it, and nothing else is.
pub fn can_be_read() -> bool {
    calls::probes().iter().all(|(raised, due)| raised == due)
}

/// Runs every operation, and prints those that raise a flag.
///
/// # Errors
/// [`Failure::Check`] when there is one.
pub fn run(backend: Backend) -> Result<(), Failure> {
    let (mut all, mut raised) = (0, 0);
    calls::every_operation(backend, &mut |name, sizes, flags| {
        all += 1;
        if flags != Flags::default() {
            raised += 1;
            if raised < 20 {
                println!("{name} {sizes:?}: {flags:?}");
            }
        }
    });
    println!("flags: {all} calls, {raised} raise one");
    check(all >= AT_LEAST && raised == 0, "no operation raises a flag on finite data")
}
