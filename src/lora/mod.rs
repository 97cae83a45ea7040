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

mod backward;
mod dropout;
mod dropped;
mod forward;
mod merge;
mod split;

pub use backward::{Backprop, backward, input_grads, parameter_grads};
pub use dropout::Dropout;
pub use forward::forward;
pub use merge::{merge, merge_finite};
pub use split::{Cut, Done, GradsPart};

pub(crate) use backward::{gradient_a, gradient_b, inner_grad, input_grad, prepare};
pub(crate) use dropout::check_layer;
pub(crate) use dropped::{Code, FromColumn};

use dropped::Dropping;

use crate::error::{Argument, Error};
use crate::kernel::raw::Start;
use crate::kernel::vector::{first_non_finite, is_zero};
use crate::scratch::{Piece, Scratch, total};
use crate::view::{MatMut, MatRef, expect_bias, expect_shape};
use crate::weight::Base;

/// Sizes of one adapted layer.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Columns of `W` and `A`.
    pub inputs: usize,
    /// Rows of `W` and `B`.
    pub outputs: usize,
    /// Rows of `A`, columns of `B`.
    pub rank: usize,
}

impl Shape {
    /// Inputs, outputs, rank.
    pub const fn new(inputs: usize, outputs: usize, rank: usize) -> Self {
        Self { inputs, outputs, rank }
    }

    /// Parameters that are trained: `r·(in + out)`, saturating.
    ///
    /// ```
    /// assert_eq!(lowrank::Shape::new(1000, 1000, 10).adapter_parameters(), 20_000);
    /// ```
    pub const fn adapter_parameters(self) -> usize {
        self.rank.saturating_mul(self.inputs.saturating_add(self.outputs))
    }

    /// Parameters that full fine-tuning would train: `in·out`, saturating.
    pub const fn full_parameters(self) -> usize {
        self.inputs.saturating_mul(self.outputs)
    }
}

/// How the factor `s` follows from the `alpha` of a training configuration.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Scale {
    /// `s = alpha/r`, as in the LoRA paper.
    Alpha(f32),
    /// `s = alpha/√r`: D. Kalajdzievski, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", 2023;
    /// `use_rslora` in PEFT.
    RankStabilized(f32),
    /// `s` itself.
    Direct(f32),
}

impl Scale {
    /// The factor `s` for a rank, rounded once. With rank 0 there is nothing to scale: 0.
    ///
    /// ```
    /// use lowrank::Scale;
    /// assert_eq!(Scale::Alpha(8.0).factor(4), 2.0);
    /// assert_eq!(Scale::RankStabilized(8.0).factor(4), 4.0);
    /// assert_eq!(Scale::Direct(0.5).factor(4), 0.5);
    /// ```
    pub fn factor(self, rank: usize) -> f32 {
        // No branch around a division: compilers compute 0/0 and throw it away, which raises the invalid flag.
        let dividend = |alpha: f32| f64::from(if rank == 0 { 0.0 } else { alpha });
        let divisor = rank.max(1);
        match self {
            Scale::Direct(s) => s,
            Scale::Alpha(alpha) => (dividend(alpha) / divisor as f64) as f32,
            Scale::RankStabilized(alpha) => {
                // Two steps of Newton's iteration take the binary32 root to the end of binary64.
                let r = divisor as f64;
                let mut root = f64::from(crate::simd::sqrt(divisor as f32));
                for _ in 0..2 {
                    root = 0.5 * (root + r / root);
                }
                (dividend(alpha) / root) as f32
            }
        }
    }
}

/// An adapter that is only read. It may lie in flash.
#[derive(Copy, Clone, Debug)]
pub struct Adapter<'a> {
    /// `A [r, in]`.
    pub a: MatRef<'a>,
    /// `B [out, r]`.
    pub b: MatRef<'a>,
    /// A trained bias `[1, out]` that takes the place of the base's, as with `bias="lora_only"` in PEFT.
    pub bias: Option<MatRef<'a>>,
    /// `s`; see [`Scale::factor`].
    pub scale: f32,
}

/// An adapter in training. The fields are those of [`Adapter`].
#[derive(Debug)]
pub struct AdapterMut<'a> {
    /// `A [r, in]`.
    pub a: MatMut<'a>,
    /// `B [out, r]`.
    pub b: MatMut<'a>,
    /// A trained bias `[1, out]`.
    pub bias: Option<MatMut<'a>>,
    /// `s`.
    pub scale: f32,
}

impl AdapterMut<'_> {
    /// The same adapter, for reading.
    pub fn as_ref(&self) -> Adapter<'_> {
        Adapter {
            a: self.a.as_ref(),
            b: self.b.as_ref(),
            bias: self.bias.as_ref().map(MatMut::as_ref),
            scale: self.scale,
        }
    }
}

impl Adapter<'_> {
    /// Sizes, read off `A` and `B`.
    pub const fn shape(&self) -> Shape {
        Shape::new(self.a.cols(), self.b.rows(), self.a.rows())
    }

    /// # Errors
    /// [`Error::DeadAdapter`] when `A` and `B` are both zero: then every gradient is zero, and stays so.
    pub fn check_alive(&self) -> Result<(), Error> {
        if self.is_absent() || !is_zero(&self.b) || !is_zero(&self.a) { Ok(()) } else { Err(Error::DeadAdapter) }
    }

    /// # Errors
    /// [`Error::NonFinite`] with the first element of `A`, `B` or the bias that is infinite or NaN.
    pub fn check_finite(&self) -> Result<(), Error> {
        finite(Argument::A, &self.a)?;
        finite(Argument::B, &self.b)?;
        self.bias.map_or(Ok(()), |bias| finite(Argument::Bias, &bias))
    }

    /// Rank 0 or a scale of ±0.
    pub(crate) const fn is_absent(&self) -> bool {
        self.a.rows() == 0 || self.scale == 0.0
    }

    pub(crate) fn check(&self, base: &Base<'_>) -> Result<(), Error> {
        base.check()?;
        let (outputs, inputs, rank) = (base.weights.outputs(), base.weights.inputs(), self.a.rows());
        expect_shape(Argument::A, (rank, self.a.cols()), (rank, inputs))?;
        expect_shape(Argument::B, (self.b.rows(), self.b.cols()), (outputs, rank))?;
        expect_bias(self.bias.as_ref(), outputs)?;
        check_scale(self.scale)
    }
}

fn check_scale(scale: f32) -> Result<(), Error> {
    let (at_least, at_most) = (f32::MIN, f32::MAX);
    if scale.is_finite() {
        Ok(())
    } else {
        Err(Error::Range { argument: Argument::Scale, at_least, at_most, got: scale })
    }
}

pub(crate) fn finite(argument: Argument, matrix: &MatRef<'_>) -> Result<(), Error> {
    first_non_finite(matrix).map_or(Ok(()), |index| Err(Error::NonFinite { argument, index }))
}

/// Whether a gradient replaces what was in its buffer or is added to it.
///
/// Adding continues the chains: one batch of 128 and 128 batches of one give the same bits.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Accum {
    /// The old content is not read.
    Replace,
    /// The chain continues from the old content.
    Add,
}

impl Accum {
    pub(crate) const fn start(self) -> Start<'static> {
        match self {
            Accum::Replace => Start::Zero,
            Accum::Add => Start::Existing,
        }
    }
}

/// Gradients of an adapter, in the caller's memory.
#[derive(Debug)]
pub struct Grads<'a> {
    /// `dA [r, in]`. `None`: `A` is frozen, and the backward pass needs no `X` (L. Zhang et al., "LoRA-FA", 2023).
    pub a: Option<MatMut<'a>>,
    /// `dB [out, r]`.
    pub b: MatMut<'a>,
    /// `db [1, out]`, where the bias is trained.
    pub bias: Option<MatMut<'a>>,
    /// What the next backward pass does with the old content.
    pub accum: Accum,
}

impl Grads<'_> {
    /// # Errors
    /// [`Error::NonFinite`] with the first element that is infinite or NaN.
    pub fn check_finite(&self) -> Result<(), Error> {
        if let Some(a) = &self.a {
            finite(Argument::DA, &a.as_ref())?;
        }
        finite(Argument::DB, &self.b.as_ref())?;
        self.bias.as_ref().map_or(Ok(()), |bias| finite(Argument::DBias, &bias.as_ref()))
    }
}

/// What the forward pass leaves for the backward pass, and room for what the backward pass needs: `hs [n, r]`, and in
/// training `gs [n, r]`.
///
/// Made for up to a number of tokens; a shorter batch uses the first rows.
#[derive(Debug)]
pub struct Saved<'m> {
    pub(crate) hs: MatMut<'m>,
    pub(crate) gs: MatMut<'m>,
    shape: Shape,
    /// The number of the first token, in a piece of a batch.
    first: usize,
    /// Of the last forward pass.
    pub(crate) batch: Option<Batch>,
    dropping: Option<Dropping>,
}

/// How far the tokens of a [`Saved`] have come. Plain data, for callers that keep the memory but not the view of it: see
/// [`Saved::resume`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Tokens of the last forward pass.
    pub tokens: usize,
    /// How far they have come.
    pub progress: Progress,
}

/// What a [`Saved`] holds of a batch.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// `hs`, after a forward pass.
    Forward,
    /// `hs` and `gs`, after [`input_grads`].
    Backward,
    /// Neither: a pass has found the adapter absent. A backward pass that finds it absent, too, needs neither.
    Absent,
}

impl<'m> Saved<'m> {
    const fn pieces(shape: Shape, tokens: usize, training: bool) -> [Piece; 2] {
        [(tokens, shape.rank), (if training { tokens } else { 0 }, shape.rank)]
    }

    /// Elements that inference on up to `tokens` tokens needs: `n·r`. `None` when that does not fit into memory.
    pub const fn inference_len(shape: Shape, tokens: usize) -> Option<usize> {
        total(&Self::pieces(shape, tokens, false))
    }

    /// Elements that training on up to `tokens` tokens needs: `2·n·r`. `None` when that does not fit into memory.
    pub const fn training_len(shape: Shape, tokens: usize) -> Option<usize> {
        total(&Self::pieces(shape, tokens, true))
    }

    /// For forward passes only.
    ///
    /// # Errors
    /// [`Error::Length`] when `memory` does not hold exactly [`Saved::inference_len`] elements, [`Error::Overflow`].
    pub fn inference(memory: &'m mut [f32], shape: Shape, tokens: usize) -> Result<Self, Error> {
        Self::cut(memory, shape, tokens, false)
    }

    /// For forward and backward passes.
    ///
    /// # Errors
    /// [`Error::Length`] when `memory` does not hold exactly [`Saved::training_len`] elements, [`Error::Overflow`].
    pub fn training(memory: &'m mut [f32], shape: Shape, tokens: usize) -> Result<Self, Error> {
        Self::cut(memory, shape, tokens, true)
    }

    fn cut(memory: &'m mut [f32], shape: Shape, tokens: usize, training: bool) -> Result<Self, Error> {
        let pieces = Self::pieces(shape, tokens, training);
        let mut scratch = Scratch::new(Argument::Saved, memory, &pieces)?;
        let [hs, gs] = pieces;
        Ok(Self::from_pieces(scratch.take(hs), scratch.take(gs), shape))
    }

    pub(crate) fn from_pieces(hs: MatMut<'m>, gs: MatMut<'m>, shape: Shape) -> Self {
        Self { hs, gs, shape, first: 0, batch: None, dropping: None }
    }

    /// Dropout of the following forward passes and of the backward passes that belong to them.
    ///
    /// # Errors
    /// [`Error::Range`] unless `0 <= p < 1`, [`Error::TooMany`] unless `layer < 2³⁰`. Nothing has changed then.
    pub fn set_dropout(&mut self, dropout: Option<Dropout>) -> Result<(), Error> {
        if let Some(dropout) = &dropout {
            dropout.check()?;
        }
        self.dropping = dropout.map(Dropping::new);
        self.batch = None;
        Ok(())
    }

    /// How far the tokens of the last forward pass have come; `None` when there was none.
    pub const fn batch(&self) -> Option<Batch> {
        self.batch
    }

    /// Goes on where another view of the same memory has stopped, with its [`batch`](Self::batch) and its dropout, which is to
    /// be set before.
    ///
    /// # Errors
    /// [`Error::TooMany`] when there is no room for so many tokens; [`Error::ForInference`] when `gs` is said to be there, and
    /// this is made for inference. Nothing has changed then.
    ///
    /// ```
    /// use lowrank::{Batch, Progress, Saved, Shape};
    /// let (mut memory, shape) = ([0.0; 2 * 4], Shape::new(2, 3, 1));
    /// let batch = Some(Batch { tokens: 4, progress: Progress::Forward });
    /// let mut saved = Saved::training(&mut memory, shape, 4)?;
    /// saved.resume(batch)?;
    /// assert_eq!((saved.batch(), saved.hs().rows()), (batch, 4));
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    pub fn resume(&mut self, batch: Option<Batch>) -> Result<(), Error> {
        if let Some(Batch { tokens: got, progress }) = batch {
            let at_most = self.hs.rows();
            if got > at_most {
                return Err(Error::TooMany { argument: Argument::Tokens, at_most, got });
            }
            if progress == Progress::Backward && got > self.gs.rows() {
                return Err(Error::ForInference);
            }
        }
        self.batch = batch;
        Ok(())
    }

    /// The code of dropout, if there is any.
    pub(crate) fn dropout_code(&self) -> Option<&'static Code> {
        self.dropping.map(|dropping| dropping.code)
    }

    /// Dropout with the first of these tokens as its first.
    fn masks(&self) -> Option<Dropout> {
        let Dropping { dropout, .. } = self.dropping?;
        Some(Dropout { first_token: dropout.first_token.wrapping_add(self.first as u64), ..dropout })
    }

    /// `hs [n, r]` of the last forward pass: the scaled inner activations `s·X̃·Aᵀ`. Without rows where there was no forward
    /// pass, or the adapter was absent.
    pub fn hs(&self) -> MatRef<'_> {
        let tokens =
            self.batch.map_or(0, |Batch { tokens, progress }| if progress == Progress::Absent { 0 } else { tokens });
        self.hs.as_ref().block(0, tokens, 0, self.shape.rank)
    }

    pub(crate) const fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether a pass has found the adapter absent.
    pub(crate) fn is_absent(&self) -> bool {
        self.batch.is_some_and(|batch| batch.progress == Progress::Absent)
    }

    pub(crate) fn check(&self, shape: Shape, tokens: usize) -> Result<(), Error> {
        let argument = Argument::Saved;
        expect_shape(argument, (self.shape.outputs, self.shape.inputs), (shape.outputs, shape.inputs))?;
        expect_shape(Argument::Rank, (0, self.shape.rank), (0, shape.rank))?;
        if tokens > self.hs.rows() {
            return Err(Error::TooMany { argument: Argument::Tokens, at_most: self.hs.rows(), got: tokens });
        }
        Ok(())
    }
}
