//! Low-rank adaptation (LoRA; nothing to do with the radio) on buffers that the caller owns: no heap, no panic, the same
//! bits on every target.
//!
//! ```text
//! Y = X·Wᵀ + b + s·(X·Aᵀ)·Bᵀ        W frozen [out, in]   A [r, in]   B [out, r]   s = alpha/r or alpha/√r
//! ```
//!
//! ```
//! use lowrank::{AdamW, Backend, Base, Optimizer, Plan, Scale, Shape, softmax_cross_entropy};
//!
//! const PLAN: Plan = Plan::training(Shape::new(2, 3, 1), 4, Optimizer::AdamW); // inputs, outputs, rank; tokens
//! static W: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]; // frozen: may lie in flash
//!
//! let (x, mut y, mut dy) = ([[1.0, 2.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.0]], [[0.0; 3]; 4], [[0.0; 3]; 4]);
//! let (backend, mut arena) = (Backend::BASELINE, [0.0; PLAN.len()]); // all memory that the layer takes
//! let mut layer = PLAN.layer(Base::rows(&W, None), &mut arena)?;
//! layer.init(Scale::Alpha(2.0), 42, 0)?; // seed, layer number
//! for _ in 0..100 {
//!     layer.forward(backend, &x, &mut y)?;
//!     softmax_cross_entropy(&y, &[1, 0, 1, 0], &mut dy)?;
//!     layer.backward(backend, &x, &dy, None)?;
//!     layer.step(backend, &AdamW { learning_rate: 0.05, ..AdamW::DEFAULT })?;
//! }
//! # assert!(y.iter().zip([1, 0, 1, 0]).all(|(y, label)| y.iter().all(|other| *other <= y[label])));
//! # Ok::<(), lowrank::Error>(())
//! ```
//!
//! # Goals
//! - **The same bits everywhere.** Choose an [`Arithmetic`]; then every [`Backend`], tile, batch size, split and target
//!   returns the same bits. A training run on a microcontroller can be replayed bit for bit on a desktop.
//! - **No heap, no hidden memory, no panic.** Every buffer comes from the caller; its length is a `const fn`.
//! - **The frozen base stays frozen.** `W` is only ever borrowed for reading: it can lie in flash or in a memory map.
//! - **Any 4-byte-aligned buffer is right.** More alignment is only faster. Nothing outside a slice is read or written.
//! - **Errors are values.** An [`Error`] says which argument it is about, the value that was expected and the value that came; a
//!   [`FileError`] says which byte of an adapter file is wrong, and how. The call that returns it has written nothing.
//!
//! # Anti-goals
//! The crate has no graph, no tape and no model zoo: a program with several layers makes a [`Layer`] for each and calls one after
//! the other. It starts no threads: the caller can run pieces of a call on its own threads, as [`lora`] says. It computes in no
//! mixed precision, beside adapters that are stored as such. It has no silent fallback.
//!
//! # Which module do you need?
//! A program that trains or runs an adapter finds all that it needs at the root: [`Plan`] gives the length of a buffer, [`Layer`] is
//! made of it, and [`AdapterFile`], [`Contents`] and [`Store`] carry a layer from one start to the next.
//!
//! | you want to | look at |
//! |---|---|
//! | choose an optimizer, a schedule, a loss; clip gradients | [`train`] |
//! | read or write an adapter file | [`mod@format`] |
//! | keep the file in flash, through power cuts | [`store`] |
//! | cut one buffer into the memory of several layers | [`arena`] |
//! | pack weights, so that one token is faster | [`weight`] |
//! | compute on threads, or on memory that no [`Plan`] has cut | [`lora`]: the functions below [`Layer`] |
//! | know which bits a call returns | [`mod@reference`]: the executable specification |
//!
//! A program that uses [`Layer`] need not name [`Saved`], [`Grads`], [`Progress`], [`Batch`], [`Work`] or [`mod@reference`], and the
//! other modules are private: `kernel` (the register tile and the products), `simd` (the instruction sets), `view`, `error`,
//! `optimizer` and `dtype`. Imports between modules go down only.
//!
//! # The arithmetic contract, version 1
//! 1. IEEE 754 binary32, round to nearest even, subnormals kept. [`selftest`] detects builds and threads that break this.
//! 2. Two arithmetics: [`Arithmetic::Separate`] `acc = rn(acc + rn(a·b))`, [`Arithmetic::Fused`] `acc = rn(acc + a·b)`.
//! 3. Each output element is one chain over its reduction index, ascending, with one accumulator, from +0, from the bias,
//!    or from the old output where a call accumulates. Padding is never part of a chain.
//! 4. The chains of every operation are written at the operation; [`mod@reference`] is their executable form.
//! 5. Rank 0 or a scale of ±0: `A`, `B` and `h` are not read. Nothing else is skipped for its value.
//! 6. On finite data whose chains do not overflow, no invalid, divide-by-zero or overflow flag is raised.
//! 7. Which elements are NaN is promised, sign and payload of a NaN are not. Infinities and the sign of zero are.
//!
//! So gradient accumulation is exact: a batch of 128 and 128 batches of one give the same bits.
//!
//! # Features
//! - `std`, off by default: [`Backend::detect`] and [`Backend::available`] ask the CPU at run time. Without it,
//!   [`Backend::BASELINE`] is the instruction set that the build target guarantees.
//!
//! Three flags of the compiler leave code out; none changes a bit of a result.
//!
//! - `--cfg lowrank_scalar_only` leaves out all vector code.
//! - `--cfg lowrank_separate_only` leaves out [`Arithmetic::Fused`], which saves flash where the arithmetic is no constant, as in
//!   the C library.
//! - `--cfg lowrank_small` takes size before speed: WebAssembly simd128 and NEON get one small kernel with one tile, and targets with
//!   one lane get fewer tiles. The vectors of x86-64 keep their kernels.

// Without the feature they are not there, and a link to them leads nowhere.
#![cfg_attr(
    not(feature = "std"),
    doc = "",
    doc = "[`Backend::detect`]: https://docs.rs/lowrank/latest/lowrank/struct.Backend.html#method.detect",
    doc = "[`Backend::available`]: https://docs.rs/lowrank/latest/lowrank/struct.Backend.html#method.available"
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::todo)
)]

#[cfg(any(test, feature = "std"))]
extern crate std;

mod dtype;
mod error;
mod optimizer;
mod view;

#[allow(unsafe_code, reason = "the intrinsics live here, each behind a token that proves the CPU feature")]
mod simd;

mod kernel;

pub mod arena;
pub mod format;
pub mod lora;
pub mod reference;
pub mod store;
pub mod train;
pub mod weight;

// The names that most programs need have their pages here.
#[doc(inline)]
pub use format::{AdapterFile, Contents};
#[doc(inline)]
pub use lora::{Adapter, Scale, Shape};
#[doc(inline)]
pub use store::Store;
#[doc(inline)]
pub use train::{AdamW, Layer, Optimizer, Plan, softmax_cross_entropy};
#[doc(inline)]
pub use weight::Base;

pub use error::{Argument, Error};
pub use simd::{Arithmetic, Backend, Deviation, selftest};
pub use view::{MatMut, MatRef};

// The others have their pages in their modules.
#[doc(no_inline)]
pub use format::{FileError, Flaw};
#[doc(no_inline)]
pub use lora::{
    Accum, AdapterMut, Backprop, Batch, Cut, Done, Dropout, Grads, GradsPart, Progress, Saved, backward, forward,
    input_grads, merge, merge_finite, parameter_grads,
};
#[doc(no_inline)]
pub use store::{Flash, StoreError};
#[doc(no_inline)]
pub use train::Work;
#[doc(no_inline)]
pub use weight::{Packed, Weights, pack, packed_len};

pub use dtype::Dtype;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
