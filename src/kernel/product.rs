//! Products of matrices as they lie in memory, and the other operations on whole matrices: the only door to the kernels from
//! above, and the only place that chooses between size and speed.

use super::blocked::{Product, pieces_product};
use super::operand::{More, Operand};
use super::raw::elements::Elements;
use super::raw::row::RowProduct;
use super::raw::{Start, compact};
use super::swapped::Swapped;
use super::thin::ThinProduct;
use super::vector::{Scale, SumRows, replace_rows, scale_compact};
use crate::simd::Simd;
use crate::view::{MatMut, MatRef};

/// `out[row, lane] = start` continued by `chain_d left[row, d]·right[d, lane]`.
///
/// Where the operands and the output disagree about a size, it is the smallest: so a matrix may have more rows than are in use.
#[inline(always)]
pub(crate) fn product<S: Simd>(simd: S, left: Operand<'_>, right: Operand<'_>, out: &mut MatMut<'_>, start: Start<'_>) {
    if S::COMPACT {
        return compact(simd, &left, &right, out, &start);
    }
    let (right, out) = fit(&left, right, out);
    simd.call(Product { left, right, more: None, out, start });
}

/// Whether [`product_and_more`] continues the chains while they are in registers. Elsewhere, a second product of all panels together
/// takes less than one of each.
pub(crate) const fn joins<S: Simd>() -> bool {
    !S::COMPACT
}

/// As [`product`], then continued by the same over `more`.
#[inline(always)]
pub(crate) fn product_and_more<S: Simd>(
    simd: S,
    left: Operand<'_>,
    right: Operand<'_>,
    more: More<'_>,
    out: &mut MatMut<'_>,
    start: Start<'_>,
) {
    if S::COMPACT {
        compact(simd, &left, &right, out, &start);
        if let Some((left, right)) = more {
            compact(simd, &left, &right, out, &Start::Existing);
        }
        return;
    }
    let (right, mut out) = fit(&left, right, out);
    let more = fit_more(more, &mut out);
    simd.call(Product { left, right, more, out, start });
}

/// As [`product`], for few lanes.
#[inline(always)]
pub(crate) fn thin_product<S: Simd>(
    simd: S,
    left: Operand<'_>,
    right: Operand<'_>,
    out: &mut MatMut<'_>,
    start: Start<'_>,
) {
    if S::COMPACT {
        return compact(simd, &left, &right, out, &start);
    }
    let (right, out) = fit(&left, right, out);
    simd.call(ThinProduct { left, right, out, start });
}

/// `out = start` continued, for each `(depth, right)` of the pieces, by the product of `left` from that depth on and `right`, then by
/// the product of `more`. There is at least one piece.
#[inline(always)]
pub(crate) fn product_of_pieces<'a, S: Simd>(
    simd: S,
    left: Operand<'a>,
    pieces: impl Iterator<Item = (usize, Operand<'a>)> + Clone,
    more: More<'a>,
    out: &mut MatMut<'_>,
    mut start: Start<'_>,
) {
    if S::COMPACT {
        for (depth, right) in pieces {
            compact(simd, &left.from_col(depth), &right, out, &start);
            start = Start::Existing;
        }
        if let Some((left, right)) = more {
            compact(simd, &left, &right, out, &Start::Existing);
        }
        return;
    }
    let mut rest = pieces.clone();
    match (rest.next(), rest.next()) {
        (Some((_, right)), None) if right.has_vectors() => product_and_more(simd, left, right, more, out, start),
        _ => {
            let mut out = out.within(left.rows(), usize::MAX);
            let more = fit_more(more, &mut out);
            pieces_product(simd, Swapped { left, pieces, more, out, start });
        }
    }
}

/// One row, `left · right`, over panels `[depth, width]` that lie one after the other. Returns the lanes that were written: all of
/// `out`, those of the whole panels, or none.
#[inline(always)]
pub(crate) fn row_product<S: Simd>(
    simd: S,
    left: &[f32],
    (panels, width): (&[f32], usize),
    out: &mut [f32],
    start: Start<'_>,
) -> usize {
    if S::COMPACT { 0 } else { simd.call(RowProduct { left, panels, width, out, start }) }
}

/// `data = factor · data` in the first rows, as many as are in use.
#[inline(always)]
pub(crate) fn scale_rows<S: Simd>(simd: S, data: &mut MatMut<'_>, rows: usize, factor: f32) {
    if S::COMPACT {
        return scale_compact(data, rows, factor);
    }
    let cols = data.cols();
    simd.call(Scale { data: data.block(0, rows, 0, cols), factor });
}

/// `out[0, j] = start` continued by adding `rows[0, j]`, `rows[1, j]`, …
#[inline(always)]
pub(crate) fn sum_rows<S: Simd>(simd: S, rows: &MatRef<'_>, out: &mut MatMut<'_>, start: Start<'_>) {
    if S::COMPACT {
        // Multiplied by one and added, each number is what it was.
        let ones = MatRef::repeat(&1.0, rows.rows());
        return compact(simd, &Operand::of(&ones).t(), &Operand::of(rows), out, &start);
    }
    simd.call(SumRows { rows, out: out.row_mut(0), start });
}

/// Replaces every parameter and its moments by what `each` makes of parameter, gradient and moments. Of the moments, the first
/// `MOMENTS` are read and written, the others are zero.
#[inline(always)]
pub(crate) fn replace<S: Simd, const MOMENTS: usize>(
    simd: S,
    elements: Elements<'_, '_, '_>,
    each: impl Fn(S::V, S::V, [S::V; 2]) -> (S::V, [S::V; 2]),
) {
    if S::COMPACT {
        elements.replace::<S, MOMENTS>(simd, each)
    } else {
        replace_rows::<S, MOMENTS>(simd, elements, each)
    }
}

/// The right operand and the output, of sizes that agree. Of the left operand, no more is read.
#[inline(always)]
fn fit<'a, 'o>(left: &Operand<'_>, right: Operand<'a>, out: &'o mut MatMut<'_>) -> (Operand<'a>, MatMut<'o>) {
    let out = out.within(left.rows(), right.cols());
    (right.within(left.cols(), out.cols()), out)
}

#[inline(always)]
fn fit_more<'a>(more: More<'a>, out: &mut MatMut<'_>) -> More<'a> {
    more.map(|(left, right)| (left, fit(&left, right, out).0))
}
