//! `h = X̃·Aᵀ`, `hs = s·h`, `Y = X·Wᵀ + b + hs·Bᵀ`.

use super::{Adapter, Batch, Progress, Saved};
use crate::error::{Argument, Error};
use crate::kernel::operand::{plain, transposed};
use crate::kernel::product::{scale_rows, thin_product};
use crate::kernel::raw::Start;
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, expect_cols, expect_shape};
use crate::weight::{Base, times_transposed};

/// Forward pass: `Y[t,o] = chain_i W[o,i]·X[t,i]` from the bias, continued by `chain_k B[o,k]·hs[t,k]`, where
/// `hs = rn(s·h)` and `h[t,k] = chain_i A[k,i]·X̃[t,i]`.
///
/// - `x [n, in]`, `y [n, out]`, row-major, one token a row. `n` may be any number up to that of `saved`.
/// - `saved` receives `hs`, which the backward pass needs.
///
/// A token's result does not depend on the tokens beside it.
///
/// # Errors
/// When a shape does not fit: [`Error::Rows`], [`Error::Cols`]; [`Error::TooMany`] for more tokens than `saved` was made for;
/// [`Error::Range`] for a scale that is not finite. Nothing is written then.
///
/// ```
/// use lowrank::{Adapter, Backend, Base, MatMut, MatRef, Saved, Shape, forward};
///
/// let base = Base { weights: MatRef::new(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 3, 2)?.into(), bias: None };
/// let adapter = Adapter {
///     a: MatRef::new(&[1.0, 1.0], 1, 2)?,
///     b: MatRef::new(&[0.0, 0.0, 1.0], 3, 1)?,
///     bias: None,
///     scale: 2.0,
/// };
/// let (mut y, mut memory) = ([0.0; 3], [0.0; 1]);
/// let mut saved = Saved::inference(&mut memory, Shape::new(2, 3, 1), 1)?;
/// let x = MatRef::new(&[3.0, 4.0], 1, 2)?;
/// forward(Backend::BASELINE, &base, &adapter, x, MatMut::new(&mut y, 1, 3)?, &mut saved)?;
/// assert_eq!(y, [3.0, 4.0, 7.0 + 2.0 * 7.0]);
/// # Ok::<(), lowrank::Error>(())
/// ```
pub fn forward(
    backend: Backend,
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    x: MatRef<'_>,
    y: MatMut<'_>,
    saved: &mut Saved<'_>,
) -> Result<(), Error> {
    let mut y = y;
    let checked = check(base, adapter, &x, &y, saved);
    if checked.is_ok() {
        let present = !adapter.is_absent();
        // Without an adapter `hs` is not written: a backward pass that has one must not read it.
        let progress = if present { Progress::Forward } else { Progress::Absent };
        saved.batch = Some(Batch { tokens: x.rows(), progress });
        if let (Some(code), true) = (saved.dropout_code(), present) {
            (code.inner_activations)(backend, adapter, &x, saved);
        }
        backend.run(Forward { base, adapter, x: &x, y: &mut y, saved, present });
    }
    checked
}

fn check(
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    x: &MatRef<'_>,
    y: &MatMut<'_>,
    saved: &Saved<'_>,
) -> Result<(), Error> {
    adapter.check(base)?;
    let (tokens, shape) = (x.rows(), adapter.shape());
    expect_cols(Argument::X, x.cols(), shape.inputs)?;
    expect_shape(Argument::Y, (y.rows(), y.cols()), (tokens, shape.outputs))?;
    saved.check(shape, tokens)
}

struct Forward<'a, 'y, 's> {
    base: &'a Base<'a>,
    adapter: &'a Adapter<'a>,
    x: &'a MatRef<'a>,
    y: &'a mut MatMut<'y>,
    saved: &'a mut Saved<'s>,
    /// Whether there is an adapter.
    present: bool,
}

impl Kernel for Forward<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { base, adapter, x, y, saved, present } = self;
        let bias = adapter.bias.as_ref().or(base.bias.as_ref());
        let start = bias.map_or(Start::Zero, |bias| Start::Bias(bias.row(0)));
        if present {
            if saved.dropout_code().is_none() {
                thin_product(simd, plain(x), transposed(&adapter.a), &mut saved.hs, Start::Zero);
            }
            scale_rows(simd, &mut saved.hs, x.rows(), adapter.scale);
        }
        let hs = saved.hs.as_ref();
        let more = present.then(|| (plain(&hs), transposed(&adapter.b)));
        times_transposed(simd, x, &base.weights, more, y, start);
    }
}
