//! SGD while the gradients are formed: no gradient buffers, no state.

use super::{clip, in_range};
use crate::error::{Argument, Error};
use crate::kernel::product::scale_rows;
use crate::kernel::raw::Start;
use crate::kernel::vector::{AddSquares, PARTS, SquareSum};
use crate::lora::{
    Adapter, AdapterMut, Backprop, Batch, Code, FromColumn, Progress, Saved, Shape, gradient_a, gradient_b, inner_grad,
    input_grad, prepare,
};
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, part};
use crate::weight::Base;

/// Plain SGD that applies each gradient as it is formed. Training memory is the adapter and `2·n·r` numbers.
///
/// With the old `A` and `B`: `gs`, and `dX` if wanted. Then, with `η` the learning rate, times the clipping factor:
///
/// ```text
/// B[o,k] continued by chain_t dY[t,o]·rn(-η_B·hs[t,k])
/// A[k,i] continued by chain_t rn(-η·gs[t,k])·X̃[t,i]
/// ```
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct InPlace {
    /// Learning rate, at least 0.
    pub lr: f32,
    /// Factor on the learning rate for `B`, at least 0. LoRA+ takes about 16.
    pub b_rate: f32,
    /// Clips the norm of this layer's gradient, which is computed beforehand without being stored; the gradients are then
    /// formed twice. As [`clip::factor`].
    pub max_norm: Option<f32>,
}

impl Default for InPlace {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl InPlace {
    /// `lr = 1e-3`, no clipping.
    pub const DEFAULT: InPlace = InPlace { lr: 1e-3, b_rate: 1.0, max_norm: None };

    /// Backward pass and step in one, after a [`forward`](crate::forward) with this `saved`. `flow.x` is left out where `A`
    /// is frozen. A trained bias is not supported here.
    ///
    /// # Errors
    /// As [`backward`](crate::backward); [`Error::Range`] for a hyper-parameter; [`Error::Unexpected`] when the adapter has
    /// a bias; [`Error::NonFinite`] when `dY` is not finite or, with `max_norm`, when the norm is not. Nothing is written then but
    /// `gs` in `saved`, which is then as after the forward pass.
    pub fn step(
        &self,
        backend: Backend,
        base: &Base<'_>,
        adapter: &mut AdapterMut<'_>,
        flow: Backprop<'_>,
        saved: &mut Saved<'_>,
    ) -> Result<(), Error> {
        in_range(Argument::LearningRate, self.lr, f32::MAX)?;
        in_range(Argument::LearningRate, self.lr * self.b_rate, f32::MAX)?;
        in_range(Argument::MaxNorm, self.max_norm.unwrap_or(0.0), f32::MAX)?;
        if adapter.bias.is_some() {
            return Err(Error::Unexpected { argument: Argument::Bias });
        }
        prepare(base, &adapter.as_ref(), &flow, saved)?;
        let shape = adapter.as_ref().shape();
        crate::lora::finite(Argument::DY, &flow.dy)?;
        let Backprop { x, dy, dx } = flow;
        let (absent, code) = (adapter.as_ref().is_absent(), saved.dropout_code());
        // `gs` will be that of this `dY`, not of an earlier `input_grads`.
        if !absent {
            saved.batch = saved.batch.map(|batch| Batch { progress: Progress::Forward, ..batch });
        }
        if !absent {
            backend.run(InnerGrad { adapter: &adapter.as_ref(), dy: &dy, gs: &mut saved.gs });
        }
        let factor = match self.max_norm {
            Some(max_norm) if !absent => {
                let inner = Inner { saved, code, dy, x };
                clip::factor(inner.square_sum(backend, shape), max_norm)?
            }
            _ => 1.0,
        };
        let mut dx = dx;
        if let Some(dx) = &mut dx {
            let (adapter, adapted) = (&adapter.as_ref(), !absent && code.is_none());
            let gs = &saved.gs.as_ref();
            backend.run(InputGrad { base, adapter, dy: &dy, gs, adapted, dx });
        }
        if let Some(code) = code {
            (code.input_grad)(backend, &adapter.as_ref(), saved, &mut dx);
        }
        if !absent {
            let rates = (-(self.lr * factor), -(self.lr * self.b_rate * factor));
            let (a, b) = (&mut adapter.a, &mut adapter.b);
            backend.run(Descend { saved: &mut *saved, dy: &dy, x: x.as_ref(), rates, a, b });
            if let (Some(code), Some(x)) = (code, &x) {
                let to = FromColumn { gs: saved.gs.as_ref(), da: &mut adapter.a, first: 0, start: Start::Existing };
                (code.gradient_a)(backend, saved, x, to);
            }
        }
        saved.batch = None;
        Ok(())
    }
}

/// What the gradients are made of.
struct Inner<'a, 's> {
    saved: &'a Saved<'s>,
    code: Option<&'static Code>,
    dy: MatRef<'a>,
    x: Option<MatRef<'a>>,
}

impl Inner<'_, '_> {
    /// `‖dA‖² + ‖dB‖²`, the bits that [`clip::square_sum`] gives for stored gradients: both are formed piece by piece on
    /// the stack.
    fn square_sum(&self, backend: Backend, shape: Shape) -> f32 {
        let (hs, gs, tokens) = (self.saved.hs.as_ref(), self.saved.gs.as_ref(), self.dy.rows());
        let of_a = self.x.map_or(0.0, |x| {
            sum_pieces(backend, shape.rank, shape.inputs, |k, i, mut out| {
                let gs = gs.block(0, tokens, k, 1);
                match self.code {
                    Some(code) => {
                        let to = FromColumn { gs, da: &mut out, first: i, start: Start::Zero };
                        (code.gradient_a)(backend, self.saved, &x, to);
                    }
                    None => backend.run(Piece { left: gs, right: x.from(0, i), of_a: true, out }),
                }
            })
        });
        let of_b = sum_pieces(backend, shape.outputs, shape.rank, |o, k, out| {
            let left = self.dy.block(0, tokens, o, 1);
            backend.run(Piece { left, right: hs.from(0, k), of_a: false, out });
        });
        // The sum over a missing bias, as in `clip::square_sum`.
        of_a + of_b + 0.0
    }
}

/// The sum of squares of a matrix `[rows, cols]` that `piece(row, col, out)` gives in pieces of a row.
fn sum_pieces(backend: Backend, rows: usize, cols: usize, piece: impl for<'o> Fn(usize, usize, MatMut<'o>)) -> f32 {
    let mut sum = SquareSum::default();
    for row in 0..rows {
        for col in (0..cols).step_by(PARTS) {
            let mut memory = [[0.0; PARTS]; 1];
            let width = PARTS.min(cols - col);
            piece(row, col, MatMut::from_rows(&mut memory).within(1, width));
            backend.run(AddSquares { piece: part(memory.as_flattened(), ..width), sum: &mut sum });
        }
        sum.end_row();
    }
    sum.total()
}

/// A piece of a row of `dA` or of `dB`.
struct Piece<'a, 'o> {
    /// `[n, 1]`: a column of `gs` or of `dY`.
    left: MatRef<'a>,
    /// `X [n, in]` or `hs`, from the first column of the piece on.
    right: MatRef<'a>,
    of_a: bool,
    out: MatMut<'o>,
}

impl Kernel for Piece<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.of_a {
            gradient_a(simd, &self.left, &self.right, &mut self.out, Start::Zero);
        } else {
            gradient_b(simd, &self.left, &self.right, &mut self.out, Start::Zero);
        }
    }
}

struct InnerGrad<'a, 's> {
    adapter: &'a Adapter<'a>,
    dy: &'a MatRef<'a>,
    gs: &'a mut MatMut<'s>,
}

impl Kernel for InnerGrad<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        inner_grad(simd, self.adapter, self.dy, self.gs);
    }
}

struct InputGrad<'a, 'o> {
    base: &'a Base<'a>,
    adapter: &'a Adapter<'a>,
    dy: &'a MatRef<'a>,
    gs: &'a MatRef<'a>,
    adapted: bool,
    dx: &'a mut MatMut<'o>,
}

impl Kernel for InputGrad<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        input_grad(simd, self.base, self.adapter, (self.dy, self.gs), self.adapted, self.dx);
    }
}

struct Descend<'a, 's, 'p> {
    saved: &'a mut Saved<'s>,
    dy: &'a MatRef<'a>,
    x: Option<&'a MatRef<'a>>,
    /// `-η` for `A` and for `B`.
    rates: (f32, f32),
    a: &'a mut MatMut<'p>,
    b: &'a mut MatMut<'p>,
}

impl Kernel for Descend<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { saved, dy, x, rates, a, b } = self;
        scale_rows(simd, &mut saved.hs, dy.rows(), rates.1);
        gradient_b(simd, dy, &saved.hs.as_ref(), b, Start::Existing);
        if let Some(x) = x {
            scale_rows(simd, &mut saved.gs, dy.rows(), rates.0);
            // With dropout this is for its code to do.
            if saved.dropout_code().is_none() {
                gradient_a(simd, &saved.gs.as_ref(), x, a, Start::Existing);
            }
        }
    }
}
