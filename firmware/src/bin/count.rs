//! Runs every operation of `firmware/cost` between two calls of `mark`, for a plugin of QEMU that counts instructions.
//!
//! Prints `memory` and the bytes that training takes from its caller, then a line `name tokens` for each operation;
//! `scripts/check-cost.py` puts the counts beside them. `loop` is one of known length: 2000 instructions.

#![no_std]
#![no_main]

use core::hint::black_box;

use lowrank_cost::{Memory, OPERATIONS};
use lowrank_firmware::{Failure, check, entry, finish};
use semihosting::println;

#[entry]
fn main() -> ! {
    finish(run())
}

/// What the plugin looks for.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn mark() {
    black_box(());
}

fn run() -> Result<(), Failure> {
    let mut memory = const { Memory::ZERO };
    println!("memory {}", size_of_val(&memory.arena));
    println!("loop 1");
    mark();
    known();
    mark();
    for tokens in [1, 8] {
        memory.fill();
        memory.tokens = tokens;
        for (name, operation) in OPERATIONS {
            println!("{name} {tokens}");
            mark();
            let status = operation(black_box(&mut memory));
            mark();
            check(status == 0, "the operation does its work")?;
            memory.tokens = tokens;
        }
        naive(&mut memory, tokens);
    }
    Ok(())
}

/// A thousand times two instructions.
#[cfg(target_arch = "arm")]
fn known() {
    // SAFETY: counts a register down.
    unsafe { core::arch::asm!("2:", "subs {0}, #1", "bne 2b", inout(reg) 1000 => _, options(nomem, nostack)) };
}

/// A thousand times two instructions.
#[cfg(target_arch = "riscv32")]
fn known() {
    // SAFETY: counts a register down.
    unsafe {
        core::arch::asm!("2:", "addi {0}, {0}, -1", "bnez {0}, 2b", inout(reg) 1000 => _, options(nomem, nostack))
    };
}

#[cfg(naive_c)]
fn naive(m: &mut Memory, tokens: u32) {
    unsafe extern "C" {
        fn naive_forward(
            w: *const f32,
            bias: *const f32,
            a: *const f32,
            b: *const f32,
            x: *const f32,
            y: *mut f32,
            n: i32,
        );
        fn naive_adamw(p: *mut f32, g: *const f32, m: *mut f32, v: *mut f32, n: i32);
    }
    let (weights, bias) = (m.base.w.as_ptr().cast(), m.base.bias.as_ptr());
    let (a, b) = (m.adapter.a.as_ptr().cast(), m.adapter.b.as_ptr().cast());
    let (x, y) = (m.x.as_ptr().cast(), m.y.as_mut_ptr().cast());
    println!("naive_forward {tokens}");
    mark();
    // SAFETY: 64 × 64, 64, 8 × 64, 64 × 8 and `tokens` × 64 numbers.
    unsafe { naive_forward(weights, bias, a, b, x, y, tokens as i32) };
    mark();
    let (first, second) = m.adamw.split_at_mut(1024);
    println!("naive_adamw {tokens}");
    mark();
    // SAFETY: 1024 numbers each.
    unsafe {
        naive_adamw(m.packed.as_mut_ptr(), m.merged.as_ptr().cast(), first.as_mut_ptr(), second.as_mut_ptr(), 1024);
    }
    mark();
}

#[cfg(not(naive_c))]
fn naive(_: &mut Memory, _: u32) {}
