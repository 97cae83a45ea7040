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

mod packed;
mod panels;
mod products;

pub use packed::{Packed, pack, packed_len};
pub(crate) use panels::{copy, for_each_of};
pub(crate) use products::{times, times_transposed};

use core::ops::Range;

use panels::{Panels, SideBySide};

use crate::error::{Argument, Error};
use crate::kernel::operand::Piece;
use crate::view::{MatRef, expect_bias, expect_range};

/// Frozen weights `W [out, in]`, borrowed.
#[derive(Copy, Clone, Debug)]
pub enum Weights<'a> {
    /// Row-major, `[out, in]`.
    Rows(MatRef<'a>),
    /// Panels of outputs, made by [`pack`].
    Packed(Packed<'a>),
}

impl<'a> Weights<'a> {
    /// Number of outputs, the rows of `W`.
    pub const fn outputs(&self) -> usize {
        match self {
            Weights::Rows(w) => w.rows(),
            Weights::Packed(w) => w.outputs(),
        }
    }

    /// Number of inputs, the columns of `W`.
    pub const fn inputs(&self) -> usize {
        match self {
            Weights::Rows(w) => w.cols(),
            Weights::Packed(w) => w.inputs(),
        }
    }

    /// Outputs `range`, which lies within them.
    const fn range(self, range: &Range<usize>) -> Self {
        match self {
            Weights::Rows(w) => Weights::Rows(w.split_rows(range.end).0.split_rows(range.start).1),
            Weights::Packed(w) => Weights::Packed(w.range(range)),
        }
    }

    /// `W[o, i]`, or `None` where there is no such weight.
    pub fn get(&self, o: usize, i: usize) -> Option<f32> {
        let there = o < self.outputs() && i < self.inputs();
        if there { self.panel(o, i, &mut []).matrix.data().first().copied() } else { None }
    }
}

/// Rows are one panel.
impl Panels for Weights<'_> {
    const IN_PLACE: bool = true;

    fn outputs(&self) -> usize {
        Weights::outputs(self)
    }

    fn inputs(&self) -> usize {
        Weights::inputs(self)
    }

    // Not inlined: what calls it is meant to be small.
    #[inline(never)]
    fn panel<'r>(&'r self, output: usize, input: usize, room: &'r mut [f32]) -> Piece<'r> {
        match self {
            Weights::Rows(w) => Piece { matrix: w.block(output, usize::MAX, input, usize::MAX), transposed: true },
            Weights::Packed(w) => w.panel(output, input, room),
        }
    }

    #[inline(always)]
    fn side_by_side(&self) -> Option<SideBySide<'_>> {
        match self {
            Weights::Rows(_) => None,
            Weights::Packed(w) => w.side_by_side(),
        }
    }
}

impl<'a> From<MatRef<'a>> for Weights<'a> {
    fn from(rows: MatRef<'a>) -> Self {
        Weights::Rows(rows)
    }
}

impl<'a> From<Packed<'a>> for Weights<'a> {
    fn from(packed: Packed<'a>) -> Self {
        Weights::Packed(packed)
    }
}

/// The frozen layer: `W [out, in]` and its bias `b [1, out]`, if it has one.
///
/// ```
/// use lowrank::{Base, MatRef};
/// let base = Base { weights: MatRef::new(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 3, 2)?.into(), bias: None };
/// assert_eq!((base.weights.outputs(), base.weights.inputs()), (3, 2));
/// # Ok::<(), lowrank::Error>(())
/// ```
#[derive(Copy, Clone, Debug)]
pub struct Base<'a> {
    /// `W [out, in]`.
    pub weights: Weights<'a>,
    /// `b [1, out]`; see [`MatRef::from_row`].
    pub bias: Option<MatRef<'a>>,
}

impl<'a> Base<'a> {
    /// Outputs `range` as a layer of their own: these rows of `W`, these elements of the bias. Packed weights can be cut
    /// at any output; at a multiple of [`Packed::width`] they are read fastest.
    ///
    /// With [`Adapter::outputs`](crate::Adapter::outputs) of the same range, [`forward`](crate::forward) gives these
    /// columns of `Y`, with the same bits: two threads can compute one token.
    ///
    /// # Errors
    /// [`Error::TooMany`] when the range ends behind the last output; [`Error::Reversed`]; [`Error::Rows`] and [`Error::Cols`]
    /// when there are not as many biases as outputs.
    ///
    /// ```
    /// use lowrank::{Base, MatRef};
    /// let weights = MatRef::from_rows(&[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).into();
    /// let part = Base { weights, bias: Some(MatRef::from_row(&[0.1, 0.2, 0.3])) }.outputs(1..3)?;
    /// assert_eq!((part.weights.outputs(), part.weights.get(0, 1)), (2, Some(1.0)));
    /// assert_eq!(part.bias.map(|bias| bias.row(0)), Some(&[0.2, 0.3][..]));
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    pub fn outputs(&self, range: Range<usize>) -> Result<Base<'a>, Error> {
        self.check()?;
        expect_range(Argument::W, &range, self.weights.outputs())?;
        Ok(Base { weights: self.weights.range(&range), bias: self.bias.map(|bias| bias.cols_of(&range)) })
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        expect_bias(self.bias.as_ref(), self.weights.outputs())
    }
}
