//! What becomes of an image whose processor faults: it says where, and ends.

use semihosting::{println, process};

#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    end(frame.pc())
}

// SAFETY: `riscv-rt` calls what has this name with this signature, and nothing else in the image has it.
#[cfg(target_arch = "riscv32")]
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception(_: &riscv_rt::TrapFrame) -> ! {
    let pc;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("csrr {}, mepc", out(reg) pc, options(nomem, nostack, preserves_flags)) };
    end(pc)
}

fn end(pc: u32) -> ! {
    println!("failed: a fault at {pc:#010x}");
    process::exit(1)
}
