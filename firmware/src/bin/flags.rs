//! Runs every operation on finite numbers of every kind of size, and looks at the flags of the FPU: none may be raised.

#![no_std]
#![no_main]

use lowrank::{Arithmetic, Backend};
use lowrank_firmware::{Failure, check, entry, finish, flags};

#[entry]
fn main() -> ! {
    finish(run())
}

fn run() -> Result<(), Failure> {
    check(flags::can_be_read(), "the flags of this FPU can be read")?;
    flags::run(Backend::BASELINE.with(Arithmetic::Separate))
}
