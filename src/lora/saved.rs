//! What a batch leaves between its passes.

use super::dropout::{Dropout, Dropping};
use super::shape::Shape;
use crate::arena::{Cutter, Piece, total};
use crate::error::{Argument, Error};
use crate::view::{MatMut, MatRef, expect_shape};

/// What the forward pass leaves for the backward pass, and room for what the backward pass needs: `hs [n, r]`, and in
/// training `gs [n, r]`.
///
/// Made for up to a number of tokens; a shorter batch uses the first rows.
#[derive(Debug)]
pub struct Saved<'m> {
    pub(crate) hs: MatMut<'m>,
    pub(crate) gs: MatMut<'m>,
    pub(super) shape: Shape,
    /// The number of the first token, in a piece of a batch.
    pub(super) first: usize,
    /// Of the last forward pass.
    pub(crate) batch: Option<Batch>,
    /// Dropout with the first of these tokens as its first.
    pub(crate) dropping: Option<Dropping>,
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
    /// `hs` and `gs`, after [`input_grads`](crate::input_grads).
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
        let mut cutter = Cutter::exactly(Argument::Saved, memory, &pieces)?;
        let [hs, gs] = pieces;
        Ok(Self::from_pieces(cutter.take(hs), cutter.take(gs), shape))
    }

    pub(crate) fn from_pieces(hs: MatMut<'m>, gs: MatMut<'m>, shape: Shape) -> Self {
        Self::continued(hs, gs, shape, (None, None))
    }

    /// Where another one has stopped that had the same memory.
    pub(crate) const fn continued(
        hs: MatMut<'m>,
        gs: MatMut<'m>,
        shape: Shape,
        (batch, dropping): (Option<Batch>, Option<Dropping>),
    ) -> Self {
        Self { hs, gs, shape, first: 0, batch, dropping }
    }

    /// Dropout of the following forward passes and of the backward passes that belong to them.
    ///
    /// # Errors
    /// [`Error::Range`] unless `0 <= p < 1`, [`Error::TooMany`] unless `layer < 2³⁰`. Nothing has changed then.
    pub fn set_dropout(&mut self, dropout: Option<Dropout>) -> Result<(), Error> {
        let dropping = dropout.map(Dropping::checked).transpose()?;
        self.dropping = dropping.map(|dropping| dropping.starting_at(self.first));
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
