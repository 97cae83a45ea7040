//! How much stack a call takes: the memory below the stack pointer is painted before the call and looked at after it.

use core::arch::asm;

/// Bytes below the stack pointer that are painted. A call that takes all of them has taken more.
pub const PAINTED: usize = 32 * 1024;

const PAINT: u32 = 0xa5c3_5a3c;

/// Bytes of stack that a call takes, a multiple of 4; [`PAINTED`] when it takes that many or more. Its arguments and what it
/// borrows are not counted, the frame of the closure is.
///
/// At least [`PAINTED`] bytes have to lie between the stack pointer and the statics, and interrupts have to be off.
#[inline(never)]
pub fn taken(call: impl FnOnce()) -> usize {
    let pointer = stack_pointer();
    let bottom = pointer - PAINTED;
    for at in (bottom..pointer).step_by(4) {
        // SAFETY: below the stack pointer lies nothing that lives, and the caller has seen to the room.
        unsafe { core::ptr::write_volatile(at as *mut u32, PAINT) };
    }
    apart(call);
    // SAFETY: as above.
    let is_paint = |at: &usize| unsafe { core::ptr::read_volatile(*at as *const u32) } == PAINT;
    pointer - (bottom..pointer).step_by(4).find(|at| !is_paint(at)).unwrap_or(pointer)
}

/// Inlined, the frame of the call would lie above the paint.
#[inline(never)]
fn apart(call: impl FnOnce()) {
    call();
}

/// A multiple of 4.
#[inline(always)]
fn stack_pointer() -> usize {
    let pointer;
    #[cfg(target_arch = "arm")]
    // SAFETY: reads a register.
    unsafe {
        asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags))
    };
    #[cfg(target_arch = "riscv32")]
    // SAFETY: reads a register.
    unsafe {
        asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags))
    };
    pointer
}
