//! Operations on rows, element by element.

use super::raw::Start;
use super::raw::elements::Elements;
use crate::simd::target::{COMPACT, SMALL};
use crate::simd::{Kernel, Simd};
use crate::view::{MatMut, MatRef, part, part_mut};

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

/// [`Scale`] of the first rows, as any multiplication is rounded, whatever the backend.
#[inline(never)]
pub(crate) fn scale_compact(data: &mut MatMut<'_>, rows: usize, factor: f32) {
    for i in 0..rows {
        data.row_mut(i).iter_mut().for_each(|value| *value *= factor);
    }
}

/// Copies the numbers from row `i` and column `j` on, as many rows and columns as `to` has.
#[inline(never)]
pub(crate) fn copy_rows(from: &MatRef<'_>, (i, j): (usize, usize), to: &mut MatMut<'_>) {
    for row in 0..to.rows() {
        let numbers = part(from.row(i + row), j..);
        to.row_mut(row).iter_mut().zip(numbers).for_each(|(to, &number)| *to = number);
    }
}

/// `out[j] = start` continued by adding `rows[0, j]`, `rows[1, j]`, …
#[inline(always)]
pub(crate) fn add_rows<S: Simd>(simd: S, rows: &MatRef<'_>, out: &mut [f32], start: Start<'_>) {
    match start {
        Start::Zero => out.fill(0.0),
        Start::Bias(bias) => out.iter_mut().zip(bias).for_each(|(to, &from)| *to = from),
        Start::Existing => {}
    }
    for i in 0..rows.rows() {
        for (to, from) in out.chunks_mut(S::LANES).zip(rows.row(i).chunks(S::LANES)) {
            simd.write(to, simd.add(simd.read(to), simd.read(from)));
        }
    }
}

/// [`Elements::replace`], a vector at a time, of slices that are equally long.
#[inline(always)]
pub(crate) fn replace_vectors<S: Simd, const MOMENTS: usize>(
    simd: S,
    elements: Elements<'_>,
    each: impl Fn(S::V, S::V, [S::V; 2]) -> (S::V, [S::V; 2]),
) {
    let Elements { param, grad, first, second } = elements;
    // Four iterators over chunks instead took a sixth more instructions with AVX2, and a third more with NEON.
    for (block, p) in param.chunks_mut(S::LANES).enumerate() {
        let at = block * S::LANES..block * S::LANES + p.len();
        let g = part(grad, at.clone());
        // Moments that are not there are empty: read as zero, not written.
        let m = if MOMENTS >= 1 { part_mut(first, at.clone()) } else { &mut [] };
        let v = if MOMENTS >= 2 { part_mut(second, at) } else { &mut [] };
        let (new, moments) = each(simd.read(p), simd.read(g), [simd.read(m), simd.read(v)]);
        simd.write(p, new);
        simd.write(m, moments[0]);
        simd.write(v, moments[1]);
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
                let part = part_mut(part, ..values.len());
                simd.write(part, simd.step(simd.read(part), value, value));
            }
        }
    }
}

/// Row-major index of the first element that is infinite or NaN.
pub(crate) fn first_non_finite(matrix: &MatRef<'_>) -> Option<usize> {
    first_of(matrix, f32::INFINITY)
}

/// Index of the first number that is infinite or NaN.
pub(crate) fn first_non_finite_of(numbers: &[f32]) -> Option<usize> {
    first_from(numbers, f32::INFINITY)
}

/// Whether all elements are ±0.
pub(crate) fn is_zero(matrix: &MatRef<'_>) -> bool {
    first_of(matrix, f32::from_bits(1)).is_none()
}

/// Whether all numbers are ±0.
pub(crate) fn are_zero(numbers: &[f32]) -> bool {
    first_from(numbers, f32::from_bits(1)).is_none()
}

/// [`search`] of the elements of a matrix, in row-major order.
// Not inlined, as the next one: at opt-level 3 it would be unrolled at each call.
#[inline(never)]
fn first_of(matrix: &MatRef<'_>, least: f32) -> Option<usize> {
    let matrix = matrix.flatten();
    (0..matrix.rows()).find_map(|i| Some(i * matrix.cols() + search(matrix.row(i), least)?))
}

/// [`search`] of a slice, without the rows.
#[inline(never)]
fn first_from(numbers: &[f32], least: f32) -> Option<usize> {
    search(numbers, least)
}

/// Numbers that are searched at a time.
const CHUNK: usize = 64;

/// Index of the first number whose magnitude is at least `least`, which is not NaN, or that is NaN.
#[inline(always)]
fn search(numbers: &[f32], least: f32) -> Option<usize> {
    // Added to the bits of such a magnitude, it carries into the sign.
    let carry = 0x8000_0000 - least.to_bits();
    let bits = |value: &f32| (value.to_bits() & 0x7fff_ffff) + carry;
    // Without a branch for each number, so that it becomes vectors.
    let is_below = |chunk: &[f32]| chunk.iter().fold(0, |signs, value| signs | bits(value)) >> 31 == 0;
    let chunk = if COMPACT {
        (SMALL || !is_below(numbers)).then_some(0)?
    } else {
        numbers.chunks(CHUNK).position(|chunk| !is_below(chunk))? * CHUNK
    };
    let more = numbers.get(chunk..)?.iter().position(|value| (bits(value) as i32) < 0)?;
    Some(chunk + more)
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::super::product::{scale_rows, sum_rows};
    use super::*;
    use crate::simd::{Arithmetic, Backend};

    /// Numbers of both signs, of which every order of a sum gives another one.
    fn numbers(count: usize) -> Vec<f32> {
        (1..=count as u32).map(|i| i.wrapping_mul(2_654_435_761) as i32 as f32 * 1e-9).collect()
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// The operations on a matrix of this size, beside their definitions.
    #[derive(Copy, Clone, Debug)]
    struct Operations {
        rows: usize,
        cols: usize,
        stride: usize,
        arithmetic: Arithmetic,
    }

    impl Kernel for Operations {
        type Output = ();

        fn run<S: Simd>(self, simd: S) {
            for used in 0..=self.rows {
                self.scale(simd, used);
            }
            let bias = numbers(self.cols + 3).split_off(3);
            for start in [Start::Zero, Start::Bias(&bias), Start::Existing] {
                self.sum(simd, start);
            }
            for cut in (0..self.cols + PARTS).step_by(PARTS) {
                self.squares(simd, cut.min(self.cols));
            }
        }
    }

    impl Operations {
        fn data(&self) -> Vec<f32> {
            numbers(self.rows * self.stride)
        }

        /// Only the rows in use, and nothing between them.
        fn scale<S: Simd>(self, simd: S, used: usize) {
            let (mut data, mut expected) = (self.data(), self.data());
            for row in expected.chunks_mut(self.stride).take(used) {
                row[..self.cols].iter_mut().for_each(|value| *value *= 0.3);
            }
            let mut matrix = MatMut::with_stride(&mut data, self.rows, self.cols, self.stride).unwrap();
            scale_rows(simd, &mut matrix, used, 0.3);
            assert_eq!(bits(&data), bits(&expected), "{self:?}: {used} rows");
        }

        fn sum<S: Simd>(self, simd: S, start: Start<'_>) {
            let (data, mut out) = (self.data(), vec![0.7; self.cols]);
            let expected: Vec<_> = (0..self.cols)
                .map(|j| {
                    let first = match start {
                        Start::Zero => 0.0,
                        Start::Bias(bias) => bias[j],
                        Start::Existing => 0.7,
                    };
                    data.chunks(self.stride).fold(first, |sum, row| sum + row[j])
                })
                .collect();
            let rows = MatRef::with_stride(&data, self.rows, self.cols, self.stride).unwrap();
            sum_rows(simd, &rows, &mut MatMut::new(&mut out, 1, self.cols).unwrap(), start);
            assert_eq!(bits(&out), bits(&expected), "{self:?}, {start:?}");
        }

        /// Each row in two pieces.
        fn squares<S: Simd>(self, simd: S, cut: usize) {
            let (data, mut sum, mut expected) = (self.data(), SquareSum::default(), 0.0);
            for row in data.chunks(self.stride) {
                let row = &row[..self.cols];
                let (first, second) = row.split_at(cut);
                simd.call(AddSquares { piece: first, sum: &mut sum });
                simd.call(AddSquares { piece: second, sum: &mut sum });
                sum.end_row();
                let chain = |i| row.iter().skip(i).step_by(16).fold(0.0, |sum, &x| self.arithmetic.step(sum, x, x));
                let mut parts: Vec<f32> = (0..16).map(chain).collect();
                while parts.len() > 1 {
                    let half = parts.len() / 2;
                    parts = (0..half).map(|i| parts[i] + parts[i + half]).collect();
                }
                expected += parts[0];
            }
            assert_eq!(sum.total().to_bits(), f32::to_bits(expected), "{self:?}, cut at {cut}");
        }
    }

    #[test]
    fn operations_on_rows_are_their_definitions() {
        for backend in Backend::available() {
            for (cols, more) in
                [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 48, 70].into_iter().zip([0, 1, 3].into_iter().cycle())
            {
                for rows in [0, 1, 2, 3] {
                    let arithmetic = backend.arithmetic();
                    backend.run(Operations { rows, cols, stride: cols + more, arithmetic });
                }
            }
        }
    }

    /// Numbers as `rest`, gaps of NaN, and in each place in turn one of the numbers to be found.
    fn searched(rest: f32, found: &[f32], mut each: impl FnMut(&MatRef<'_>, Option<usize>)) {
        for (rows, cols, stride) in [(0, 3, 3), (1, 1, 1), (1, 200, 200), (3, 5, 5), (3, 5, 7), (2, 130, 131)] {
            let mut data = vec![f32::NAN; rows * stride];
            data.chunks_mut(stride).for_each(|row| row[..cols].fill(rest));
            each(&MatRef::with_stride(&data, rows, cols, stride).unwrap(), None);
            // From the last to the first: what is found is the first of all that are there by then.
            for index in (0..rows * cols).rev() {
                data[index / cols * stride + index % cols] = found[index % found.len()];
                each(&MatRef::with_stride(&data, rows, cols, stride).unwrap(), Some(index));
            }
        }
    }

    #[test]
    fn the_first_number_that_is_not_finite_is_found() {
        let nan = |bits: u32| f32::from_bits(bits);
        let not_finite = [f32::INFINITY, f32::NEG_INFINITY, nan(0x7fc0_0000), nan(0xff80_0001), nan(0xffff_ffff)];
        for rest in [0.0, -0.0, 1.0, f32::MAX, f32::MIN, -f32::from_bits(1)] {
            searched(rest, &not_finite, |matrix, index| assert_eq!(first_non_finite(matrix), index, "among {rest}"));
        }
    }

    #[test]
    fn zeros_of_both_signs_are_zero_and_nothing_else_is() {
        let numbers = [f32::from_bits(1), -f32::from_bits(1), 1.0, f32::MIN, f32::INFINITY, f32::NAN];
        for rest in [0.0, -0.0] {
            searched(rest, &numbers, |matrix, index| assert_eq!(is_zero(matrix), index.is_none(), "among {rest}"));
        }
    }
}
