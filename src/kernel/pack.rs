//! Operands of a product, and panels: pieces of the right operand in which the lanes of one depth lie side by side.

use super::tile::Strided;
use crate::simd::{Kernel, Simd};
use crate::view::MatRef;

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

    /// Whether vectors can be read from where it lies: lanes are side by side, or there is but one.
    #[inline(always)]
    pub(crate) const fn has_vectors<S: Simd>(&self) -> bool {
        S::LANES == 1 || !self.transposed
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

    #[inline(always)]
    pub(crate) fn strided(&self) -> Strided<'a> {
        let (outer, inner) = if self.transposed { (1, self.matrix.stride()) } else { (self.matrix.stride(), 1) };
        Strided { data: self.matrix.data(), outer, inner }
    }
}

/// Where the right operand of a product comes from: the socket into which a weight format plugs.
pub(crate) trait PanelSource: Copy {
    /// `(depth, lanes)`
    fn shape(&self) -> (usize, usize);

    /// The source as it lies in memory, `(depth, lane)`, unless it has to be decoded.
    fn lies(&self) -> Option<Operand<'_>>;

    /// Writes lanes `lane..lane + width` at `depth..` into `panel`, whose rows are `width` wide: as many depths as it
    /// has rows.
    fn fill<S: Simd>(&self, simd: S, depth: usize, lane: usize, width: usize, panel: &mut [f32]);
}

impl PanelSource for Operand<'_> {
    #[inline(always)]
    fn shape(&self) -> (usize, usize) {
        (self.rows(), self.cols())
    }

    #[inline(always)]
    fn lies(&self) -> Option<Operand<'_>> {
        Some(*self)
    }

    /// Only a transposed operand is ever copied: its lanes are rows of the matrix. Blocks of four depths are transposed in
    /// registers, what is left at the edges one number at a time. Fetching the next block of every row beforehand cost 10 % at
    /// 64×64 to 384×384 (AVX-512, Zen 4).
    #[inline(always)]
    fn fill<S: Simd>(&self, simd: S, depth: usize, lane: usize, width: usize, panel: &mut [f32]) {
        let count = panel.len() / width.max(1);
        let stride = self.matrix.stride();
        let full = width - width % S::LANES;
        let mut done = 0;
        for l in (0..full).step_by(S::LANES) {
            let rows = self.matrix.block(lane + l, S::LANES, depth, count).data();
            done = simd.transpose(rows, stride, panel.get_mut(l..).unwrap_or(&mut []), width, count);
        }
        for l in 0..width {
            let first = if l < full { done } else { 0 };
            let row = self.matrix.row(lane + l).get(depth + first..).unwrap_or(&[]);
            for (to, &value) in panel.iter_mut().skip(first * width + l).step_by(width).zip(row) {
                *to = value;
            }
        }
    }
}

/// Copies lanes into panels that lie one after the other, `width` lanes in each.
pub(crate) struct Pack<'a> {
    /// `(depth, lanes)`
    pub source: Operand<'a>,
    pub width: usize,
    pub panels: &'a mut [f32],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (depth, _) = self.source.shape();
        if depth == 0 {
            return;
        }
        for (p, panel) in self.panels.chunks_mut(self.width.saturating_mul(depth).max(1)).enumerate() {
            self.source.fill(simd, 0, p * self.width, panel.len() / depth, panel);
        }
    }
}
