//! The socket for a format of weights.

use core::ops::Range;

use crate::kernel::operand::Piece;
use crate::kernel::raw::room::Room;
use crate::simd::target::DECODED;
use crate::view::{MatMut, part, part_mut};

/// Weights of a row that are decoded together: a run starts at a multiple of this input.
pub(crate) const RUN: usize = 32;

/// Weights `W [out, in]`, however they rest. Whatever is computed of them is computed of their panels: see
/// [`products`](super::products), which is written once for every format.
pub(crate) trait Panels {
    /// Whether panels are read where they lie. Then one holds all inputs, and needs no room.
    const IN_PLACE: bool;

    fn outputs(&self) -> usize;

    fn inputs(&self) -> usize;

    /// The panel `[inputs, outputs]` of the weights from an output and an input on, `at`: as many as lie in one piece, or, decoded
    /// into the room, at most so many outputs and inputs, `most`, for which there is room. At least one of each, if there are any.
    fn panel<'r>(&'r self, at: (usize, usize), most: (usize, usize), room: &'r mut [f32]) -> Piece<'r>;

    /// Whole panels that follow each other without gaps, for the product of one token.
    #[inline(always)]
    fn side_by_side(&self) -> Option<SideBySide<'_>> {
        None
    }
}

/// Panels `[inputs, width]` that follow each other, the last one narrower if need be.
pub(crate) struct SideBySide<'a> {
    /// The outputs in them.
    pub outputs: Range<usize>,
    pub panels: &'a [f32],
    pub width: usize,
}

/// Copies the weights from output `o` and input `i` on, as many rows and columns as `out` has.
pub(super) fn copy<P: Panels>(weights: &P, (o, i): (usize, usize), out: &mut MatMut<'_>) {
    let mut room = Room::<DECODED>::new();
    let mut row = 0;
    while row < out.rows() {
        let (mut rows, mut col) = (1, 0);
        while col < out.cols() {
            let most = (1, (out.cols() - col).min(DECODED));
            let Piece { matrix, transposed } = weights.panel((o + row, i + col), most, room.unless(P::IN_PLACE));
            let (inputs, outputs) = (matrix.rows(), matrix.cols());
            let (inputs, outputs, step, next) =
                if transposed { (outputs, inputs, 1, matrix.stride()) } else { (inputs, outputs, matrix.stride(), 1) };
            rows = outputs.min(out.rows() - row).max(1);
            for k in 0..rows {
                let numbers = part(matrix.data(), k * next..).iter().step_by(step.max(1)).take(inputs);
                part_mut(out.row_mut(row + k), col..).iter_mut().zip(numbers).for_each(|(to, &number)| *to = number);
            }
            col += inputs.max(1);
        }
        row += rows;
    }
}
