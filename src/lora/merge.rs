//! `W' = W + s·B·A`, into another buffer: the base stays what it was.

use super::{Adapter, finite};
use crate::error::{Argument, Error};
use crate::kernel::operand::plain;
use crate::kernel::product::product;
use crate::kernel::raw::Start;
use crate::kernel::vector::first_non_finite;
use crate::simd::target::BLOCK;
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, expect_shape};
use crate::weight::{Base, Weights, copy};

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
        backend.run(Merge { weights: &base.weights, adapter, at: (0, 0), merged: &mut merged });
    }
    checked
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
            backend.run(Merge { weights: &base.weights, adapter, at: (o, i), merged: &mut block });
            if let Some(index) = first_non_finite(&block.as_ref()) {
                return Err(Error::NonFinite { argument, index: o * inputs + i + index });
            }
        }
    }
    backend.run(Merge { weights: &base.weights, adapter, at: (0, 0), merged: &mut merged });
    Ok(())
}

fn check(base: &Base<'_>, adapter: &Adapter<'_>, merged: &MatMut<'_>) -> Result<(), Error> {
    adapter.check(base)?;
    let shape = adapter.shape();
    expect_shape(Argument::Merged, (merged.rows(), merged.cols()), (shape.outputs, shape.inputs))
}

/// The block of `W'` whose first element is `at`, as large as `merged`.
struct Merge<'a, 'm> {
    weights: &'a Weights<'a>,
    adapter: &'a Adapter<'a>,
    at: (usize, usize),
    merged: &'a mut MatMut<'m>,
}

impl Kernel for Merge<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { weights, adapter: Adapter { a, b, scale, .. }, at: (first, i), merged } = self;
        copy(weights, (first, i), &mut [], merged);
        // For no inputs `s·B` would be computed, which may overflow, and thrown away.
        if self.adapter.is_absent() || merged.cols() == 0 {
            return;
        }
        let mut o = 0;
        while o < merged.rows() {
            let mut k = 0;
            while k < a.rows() {
                let mut scaled = [[0.0; BLOCK.1]; BLOCK.0];
                for (row, to) in scaled.iter_mut().enumerate() {
                    let from = b.row(first + o + row).get(k..).unwrap_or(&[]);
                    to.iter_mut().zip(from).for_each(|(to, &value)| *to = scale * value);
                }
                let (left, right) = (MatRef::from_rows(&scaled), a.from(k, i));
                product(simd, plain(&left), plain(&right), &mut merged.from(o, 0), Start::Existing);
                k += BLOCK.1;
            }
            o += BLOCK.0;
        }
    }
}
