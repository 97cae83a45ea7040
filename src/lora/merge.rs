//! `W' = W + s·B·A`, into another buffer: the base stays what it was.

use super::adapter::{Adapter, finite};
use crate::error::{Argument, Error};
use crate::kernel::product::ScaledProduct;
use crate::kernel::vector::first_non_finite;
use crate::simd::Backend;
use crate::simd::target::BLOCK;
use crate::view::{MatMut, MatRef, expect_shape};
use crate::weight::Base;

/// Elements of a row that are computed and searched before anything is written.
const WIDTH: usize = BLOCK.0 * BLOCK.1;

/// Merge: `W'[o,i] = W[o,i]` continued by `chain_k rn(s·B[o,k])·A[k,i]`.
///
/// `merged [out, in]` is row-major, whatever the layout of the base. A bias is not touched: a trained one takes the place
/// of the base's as it is. Unmerging is not an operation: the base still has its bits.
///
/// # Errors
/// [`Error::Rows`], [`Error::Cols`], [`Error::Range`]. Nothing is written then.
pub fn merge(backend: Backend, base: &Base<'_>, adapter: &Adapter<'_>, mut merged: MatMut<'_>) -> Result<(), Error> {
    let checked = check(base, adapter, &merged);
    if checked.is_ok() {
        merge_checked(backend, base, adapter, &mut merged);
    }
    checked
}

fn merge_checked(backend: Backend, base: &Base<'_>, adapter: &Adapter<'_>, merged: &mut MatMut<'_>) {
    if let Some(coded) = base.weights.coded() {
        coded.copy((0, 0), merged);
    }
    merge_rows(backend, base.weights.rows(), (&adapter.b, &adapter.a, adapter.scale), merged);
}

/// `merged = start` continued by `chain_k rn(s·B[o,k])·A[k,i]`, of `B`, `A` and `s`; from `merged` as it is without a start. `B` may be
/// some rows of that of the adapter, and `A` some columns.
#[inline(always)]
pub(crate) fn merge_rows(
    backend: Backend,
    start: Option<&MatRef<'_>>,
    (b, a, scale): (&MatRef<'_>, &MatRef<'_>, f32),
    merged: &mut MatMut<'_>,
) {
    // An absent adapter is not read. For no inputs `s·B` would be computed, which may overflow, and thrown away.
    let depth = if scale == 0.0 || merged.cols() == 0 { 0 } else { a.rows() };
    ScaledProduct { factor: scale, left: b, right: a, depth, out: merged, start }.run(backend);
}

/// As [`merge`], unless an element of the result would be infinite or NaN: every element is computed once more
/// beforehand, in a small block on the stack, and nothing is written when one is not finite.
///
/// # Errors
/// [`Error::NonFinite`] with the row-major index of the first such element (of `A`, of `B`, or of the result), and what
/// [`merge`] returns.
pub fn merge_finite(
    backend: Backend,
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    mut merged: MatMut<'_>,
) -> Result<(), Error> {
    check(base, adapter, &merged)?;
    if !adapter.is_absent() {
        finite(Argument::A, &adapter.a)?;
        finite(Argument::B, &adapter.b)?;
    }
    let (outputs, inputs) = (merged.rows(), merged.cols());
    let argument = Argument::Merged;
    for o in 0..outputs {
        for i in (0..inputs).step_by(WIDTH) {
            let width = WIDTH.min(inputs - i);
            let mut memory = [0.0; WIDTH];
            let mut block = MatMut::with_stride(&mut memory, 1, width, WIDTH)?;
            base.weights.copy((o, i), &mut block);
            merge_rows(backend, None, (&adapter.b.from(o, 0), &adapter.a.from(0, i), adapter.scale), &mut block);
            if let Some(index) = first_non_finite(&block.as_ref()) {
                return Err(Error::NonFinite { argument, index: o * inputs + i + index });
            }
        }
    }
    merge_checked(backend, base, adapter, &mut merged);
    Ok(())
}

fn check(base: &Base<'_>, adapter: &Adapter<'_>, merged: &MatMut<'_>) -> Result<(), Error> {
    adapter.check(base)?;
    let shape = adapter.shape();
    expect_shape(Argument::Merged, (merged.rows(), merged.cols()), (shape.outputs, shape.inputs))
}
