//! Clipping by the global norm, as `torch.nn.utils.clip_grad_norm_`: `total = √Σ‖g‖²`, `g = g·min(1, max/(total + 1e-6))`.
//!
//! [`global_norm`] clips several layers together. A caller that has them one after the other adds their [`square_sum`]s, asks for the
//! [`factor`] once, and then [`scale`]s each.

use super::range::in_range;
use crate::error::{Argument, Error};
use crate::kernel::vector::{AddSquares, Scale, SquareSum};
use crate::lora::Grads;
use crate::simd::{Backend, sqrt};
use crate::view::{MatMut, MatRef};

/// Returns `‖dA‖² + ‖dB‖² + ‖db‖²` of one layer. The matrices follow each other, each in the order of
/// [`reference::square_sum`](crate::reference::square_sum).
pub fn square_sum(backend: Backend, grads: &Grads<'_>) -> f32 {
    let of = |matrix: &Option<MatMut<'_>>| matrix.as_ref().map_or(0.0, |m| matrix_square_sum(backend, m.as_ref()));
    of(&grads.a) + matrix_square_sum(backend, grads.b.as_ref()) + of(&grads.bias)
}

fn matrix_square_sum(backend: Backend, matrix: MatRef<'_>) -> f32 {
    let mut sum = SquareSum::default();
    for i in 0..matrix.rows() {
        backend.run(AddSquares { piece: matrix.row(i), sum: &mut sum });
        sum.end_row();
    }
    sum.total()
}

/// Returns `min(1, max_norm/(√square_sum + 1e-6))`.
///
/// # Errors
/// [`Error::Range`] when `max_norm` is not a finite number of at least 0; [`Error::NonFinite`] when the sum is infinite or
/// NaN. Then a gradient is too large, and scaling would hide it.
///
/// ```
/// use lowrank::train::clip;
/// assert_eq!(clip::factor(0.25, 1.0), Ok(1.0));
/// assert_eq!(clip::factor(4.0, 1.0), Ok(1.0 / (2.0 + 1e-6)));
/// assert!(clip::factor(f32::INFINITY, 1.0).is_err());
/// ```
pub fn factor(square_sum: f32, max_norm: f32) -> Result<f32, Error> {
    in_range(Argument::MaxNorm, max_norm, f32::MAX)?;
    if !square_sum.is_finite() || square_sum < 0.0 {
        return Err(Error::NonFinite { argument: Argument::GradNorm, index: 0 });
    }
    Ok((max_norm / (sqrt(square_sum) + 1e-6)).min(1.0))
}

/// Multiplies all gradients of one layer by `factor`.
pub fn scale(backend: Backend, grads: &mut Grads<'_>, factor: f32) {
    if factor == 1.0 {
        return;
    }
    for data in grads.a.iter_mut().chain([&mut grads.b]).chain(grads.bias.iter_mut()) {
        backend.run(Scale { data: data.reborrow(), factor });
    }
}

/// Clips the gradients of all layers together, and returns the norm that they had.
///
/// # Errors
/// As [`factor`]. Nothing is written then.
pub fn global_norm(backend: Backend, layers: &mut [&mut Grads<'_>], max_norm: f32) -> Result<f32, Error> {
    let total = layers.iter().fold(0.0, |sum, grads| sum + square_sum(backend, grads));
    let factor = factor(total, max_norm)?;
    for grads in layers {
        scale(backend, grads, factor);
    }
    Ok(sqrt(total))
}
