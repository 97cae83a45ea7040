//! The smallest program that holds every register tile: `scripts/check-assembly.py` compiles it and looks at its machine code.
//! It is never run.

#![no_std]

use lowrank::{Adapter, Backend, Base, Error, MatMut, MatRef, Packed, Saved, forward};

/// The backend is an argument, so that the tiles of all backends and of both arithmetics stay in the program.
///
/// # Errors
/// As [`forward`].
#[unsafe(no_mangle)]
pub fn forward_packed(
    backend: Backend,
    weights: Packed<'_>,
    adapter: &Adapter<'_>,
    x: MatRef<'_>,
    y: MatMut<'_>,
    saved: &mut Saved<'_>,
) -> Result<(), Error> {
    forward(backend, &Base { weights: weights.into(), bias: None }, adapter, x, y, saved)
}

#[panic_handler]
fn halt(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
