//! A product with a factor in front of each number of its left side, where size counts.

#![allow(unsafe_code, reason = "the sizes of views, compared once, then raw pointers")]

use super::compact::Compact;
use super::tile::{Raw, RawProduct};
use crate::view::{MatMut, MatRef};

/// Numbers of the left side that are multiplied by the factor at a time.
const COUNT: usize = 16;

/// `out[row, lane] = start[row, lane]` continued by `chain_d rn(factor·left[row, d])·right[d, lane]`; from `out` as it is without a
/// start. `left` and `start` have as many rows as `out`, and `right` and `start` as many columns, or more; `left` and `right` are as
/// deep as `depth`, or deeper. Nothing is computed when a matrix is smaller.
pub(crate) struct ScaledProduct<'a, 'o> {
    pub factor: f32,
    pub left: &'a MatRef<'a>,
    pub right: &'a MatRef<'a>,
    pub depth: usize,
    pub out: &'a mut MatMut<'o>,
    pub start: Option<&'a MatRef<'a>>,
}

impl ScaledProduct<'_, '_> {
    /// The product where size counts.
    #[inline(never)]
    pub(crate) fn compact(&mut self, compact: Compact) {
        let Self { factor, left, right, depth, ref mut out, start } = *self;
        let (rows, lanes) = (out.rows(), out.cols());
        let holds = |matrix: &MatRef<'_>, rows, cols| matrix.rows() >= rows && matrix.cols() >= cols;
        let start_fits = start.is_none_or(|start| holds(start, rows, lanes));
        let fits = start_fits && holds(left, rows, depth) && holds(right, depth, lanes);
        debug_assert!(fits, "a product that does not fit its operands");
        if !fits {
            return;
        }
        let (mut left, right) = (Raw::of_matrix(left), Raw::of_matrix(right).t());
        let mut to = Raw { at: out.data_mut().as_mut_ptr().cast_const(), row_stride: 1, col_stride: out.stride() };
        let mut from = start.map_or(to, |start| Raw::of_matrix(start).t());
        let mut scaled = [0.0; COUNT];
        for _ in 0..rows {
            let (mut start, mut many, mut rest) = (from, right, depth);
            // Once without depth, so that the start is written.
            loop {
                let count = COUNT.min(rest);
                for (d, to) in scaled.iter_mut().enumerate().take(count) {
                    // SAFETY: the row is this deep.
                    *to = factor * unsafe { left.at(0, depth - rest + d).read() };
                }
                let few = Raw { at: scaled.as_ptr(), row_stride: 0, col_stride: 1 };
                // SAFETY: views lie inside their slices, and no size is larger than that of a view.
                unsafe {
                    compact.cover(&mut RawProduct { few, many, depth: count, width: lanes, height: 1, out: to, start })
                };
                start = to;
                many.skip_cols(count);
                rest -= count;
                if rest == 0 {
                    break;
                }
            }
            left.skip_rows(1);
            to.skip_cols(1);
            from.skip_cols(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::simd::Backend;

    const FACTOR: f32 = 0.7;

    /// Numbers that have no pattern and no common rounding.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        (1..=count as u32).map(|i| (i.wrapping_mul(2_654_435_761) ^ seed) as i32 as f32 * 2.0_f32.powi(-31)).collect()
    }

    /// It panics with debug assertions, and computes nothing without. A panic ends the tests in WebAssembly.
    #[cfg(not(all(debug_assertions, target_family = "wasm")))]
    #[test]
    fn a_product_that_does_not_fit_is_a_mistake() {
        use std::panic::{AssertUnwindSafe, catch_unwind};

        let numbers = numbers(64, 1);
        let matrix = |rows, cols| MatRef::dense(&numbers[..rows * cols], rows, cols);
        // Rows, depth and columns are 2, 3 and 4.
        let fits = |left: (usize, usize), right: (usize, usize), start: Option<(usize, usize)>| {
            let (left, right) = (matrix(left.0, left.1), matrix(right.0, right.1));
            let start = start.map(|(rows, cols)| matrix(rows, cols));
            let mut out = [7.0; 8];
            let done = catch_unwind(AssertUnwindSafe(|| {
                let (out, start) = (&mut MatMut::dense(&mut out, 2, 4), start.as_ref());
                let mut product = ScaledProduct { factor: FACTOR, left: &left, right: &right, depth: 3, out, start };
                product.run(Backend::SCALAR);
            }));
            let is_computed = out != [7.0; 8];
            assert_eq!(done.is_err(), !is_computed && cfg!(debug_assertions));
            is_computed
        };
        assert!(fits((2, 3), (3, 4), None) && fits((2, 3), (3, 4), Some((2, 4))) && fits((3, 4), (4, 5), Some((3, 5))));
        assert!(!fits((1, 3), (3, 4), None) && !fits((2, 2), (3, 4), None));
        assert!(!fits((2, 3), (2, 4), None) && !fits((2, 3), (3, 3), None));
        assert!(!fits((2, 3), (3, 4), Some((1, 4))) && !fits((2, 3), (3, 4), Some((2, 3))));
    }

    /// From a start, or from the output as it is, in all blocks of rows and of the depth; not deep at all, too.
    #[test]
    fn the_product_is_its_definition() {
        const STRIDE: usize = 23;
        for backend in Backend::available() {
            for (rows, depth, cols) in
                [(1, 1, 1), (3, 15, 5), (9, 16, 21), (17, 35, 9), (2, 64, 3), (4, 0, 7), (5, 3, 0)]
            {
                let (left, right) = (numbers(rows * depth, 1), numbers(depth * cols, 2));
                let sides = [&MatRef::dense(&left, rows, depth), &MatRef::dense(&right, depth, cols)];
                let (starts, old) = (numbers(rows * cols, 3), numbers(rows * STRIDE, 4));
                let start = MatRef::dense(&starts, rows, cols);
                for (used, start) in [(depth, None), (depth, Some(&start)), (0, None), (0, Some(&start))] {
                    let (mut got, mut expected) = (old.clone(), old.clone());
                    let out = &mut MatMut::with_stride(&mut got, rows, cols, STRIDE).unwrap();
                    let [left_side, right_side] = sides;
                    let mut product =
                        ScaledProduct { factor: FACTOR, left: left_side, right: right_side, depth: used, out, start };
                    product.run(backend);
                    for (row, col) in (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col))) {
                        let to = &mut expected[row * STRIDE + col];
                        *to = (0..used).fold(start.map_or(*to, |start| start.row(row)[col]), |chain, d| {
                            backend.arithmetic().step(chain, FACTOR * left[row * depth + d], right[d * cols + col])
                        });
                    }
                    assert_eq!(got, expected, "{backend}, {rows}x{depth}x{cols}, {used} deep, {}", start.is_some());
                }
            }
        }
    }
}
