//! Transposition, and panels: copies of a right operand in which the lanes of one depth lie side by side.

use super::operand::Operand;
use super::raw::room::{PANEL, Room};
use crate::simd::{Kernel, Simd};
use crate::view::{MatMut, MatRef, part_mut};

/// The same numbers with those of a row side by side: where they lie, or copied into the room.
#[inline(always)]
pub(crate) fn vectors<'r, 'a: 'r, S: Simd>(simd: S, operand: Operand<'a>, room: &'r mut Room<PANEL>) -> Operand<'r> {
    if operand.has_vectors() {
        return operand;
    }
    let mut panel = room.matrix(operand.rows(), operand.cols());
    simd.call(Pack { matrix: operand.t().matrix(), width: operand.cols(), panels: panel.data_mut() });
    Operand::new(panel.into_ref())
}

/// `to = fromᵀ`, for rows whose numbers lie side by side: registers transpose whole vectors of rows and columns in fours, and the
/// rest goes one number at a time. Fetching the next block of every row beforehand cost 10 % at 64×64 to 384×384 (AVX-512, Zen 4).
#[inline(always)]
pub(crate) fn transpose<S: Simd>(simd: S, from: Operand<'_>, to: &mut MatMut<'_>) {
    let mut row = transpose_vectors(simd, from, to, 0);
    if S::Narrow::LANES < S::LANES {
        row = transpose_vectors(simd.narrow(), from, to, row);
    }
    let fours = from.cols() - from.cols() % 4;
    one_by_one(from.block(0, row, fours, from.cols()), &mut to.block(fours, from.cols(), 0, row));
    one_by_one(from.block(row, from.rows(), 0, from.cols()), &mut to.block(0, from.cols(), row, from.rows()));
}

/// Transposes as many whole vectors of rows as there are from `row` on, and returns the row behind them.
#[inline(always)]
fn transpose_vectors<S: Simd>(simd: S, from: Operand<'_>, to: &mut MatMut<'_>, mut row: usize) -> usize {
    let (cols, stride) = (from.cols(), to.stride());
    while S::LANES > 1 && row + S::LANES <= from.rows() {
        let mut columns = to.block(0, cols, row, S::LANES);
        simd.transpose(from.block(row, S::LANES, 0, cols).data(), from.row_stride(), columns.data_mut(), stride, cols);
        row += S::LANES;
    }
    row
}

#[inline(always)]
fn one_by_one(from: Operand<'_>, to: &mut MatMut<'_>) {
    // Without columns there is nothing to write into.
    if from.cols() == 0 {
        return;
    }
    let stride = to.stride();
    for i in 0..from.rows() {
        let column = part_mut(to.data_mut(), i..).iter_mut().step_by(stride.max(1));
        column.zip(from.row(i)).for_each(|(to, &value)| *to = value);
    }
}

/// Copies the rows of a matrix into panels of lanes that lie one after the other, `width` lanes in each.
// The products call it, too: with a transposition wherever one of them copies an operand, this would be most of their code.
pub(crate) struct Pack<'a> {
    /// `(lane, depth)`
    pub matrix: MatRef<'a>,
    pub width: usize,
    pub panels: &'a mut [f32],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (lanes, depth) = (self.matrix.rows(), self.matrix.cols());
        let size = self.width.saturating_mul(depth).max(1);
        for (lane, panel) in (0..lanes).step_by(self.width.max(1)).zip(self.panels.chunks_mut(size)) {
            let rows = self.matrix.block(lane, self.width, 0, depth);
            transpose(simd, Operand::new(rows), &mut MatMut::dense(panel, depth, rows.rows()));
        }
    }
}
