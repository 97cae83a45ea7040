//! Operands of a product, and panels: pieces of the right operand in which the lanes of one depth lie side by side.

use super::tile::Strided;
use super::tile::room::{PANEL, Room};
use crate::simd::{Kernel, Simd};
use crate::view::{MatMut, MatRef};

/// A matrix, or its transpose, as it lies in memory.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Operand<'a> {
    matrix: MatRef<'a>,
    transposed: bool,
}

impl<'a> Operand<'a> {
    pub(crate) const fn plain(matrix: MatRef<'a>) -> Self {
        Self { matrix, transposed: false }
    }

    pub(crate) const fn transposed(matrix: MatRef<'a>) -> Self {
        Self { matrix, transposed: true }
    }

    pub(crate) const fn rows(&self) -> usize {
        if self.transposed { self.matrix.cols() } else { self.matrix.rows() }
    }

    pub(crate) const fn cols(&self) -> usize {
        if self.transposed { self.matrix.rows() } else { self.matrix.cols() }
    }

    /// Whether vectors can be read from where it lies: lanes are side by side.
    pub(crate) const fn has_vectors(&self) -> bool {
        !self.transposed
    }

    pub(crate) const fn is_transposed(&self) -> bool {
        self.transposed
    }

    pub(crate) const fn flip(self) -> Self {
        Self { matrix: self.matrix, transposed: !self.transposed }
    }

    /// The part with rows `first..first + rows` and columns `col..col + cols`, cut at the edges.
    #[inline(always)]
    pub(crate) fn block(&self, first: usize, rows: usize, col: usize, cols: usize) -> Self {
        let matrix = match self.transposed {
            false => self.matrix.block(first, rows, col, cols),
            true => self.matrix.block(col, cols, first, rows),
        };
        Self { matrix, transposed: self.transposed }
    }

    /// The same numbers with lanes side by side: where they lie, or copied into the room.
    #[inline(always)]
    pub(crate) fn vectors<'r, S: Simd>(self, simd: S, room: &'r mut Room<PANEL>) -> Strided<'r>
    where
        'a: 'r,
    {
        if self.has_vectors() {
            return self.strided();
        }
        let (depth, lanes) = (self.rows(), self.cols());
        let panel = room.first(depth * lanes);
        if let Ok(mut panel) = MatMut::new(panel, depth, lanes) {
            transpose(simd, self.matrix, &mut panel);
        }
        Strided { data: panel, outer: lanes, inner: 1 }
    }

    #[inline(always)]
    pub(crate) fn strided(&self) -> Strided<'a> {
        let (outer, inner) = if self.transposed { (1, self.matrix.stride()) } else { (self.matrix.stride(), 1) };
        Strided { data: self.matrix.data(), outer, inner }
    }
}

/// `to = fromᵀ`: whole vectors of rows and columns in fours in registers, what is left one number at a time. Fetching the next
/// block of every row beforehand cost 10 % at 64×64 to 384×384 (AVX-512, Zen 4).
#[inline(always)]
pub(crate) fn transpose<S: Simd>(simd: S, from: MatRef<'_>, to: &mut MatMut<'_>) {
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
fn transpose_vectors<S: Simd>(simd: S, from: MatRef<'_>, to: &mut MatMut<'_>, mut row: usize) -> usize {
    let (cols, stride) = (from.cols(), to.stride());
    while S::LANES > 1 && row + S::LANES <= from.rows() {
        let mut columns = to.block(0, cols, row, S::LANES);
        simd.transpose(from.block(row, S::LANES, 0, cols).data(), from.stride(), columns.data_mut(), stride, cols);
        row += S::LANES;
    }
    row
}

#[inline(always)]
fn one_by_one(from: MatRef<'_>, to: &mut MatMut<'_>) {
    let stride = to.stride();
    for i in 0..from.rows() {
        let column = to.data_mut().get_mut(i..).unwrap_or(&mut []).iter_mut().step_by(stride.max(1));
        column.zip(from.row(i)).for_each(|(to, &value)| *to = value);
    }
}

/// Copies the rows of a matrix into panels of lanes that lie one after the other, `width` lanes in each.
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
            let Ok(mut panel) = MatMut::new(panel, depth, rows.rows()) else { return };
            transpose(simd, rows, &mut panel);
        }
    }
}
