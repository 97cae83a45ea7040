//! `h = X̃·Aᵀ`, `hs = s·h`, `Y = X·Wᵀ + b + hs·Bᵀ`.

use super::adapter::Adapter;
use super::equations::{H, Y};
use super::saved::{Batch, Progress, Saved};
use crate::error::{Argument, Error};
use crate::kernel::raw::Start;
use crate::simd::Backend;
use crate::view::{MatMut, MatRef, expect_cols, expect_shape};
use crate::weight::{Base, Times};

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
        let (hs, scale) = (&mut saved.hs, adapter.scale);
        match &saved.dropping {
            _ if !present => {}
            Some(dropping) => dropping.inner_activations(backend, [&x, &adapter.a], scale, hs),
            None => H.run(backend, (&x, &adapter.a), hs, Start::Zero, Some((x.rows(), scale))),
        }
        let bias = adapter.bias.as_ref().or(base.bias.as_ref());
        let start = bias.map_or(Start::Zero, |bias| Start::Bias(bias.row(0)));
        let hs = saved.hs.as_ref();
        let more = Y.more_factors(present.then_some([&hs, &adapter.b]));
        base.weights.product(backend, &mut Times { is_forward: true, left: &x, more, out: &mut y, start });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lora::Shape;

    /// What is there may belong to a pass that is not over.
    #[test]
    fn without_an_adapter_its_activations_are_not_written() {
        let (mut y, mut memory) = ([[0.0; 1]], [7.0]);
        let base = Base::rows(&[[1.0, 2.0]], None);
        let (a, b) = (MatRef::from_rows(&[[3.0, 4.0]]), MatRef::from_rows(&[[5.0]]));
        let adapter = Adapter { a, b, bias: None, scale: 0.0 };
        let mut saved = Saved::inference(&mut memory, Shape::new(2, 1, 1), 1).unwrap();
        let x = MatRef::from_rows(&[[1.0, 1.0]]);
        forward(Backend::BASELINE, &base, &adapter, x, MatMut::from_rows(&mut y), &mut saved).unwrap();
        assert_eq!((y, memory), ([[3.0]], [7.0]));
    }
}
