//! Computes the golden vectors of every operation, in both arithmetics, and compares their hashes with the last release.

#![no_std]
#![no_main]

use lowrank::{Arithmetic, Backend, selftest};
use lowrank_firmware::{Failure, check, entry, finish, golden};
use semihosting::println;

/// Fused is emulated: only sizes that take little time.
const MOST_FUSED: usize = 20_000;

/// What is promised of the golden hashes.
const AT_LEAST: usize = 200;

#[entry]
fn main() -> ! {
    finish(run())
}

fn run() -> Result<(), Failure> {
    let mut memory = [f32::NAN; golden::MEMORY];
    let mut all = golden::numbers(&mut memory);
    for (arithmetic, most) in [(Arithmetic::Separate, usize::MAX), (Arithmetic::Fused, MOST_FUSED)] {
        let backend = Backend::BASELINE.with(arithmetic);
        selftest(backend).map_err(Failure::Selftest)?;
        let count = golden::run(backend, most, &mut memory);
        println!("golden {backend}: {} hashes, {} equal", count.all, count.equal);
        all.all += count.all;
        all.equal += count.equal;
    }
    println!("golden: {} hashes, {} equal", all.all, all.equal);
    check(all.all >= AT_LEAST && all.equal == all.all, "every hash is that of the last release")
}
