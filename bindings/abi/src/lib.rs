//! The C ABI of `lowrank`: every operation as an `extern "C"` function. What the functions do is said at their namesakes in
//! `lowrank`; this page says what is true of all of them, and the header repeats it.
//!
//! - **Status.** Every call that can fail returns 0, or a negative `LOWRANK_...`. Where the last argument `error` is not null,
//!   it says which argument, what was expected and what came. Where a call has failed, nothing was written but `error` and
//!   working memory (the `room` of contents, the `page` of a store), unless the call says otherwise.
//! - **Structs** belong to the caller. The first field of each is its size in bytes, which every call checks, also of the
//!   structs that it is to fill. What calls set in a struct, only calls change. The clock, the dropout and the random state
//!   within another struct may be all 0, their size as well: there is none then.
//! - **Pointers.** Null, misaligned, overlapping and wrapping ones are refused. What a call writes (also the struct `error`)
//!   may not have a byte in common with anything else that it gets. The caller's word counts for the rest: there is as much
//!   memory as is said, and no other thread writes it in the meantime.
//! - **Numbers** that stand for something are checked: none is turned into a Rust enum unseen.
//! - No state is kept anywhere else: calls on disjoint memory can run on any thread at the same time, also in interrupts.
//! - No heap, no panic, no static memory but for a byte on x86-64: what the CPU has, once it was asked.

#![no_std]
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "shapes such as [out, in], which the header shows as they are written"
)]

#[cfg(test)]
extern crate std;

#[cfg(target_endian = "big")]
compile_error!("in C, adapter files are used where they lie, which needs a little-endian machine");

#[cfg(all(target_arch = "arm", panic = "abort"))]
mod arm;
mod codes;
mod contents;
mod decimal;
mod entry;
mod error;
mod file;
mod layer;
mod loss;
mod machine;
mod matrix;
mod memory;
mod named;
mod optimizer;
mod passes;
mod plan;
mod random;
mod saved;
mod store;
mod tensor;
mod text;

pub use codes::*;
pub use contents::*;
pub use entry::*;
pub use error::*;
pub use file::*;
pub use layer::*;
pub use loss::*;
pub use machine::*;
pub use matrix::*;
pub use named::*;
pub use optimizer::*;
pub use passes::*;
pub use plan::*;
pub use random::*;
pub use saved::*;
pub use store::*;
pub use tensor::*;
pub use text::*;

/// A call: borrows its arguments, does its work, and says how that went.
macro_rules! call {
    ($error:expr, $passed:expr, $work:expr) => {
        $crate::call!($error, $passed, $work, finish)
    };
    ($error:expr, $passed:expr, $work:expr, $finish:ident) => {{
        let error = $error;
        // SAFETY: the caller's word, as the page of the crate says.
        let result = unsafe { $crate::memory::borrow(error, $passed) }.and_then($work);
        // SAFETY: `error` was checked with the arguments; nothing is borrowed any more.
        unsafe { $crate::error::$finish(result, error) }
    }};
}
use call;

/// A call that has nothing to do with files or flash, see [`error::finish_without_files`].
macro_rules! call_without_files {
    ($error:expr, $passed:expr, $work:expr) => {
        $crate::call!($error, $passed, $work, finish_without_files)
    };
}
use call_without_files;

// On WASI a program has the handler of the standard library, which aborts there.
#[cfg(all(panic = "abort", not(target_os = "wasi"), not(test)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(feature = "panic-is-a-link-error")]
    {
        unsafe extern "C" {
            safe fn lowrank_panic_can_be_reached() -> !;
        }
        lowrank_panic_can_be_reached()
    }
    #[cfg(not(feature = "panic-is-a-link-error"))]
    loop {}
}
