//! Operations on rows, element by element.

use super::tile::Start;
use crate::simd::{Kernel, Simd};
use crate::view::{MatMut, MatRef};

/// `data[i, j] = rn(factor · data[i, j])`
pub(crate) struct Scale<'a> {
    pub data: MatMut<'a>,
    pub factor: f32,
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let factor = simd.splat(self.factor);
        let mut data = self.data.flatten();
        for i in 0..data.rows() {
            for part in data.row_mut(i).chunks_mut(S::LANES) {
                simd.write(part, simd.mul(factor, simd.read(part)));
            }
        }
    }
}

/// `out[j] = start` continued by adding `rows[0, j]`, `rows[1, j]`, …
pub(crate) struct SumRows<'a> {
    pub rows: MatRef<'a>,
    pub out: &'a mut [f32],
    pub start: Start<'a>,
}

impl Kernel for SumRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.start {
            Start::Zero => self.out.fill(0.0),
            Start::Bias(bias) => self.out.iter_mut().zip(bias).for_each(|(to, &from)| *to = from),
            Start::Existing => {}
        }
        for i in 0..self.rows.rows() {
            for (to, from) in self.out.chunks_mut(S::LANES).zip(self.rows.row(i).chunks(S::LANES)) {
                simd.write(to, simd.add(simd.read(to), simd.read(from)));
            }
        }
    }
}

/// Partial sums of [`SquareSum`]: independent of the number of lanes, so that the bits are too.
pub(crate) const PARTS: usize = 16;

/// A sum of squares, in an order that every backend can follow: in each row, element `j` belongs to the chain
/// `j mod 16`; the sixteen chains are added pairwise (`i` and `i + 8`, then 4, 2, 1 apart), then the rows one by one.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct SquareSum {
    total: f32,
    parts: [f32; PARTS],
}

impl SquareSum {
    /// Ends a row.
    #[inline(always)]
    pub(crate) fn end_row(&mut self) {
        let mut parts = self.parts;
        let mut half = PARTS / 2;
        while half > 0 {
            let (low, high) = parts.split_at_mut(half);
            for (to, &from) in low.iter_mut().zip(high.iter()) {
                *to += from;
            }
            half /= 2;
        }
        self.total += parts[0];
        self.parts = [0.0; PARTS];
    }

    pub(crate) const fn total(&self) -> f32 {
        self.total
    }
}

/// Continues a [`SquareSum`] by a piece of a row that starts at a multiple of 16.
pub(crate) struct AddSquares<'a> {
    pub piece: &'a [f32],
    pub sum: &'a mut SquareSum,
}

impl Kernel for AddSquares<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for group in self.piece.chunks(PARTS) {
            for (part, values) in self.sum.parts.chunks_mut(S::LANES).zip(group.chunks(S::LANES)) {
                let value = simd.read(values);
                // A tail shorter than a vector leaves the other chains as they are.
                let part = part.get_mut(..values.len()).unwrap_or(&mut []);
                simd.write(part, simd.step(simd.read(part), value, value));
            }
        }
    }
}

/// Numbers that are searched at a time.
const CHUNK: usize = 64;

/// Row-major index of the first element that is infinite or NaN.
pub(crate) fn first_non_finite(matrix: MatRef<'_>) -> Option<usize> {
    let matrix = matrix.flatten();
    (0..matrix.rows()).find_map(|i| {
        let row = matrix.row(i);
        let chunk = row.chunks(CHUNK).position(|chunk| !all_finite(chunk))? * CHUNK;
        let more = row.get(chunk..)?.iter().position(|value| !value.is_finite())?;
        Some(i * matrix.cols() + chunk + more)
    })
}

/// Whether adding one to every exponent carries into no sign bit. Without a branch, so that it becomes vectors.
fn all_finite(values: &[f32]) -> bool {
    let signs = values.iter().fold(0, |signs, value| signs | ((value.to_bits() & 0x7fff_ffff) + 0x0080_0000));
    signs >> 31 == 0
}
