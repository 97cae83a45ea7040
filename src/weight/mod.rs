//! How the frozen `W [out, in]` rests in memory. It is only ever read: it may lie in flash or in a memory map.
//!
//! - **Rows**: as PyTorch stores it, row-major `[out, in]`, with any row stride.
//! - **Packed**: panels of outputs. Panel `p` holds the outputs `p·width..`, `width` of them (fewer in the last one), as a
//!   row-major matrix `[in, outputs of the panel]`; the panels follow each other without gaps. So the element of output
//!   `o` and input `i` lies at `in·(o - o % width) + i·w + o % width`, where `w = min(width, out - (o - o % width))`.
//!   There is no padding: the length is `out · in`. Any backend reads any width; the one that
//!   [`Backend::panel_width`](crate::Backend::panel_width) names is the fastest.
//!
//! One packed buffer serves the forward pass (a panel is read as it lies) and the backward pass (a panel is a piece of
//! `Wᵀ`).
//!
//! # The bytes that people hold
//! A frozen `W` stays in the format that it has: [`Weights::f16`], [`Weights::bf16`], [`Weights::int8`] with a scale for each output,
//! and the blocks of GGUF, [`Weights::q8_0`], [`Weights::q4_0`], [`Weights::q4_k`] and [`Weights::q6_k`]. Each borrows the bytes, at any
//! address, and checks their number and their scales once; its page has the layout to the byte, and the order of the roundings.
//!
//! Such weights mean the f32 that they decode to, and the gradients are those of these f32: every result has the bits that the decoded
//! matrix would give. A block of weights is decoded once for all tokens into room on the stack (12 KiB on x86-64, 4 KiB on NEON and
//! WebAssembly simd128, 1 KiB where there are no vectors); neither the matrix nor a row of it is ever formed. A program that names no
//! format links none of this.

mod base;
mod coded;
mod decoded;
mod packed;
mod panels;
mod products;
mod socket;
#[cfg(test)]
mod tests;

pub use base::{Base, Weights};
pub use packed::{Packed, pack, packed_len};
pub(crate) use products::Times;
pub(crate) use socket::Coded;
