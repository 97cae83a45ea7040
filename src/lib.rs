//! Low-rank adaptation (LoRA; nothing to do with the radio) on buffers that the caller owns: no heap, no panic, the same
//! bits on every target.
//!
//! ```text
//! Y = X·Wᵀ + b + s·(X·Aᵀ)·Bᵀ        W frozen [out, in]   A [r, in]   B [out, r]   s = alpha/r or alpha/√r
//! ```
//!
//! # Goals
//! - **The same bits everywhere.** Choose an [`Arithmetic`]; then every [`Backend`], tile, batch size, split and target
//!   returns the same bits. A training run on a microcontroller can be replayed bit for bit on a desktop.
//! - **No heap, no hidden memory, no panic.** Every buffer comes from the caller; its length is a `const fn`.
//! - **The frozen base stays frozen.** `W` is only ever borrowed for reading: it can lie in flash or in a memory map.
//! - **Any 4-byte-aligned buffer is right.** More alignment is only faster. Nothing outside a slice is read or written.
//! - **Errors are values.** An [`Error`] says which argument, what was expected and what came; every output is untouched.
//!
//! # Anti-goals
//! No graph, no tape, no model zoo: whoever has several layers calls [`forward`] and [`backward`] once per layer. No
//! threads: the caller can have its own on pieces of a call, as [`lora`] says. No mixed precision beside stored weights. No
//! silent fallback.
//!
//! # The map
//! Imports go down only.
//!
//! | floor | modules | what is there |
//! |---|---|---|
//! | yardstick | [`mod@reference`] | the executable specification: naive loops, obviously right |
//! | flash | [`store`] | two slots of NOR flash that a power cut does not harm |
//! | files | [`mod@format`] | the adapter file: parse, use in place, write |
//! | training | [`train`] | optimizers, clipping, schedules, losses, initialisation, memory plan |
//! | adaptation | [`lora`] | [`forward`], [`backward`], [`merge`]; adapters, gradients, what is saved between the passes |
//! | weights | [`weight`] | how the frozen `W` rests in memory: rows or panels |
//! | kernels | `kernel` | the register tile, panels, blocked products, vector operations; each written once |
//! | machine | `simd` | one table of operations per instruction set; [`Backend`], [`Arithmetic`], [`selftest`] |
//! | words | `optimizer`, `error`, `dtype`, `view`, `scratch` | [`Error`], [`Dtype`], [`MatRef`], [`MatMut`], lengths and how buffers are cut |
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
//! `std` (off by default): [`Backend::detect`] and [`Backend::available`]. Without it, [`Backend::BASELINE`] is what the build target
//! guarantees. `--cfg lowrank_scalar_only` leaves out all vector code. `--cfg lowrank_separate_only` leaves out
//! `Arithmetic::Fused`, which saves flash where the arithmetic is not a constant: in the C library, for one.
//! `--cfg lowrank_small` takes size for speed, with the same bits: one small kernel with one tile on WebAssembly simd128 and
//! NEON, fewer tiles on one lane. The vectors of x86-64 keep their kernels.

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
mod scratch;
mod view;

#[allow(unsafe_code, reason = "the intrinsics live here, each behind a token that proves the CPU feature")]
mod simd;

mod kernel;

pub mod format;
pub mod lora;
pub mod reference;
pub mod store;
pub mod train;
pub mod weight;

pub use dtype::Dtype;
pub use error::{Argument, Error, Flaw};
pub use format::{AdapterFile, Contents};
pub use lora::{
    Accum, Adapter, AdapterMut, Backprop, Batch, Cut, Done, Dropout, Grads, GradsPart, Progress, Saved, Scale, Shape,
    backward, forward, input_grads, merge, merge_finite, parameter_grads,
};
pub use simd::{Arithmetic, Backend, Deviation, selftest};
pub use store::{Flash, Store, StoreError};
pub use train::{Plan, Work};

pub use view::{MatMut, MatRef};
pub use weight::{Base, Packed, Weights, pack, packed_len};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
