//! Faults on purpose, to see what an image says of it.

#![no_std]
#![no_main]

use core::arch::asm;

use lowrank_firmware::{entry, finish};

#[entry]
fn main() -> ! {
    // SAFETY: a fault is what is wanted.
    #[cfg(target_arch = "arm")]
    unsafe {
        asm!("udf #0")
    };
    // SAFETY: as above.
    #[cfg(target_arch = "riscv32")]
    unsafe {
        asm!("unimp")
    };
    finish(Ok(()))
}
