//! Lengths that are known before anything runs, and the one way in which a buffer is cut.
//!
//! A layout is a list of shapes. Its length is their sum; cutting hands out one matrix per shape, in the same order. As
//! both read the same list, a buffer of the right length is always cut without rest.

use crate::error::{Argument, Error};
use crate::view::{MatMut, span};

/// Rows and columns of one dense piece.
pub(crate) type Piece = (usize, usize);

/// Elements of all pieces together, or `None` when that number does not fit into memory.
pub(crate) const fn total(pieces: &[Piece]) -> Option<usize> {
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

/// A buffer of the caller, cut from the front.
pub(crate) struct Scratch<'m> {
    rest: &'m mut [f32],
}

impl<'m> Scratch<'m> {
    /// # Errors
    /// [`Error::Length`] when the buffer is not exactly as long as the pieces, [`Error::Overflow`].
    pub(crate) fn new(argument: Argument, buffer: &'m mut [f32], pieces: &[Piece]) -> Result<Self, Error> {
        let Some(expected) = total(pieces) else { return Err(Error::Overflow { argument }) };
        if buffer.len() == expected {
            Ok(Self { rest: buffer })
        } else {
            Err(Error::Length { argument, expected, got: buffer.len() })
        }
    }

    /// The next piece; an empty one where the buffer was not made for it.
    #[inline(always)]
    pub(crate) fn take(&mut self, (rows, cols): Piece) -> MatMut<'m> {
        MatMut::cut(&mut self.rest, rows, cols)
    }
}
