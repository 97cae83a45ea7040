//! `W' = W + s·B·A`, into another buffer: the base stays what it was.

use super::forward::{BLOCK, BLOCK_LEN};
use super::{Adapter, finite};
use crate::error::{Argument, Error};
use crate::kernel::gemm::Product;
use crate::kernel::pack::Operand;
use crate::kernel::tile::Start;
use crate::kernel::vector::first_non_finite;
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, expect_shape};
use crate::weight::{Base, Weights};

/// Merge: `W'[o,i] = W[o,i]` continued by `chain_k rn(s·B[o,k])·A[k,i]`.
///
/// `merged [out, in]` is row-major, whatever the layout of the base. A bias is not touched: a trained one takes the place
/// of the base's as it is. Unmerging is not an operation: the base still has its bits.
///
/// # Errors
/// [`Error::Rows`], [`Error::Cols`], [`Error::Length`], [`Error::Range`]. Nothing is written then.
pub fn merge(backend: Backend, base: &Base<'_>, adapter: &Adapter<'_>, mut merged: MatMut<'_>) -> Result<(), Error> {
    check(base, adapter, &merged)?;
    backend.run(Merge { weights: base.weights, adapter, at: (0, 0), merged: merged.reborrow() });
    Ok(())
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
        finite(Argument::A, adapter.a)?;
        finite(Argument::B, adapter.b)?;
    }
    let (outputs, inputs) = (merged.rows(), merged.cols());
    let argument = Argument::Merged;
    for o in 0..outputs {
        for i in (0..inputs).step_by(BLOCK_LEN) {
            let width = BLOCK_LEN.min(inputs - i);
            let mut memory = [0.0; BLOCK_LEN];
            let mut block = MatMut::with_stride(&mut memory, 1, width, BLOCK_LEN)?;
            backend.run(Merge { weights: base.weights, adapter, at: (o, i), merged: block.reborrow() });
            if let Some(index) = first_non_finite(block.as_ref()) {
                return Err(Error::NonFinite { argument, index: o * inputs + i + index });
            }
        }
    }
    backend.run(Merge { weights: base.weights, adapter, at: (0, 0), merged: merged.reborrow() });
    Ok(())
}

fn check(base: &Base<'_>, adapter: &Adapter<'_>, merged: &MatMut<'_>) -> Result<(), Error> {
    adapter.check(base)?;
    let shape = adapter.shape();
    expect_shape(Argument::Merged, (merged.rows(), merged.cols()), (shape.outputs, shape.inputs))
}

/// The block of `W'` whose first element is `at`, as large as `merged`.
struct Merge<'a> {
    weights: Weights<'a>,
    adapter: &'a Adapter<'a>,
    at: (usize, usize),
    merged: MatMut<'a>,
}

impl Kernel for Merge<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (first, i) = self.at;
        self.weights.copy_block(first, i, &mut self.merged);
        if self.adapter.is_absent() {
            return;
        }
        let (a, b, scale) = (self.adapter.a, self.adapter.b, self.adapter.scale);
        let (outputs, inputs, rank) = (self.merged.rows(), self.merged.cols(), a.rows());
        for o in (0..outputs).step_by(BLOCK.0) {
            let rows = BLOCK.0.min(outputs - o);
            for k in (0..rank).step_by(BLOCK.1) {
                let count = BLOCK.1.min(rank - k);
                let mut memory = [0.0; BLOCK_LEN];
                let Ok(mut scaled) = MatMut::with_stride(&mut memory, rows, count, BLOCK.1) else { return };
                for row in 0..rows {
                    let from = b.row(first + o + row).get(k..).unwrap_or(&[]);
                    scaled.row_mut(row).iter_mut().zip(from).for_each(|(to, &value)| *to = scale * value);
                }
                simd.call(Product {
                    left: Operand::plain(scaled.as_ref()),
                    right: Operand::plain(a.block(k, count, i, inputs)),
                    out: self.merged.block(o, rows, 0, inputs),
                    start: Start::Existing,
                    more: None,
                });
            }
        }
    }
}
