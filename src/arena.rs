//! One buffer for everything: its length as a constant, and the cuts that make matrices and slices of it.
//!
//! A [`Plan`](crate::Plan) says how long the memory of one layer is. A program with several layers, and with activations between
//! them, adds up all of it with [`total`], gives one buffer of that length, and hands out its pieces with a [`Cutter`]. Lengths
//! count elements of [`f32`], not bytes.
//!
//! ```
//! use lowrank::arena::{self, Cutter, Piece};
//! use lowrank::{Backend, Base, MatMut, Optimizer, Plan, Scale, Shape};
//!
//! const FIRST: Plan = Plan::training(Shape::new(2, 3, 1), 4, Optimizer::AdamW); // inputs, outputs, rank; tokens
//! const SECOND: Plan = Plan::training(Shape::new(3, 2, 1), 4, Optimizer::AdamW);
//! const H: Piece = (4, 3); // rows and columns of the activations between the layers
//! const Y: Piece = (4, 2);
//! const LEN: usize = arena::total(&[(1, FIRST.len()), (1, SECOND.len()), H, Y]).unwrap();
//! # static W1: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
//! # static W2: [[f32; 3]; 2] = [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]];
//!
//! let mut memory = [0.0; LEN]; // a static on a device
//! let mut cutter = Cutter::new(&mut memory);
//! let mut first = FIRST.layer(Base::rows(&W1, None), cutter.slice(FIRST.len())?)?;
//! let mut second = SECOND.layer(Base::rows(&W2, None), cutter.slice(SECOND.len())?)?;
//! let (mut h, mut y) = (cutter.matrix(H)?, cutter.matrix(Y)?);
//! cutter.end()?; // nothing is left
//! # first.init(Scale::Alpha(1.0), 42, 0)?;
//! # second.init(Scale::Alpha(1.0), 42, 1)?;
//!
//! first.forward(Backend::BASELINE, &[[1.0, 2.0]; 4], h.reborrow())?;
//! second.forward(Backend::BASELINE, h.as_ref(), y.reborrow())?;
//! # assert_eq!(y.row(3), [4.0, 5.0]);
//! # Ok::<(), lowrank::Error>(())
//! ```

use crate::error::{Argument, Error};
use crate::view::{MatMut, expect_len, span};

/// The shape of one piece of a buffer: rows and columns of a dense matrix. A slice is a piece of one row.
pub type Piece = (usize, usize);

/// Returns the elements of all pieces together, and `None` when they do not fit into memory. It is a constant where the pieces are
/// constants, so that it can be the length of an array.
///
/// ```
/// use lowrank::arena::total;
///
/// const LEN: usize = total(&[(4, 3), (1, 5)]).unwrap();
/// assert_eq!(LEN, 4 * 3 + 5);
/// assert_eq!(total(&[(usize::MAX, 2)]), None);
/// ```
pub const fn total(pieces: &[Piece]) -> Option<usize> {
    let mut sum = 0usize;
    let mut i = 0;
    while i < pieces.len() {
        let (rows, cols) = pieces[i];
        let Some(len) = span(rows, cols, cols) else { return None };
        // `span` guards one piece against `isize::MAX` bytes; the same for the sum.
        match sum.checked_add(len) {
            Some(all) if span(1, all, all).is_some() => sum = all,
            _ => return None,
        }
        i += 1;
    }
    Some(sum)
}

/// A buffer of the caller that is cut from the front. It writes nothing: each piece has the content of the buffer.
///
/// ```
/// use lowrank::arena::Cutter;
/// use lowrank::{Argument, Error};
///
/// let mut buffer = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
/// let mut cutter = Cutter::new(&mut buffer);
/// assert_eq!(cutter.matrix((2, 2))?.row(1), [3.0, 4.0]);
/// let too_long = Error::Length { argument: Argument::Arena, expected: 4, got: 3 };
/// assert_eq!(cutter.slice(4), Err(too_long));
/// assert_eq!(cutter.slice(3)?, [5.0, 6.0, 7.0]);
/// cutter.end()?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Cutter<'m> {
    rest: &'m mut [f32],
}

impl<'m> Cutter<'m> {
    /// Begins at the front of a buffer of any length.
    pub const fn new(buffer: &'m mut [f32]) -> Self {
        Self { rest: buffer }
    }

    /// Begins at the front of a buffer that all pieces will be [taken](Self::take) of.
    ///
    /// # Errors
    /// [`Error::Length`] when the buffer is not exactly as long as the pieces, [`Error::Overflow`].
    pub(crate) fn exactly(argument: Argument, buffer: &'m mut [f32], pieces: &[Piece]) -> Result<Self, Error> {
        let Some(expected) = total(pieces) else { return Err(Error::Overflow { argument }) };
        expect_len(argument, buffer.len(), expected)?;
        Ok(Self::new(buffer))
    }

    /// Cuts off the next piece, which is empty where the buffer was not made for it.
    #[inline(always)]
    pub(crate) fn take(&mut self, (rows, cols): Piece) -> MatMut<'m> {
        MatMut::cut(&mut self.rest, rows, cols)
    }

    /// Cuts off the next `rows · cols` elements, as a dense matrix `[rows, cols]`.
    ///
    /// # Errors
    /// [`Error::Length`] about [`Argument::Arena`] when fewer elements are left; [`Error::Overflow`] when no buffer could have as many.
    /// Nothing is cut off then.
    pub fn matrix(&mut self, piece: Piece) -> Result<MatMut<'m>, Error> {
        let Some(expected) = total(&[piece]) else { return Err(Error::Overflow { argument: Argument::Arena }) };
        self.check(expected)?;
        Ok(self.take(piece))
    }

    /// Cuts off the next `len` elements, as a slice: the memory of a [`Plan`](crate::Plan), for example.
    ///
    /// # Errors
    /// [`Error::Length`] about [`Argument::Arena`] when fewer elements are left. Nothing is cut off then.
    pub fn slice(&mut self, len: usize) -> Result<&'m mut [f32], Error> {
        self.check(len)?;
        let (piece, rest) = core::mem::take(&mut self.rest).split_at_mut_checked(len).unwrap_or_default();
        self.rest = rest;
        Ok(piece)
    }

    /// Returns the number of elements that are left.
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// Checks that the whole buffer has been cut up.
    ///
    /// # Errors
    /// [`Error::Length`] about [`Argument::Arena`] when elements are left: 0 were expected.
    pub fn end(self) -> Result<(), Error> {
        expect_len(Argument::Arena, self.rest.len(), 0)
    }

    const fn check(&self, expected: usize) -> Result<(), Error> {
        let got = self.rest.len();
        if expected > got { Err(Error::Length { argument: Argument::Arena, expected, got }) } else { Ok(()) }
    }
}
