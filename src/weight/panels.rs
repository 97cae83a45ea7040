//! The socket for a format of weights.

use core::ops::Range;

use crate::kernel::operand::Piece;
use crate::kernel::product::copy_rows;
use crate::view::MatMut;

/// Weights `W [out, in]`, however they rest. Whatever is computed of them is computed of their panels: see
/// [`products`](super::products), which is written once for every format.
pub(crate) trait Panels {
    /// Whether panels are read where they lie. Then one holds all inputs, and needs no room.
    const IN_PLACE: bool;

    fn outputs(&self) -> usize;

    fn inputs(&self) -> usize;

    /// The panel `[inputs, outputs]` of the weights from output `output` and input `input` on: as many as lie in one piece, or as
    /// the room holds when they are decoded into it. At least one of each, if there are any. How many inputs it has does not depend on
    /// the output.
    fn panel<'r>(&'r self, output: usize, input: usize, room: &'r mut [f32]) -> Piece<'r>;

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
// Not inlined: what calls it is meant to be small.
#[inline(never)]
pub(crate) fn copy<P: Panels>(weights: &P, (o, i): (usize, usize), room: &mut [f32], out: &mut MatMut<'_>) {
    let mut row = 0;
    while row < out.rows() {
        let (mut rows, mut col) = (1, 0);
        while col < out.cols() {
            let panel = weights.panel(o + row, i + col, room);
            let cols;
            (rows, cols) = copy_rows(panel.factor().t(), &mut out.from(row, col));
            col += cols.max(1);
        }
        row += rows.max(1);
    }
}

/// The weights of output `o`, one after the other.
#[inline(always)]
pub(crate) fn for_each_of<P: Panels>(weights: &P, o: usize, room: &mut [f32], mut each: impl FnMut(f32)) {
    let mut i = 0;
    while i < weights.inputs() {
        let Piece { matrix, transposed } = weights.panel(o, i, room);
        let (len, step) = if transposed { (matrix.cols(), 1) } else { (matrix.rows(), matrix.stride()) };
        matrix.data().iter().step_by(step.max(1)).take(len).for_each(|&number| each(number));
        i += len.max(1);
    }
}
