//! Low-rank adaptation, line by line.
//!
//! ```text
//! forward    h = X̃·Aᵀ    hs = s·h    Y = X·Wᵀ + b + hs·Bᵀ
//! backward   g = dY·B    gs = s·g    dB = dYᵀ·hs    dA = gsᵀ·X̃    db = Σ dY    dX = dY·W + (gs·A)⊙D
//! merge      W' = W + s·B·A
//! ```
//!
//! `X̃ = X⊙D`, where `D` is the dropout multiplier, 1 without dropout. E. Hu et al., "LoRA: Low-Rank Adaptation of Large
//! Language Models", 2021; names and shapes as in PEFT.
//!
//! With rank 0, or with a scale of ±0, the adapter is absent: `A`, `B` and `h` are not read, `dA` and `dB` are zero.
//!
//! # Threads
//! Each call can run on pieces of a layer, in any order and at the same time: pieces are disjoint borrows, and every chain lies
//! within one piece, so the bits are those of the whole. For more than two pieces, cut a piece again.
//!
//! | call | its pieces | cut by |
//! |---|---|---|
//! | [`forward`] | tokens, or outputs | [`Saved::split_tokens`], or [`Base::outputs`] and [`Adapter::outputs`] |
//! | [`merge`] | outputs | [`Base::outputs`] and [`Adapter::outputs`] |
//! | [`input_grads`] | tokens | [`Saved::split_tokens`] |
//! | [`parameter_grads`] | parameters | [`GradsPart::split`] |
//! | a step of an optimizer | parameters | [`AdapterMut::split`], [`State::split`](crate::train::State::split) |
//!
//! `X`, `Y`, `dY` and `dX` are cut by [`MatRef::split_rows`] and [`MatMut::split_rows`], the only row of one token's `Y` by
//! [`MatMut::split_cols`].
//!
//! [`Base::outputs`]: crate::Base::outputs
//! [`MatRef::split_rows`]: crate::MatRef::split_rows
//! [`MatMut::split_rows`]: crate::MatMut::split_rows
//! [`MatMut::split_cols`]: crate::MatMut::split_cols

mod adapter;
mod backward;
mod dropout;
mod equations;
mod flow;
mod forward;
mod grads;
mod in_place;
mod merge;
mod passes;
pub(crate) mod place;
mod saved;
mod shape;
mod split;
mod table;

pub use adapter::{Adapter, AdapterMut};
pub use backward::{backward, input_grads, parameter_grads};
pub use dropout::Dropout;
pub use flow::Backprop;
pub use forward::forward;
pub use grads::{Accum, Grads};
pub(crate) use merge::merge_rows;
pub use merge::{merge, merge_finite};
pub use saved::{Batch, Progress, Saved};
pub use shape::{Scale, Shape};
pub use split::{Cut, Done, GradsPart};

pub(crate) use adapter::{check_scale, finite};
pub(crate) use backward::{input_grad, prepare};
pub(crate) use dropout::{Dropping, check_layer_number};
pub(crate) use in_place::{descend, inner_grad, square_sum};
pub(crate) use passes::{BACKWARD, Equations, FORWARD, Given, run_pass};
pub(crate) use table::{OWN, TRAINED, adapter, parts, shape};
