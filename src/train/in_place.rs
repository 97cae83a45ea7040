//! SGD while the gradients are formed: no gradient buffers, no state.

use super::{clip, in_range};
use crate::error::{Argument, Error};
use crate::kernel::tile::Start;
use crate::kernel::vector::{AddSquares, PARTS, Scale, SquareSum};
use crate::lora::{AdapterMut, Backprop, Dropout, InnerGrad, InputGrad, Saved, gradient_a, gradient_b, prepare};
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef};
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

impl InPlace {
    /// `lr = 1e-3`, no clipping.
    pub const DEFAULT: InPlace = InPlace { lr: 1e-3, b_rate: 1.0, max_norm: None };

    /// Backward pass and step in one, after a [`forward`](crate::forward) with this `saved`. `flow.x` is left out where `A`
    /// is frozen. A trained bias is not supported here.
    ///
    /// # Errors
    /// As [`backward`](crate::backward); [`Error::Range`] for a hyper-parameter; [`Error::Unexpected`] when the adapter has
    /// a bias; [`Error::NonFinite`] when `dY` is not finite or, with `max_norm`, when the norm is not. Nothing is written then but
    /// `gs` in `saved`.
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
        let shape = prepare(base, &adapter.as_ref(), &flow, saved)?;
        crate::lora::finite(Argument::DY, flow.dy)?;
        let tokens = flow.dy.rows();
        let dropout = saved.dropout();
        let mut inner = Inner {
            hs: saved.hs.block(0, tokens, 0, shape.rank),
            gs: saved.gs.block(0, tokens, 0, shape.rank),
            dropout,
            dy: flow.dy,
            x: flow.x,
        };
        let absent = adapter.as_ref().is_absent();
        if !absent {
            backend.run(InnerGrad { adapter: &adapter.as_ref(), dy: flow.dy, gs: inner.gs.reborrow() });
        }
        let factor = match self.max_norm {
            Some(max_norm) if !absent => clip::factor(inner.square_sum(backend, &adapter.as_ref()), max_norm)?,
            _ => 1.0,
        };
        if let Some(dx) = flow.dx {
            let (adapter, gs) = (&adapter.as_ref(), inner.gs.as_ref());
            backend.run(InputGrad { base, adapter, dy: flow.dy, gs, dropout, dx });
        }
        if !absent {
            let rates = (-(self.lr * factor), -(self.lr * self.b_rate * factor));
            backend.run(Descend { inner, rates, a: adapter.a.reborrow(), b: adapter.b.reborrow() });
        }
        saved.batch = None;
        Ok(())
    }
}

/// What the gradients are made of.
struct Inner<'a> {
    hs: MatMut<'a>,
    gs: MatMut<'a>,
    dropout: Option<Dropout>,
    dy: MatRef<'a>,
    x: Option<MatRef<'a>>,
}

impl Inner<'_> {
    /// `‖dA‖² + ‖dB‖²`, the bits that [`clip::square_sum`] gives for stored gradients: both are formed piece by piece on
    /// the stack.
    fn square_sum(&self, backend: Backend, adapter: &crate::lora::Adapter<'_>) -> f32 {
        let shape = adapter.shape();
        let (hs, gs) = (self.hs.as_ref(), self.gs.as_ref());
        let tokens = self.dy.rows();
        let of_a = self.x.map_or(0.0, |x| {
            sum_pieces(backend, shape.rank, shape.inputs, |k, i, out| Piece {
                left: gs.block(0, tokens, k, 1),
                right: x,
                dropout: self.dropout,
                first: i,
                of_a: true,
                out,
            })
        });
        let of_b = sum_pieces(backend, shape.outputs, shape.rank, |o, k, out| Piece {
            left: self.dy.block(0, tokens, o, 1),
            right: hs.block(0, tokens, k, out.cols()),
            dropout: None,
            first: k,
            of_a: false,
            out,
        });
        // The sum over a missing bias, as in `clip::square_sum`.
        of_a + of_b + 0.0
    }
}

/// The sum of squares of a matrix `[rows, cols]` that `piece(row, col, out)` gives in pieces of a row.
fn sum_pieces<'a>(
    backend: Backend,
    rows: usize,
    cols: usize,
    piece: impl for<'o> Fn(usize, usize, MatMut<'o>) -> Piece<'a, 'o>,
) -> f32 {
    let mut sum = SquareSum::default();
    for row in 0..rows {
        for col in (0..cols).step_by(PARTS) {
            let mut memory = [0.0; PARTS];
            let width = PARTS.min(cols - col);
            let Ok(out) = MatMut::with_stride(&mut memory, 1, width, PARTS) else { break };
            backend.run(piece(row, col, out));
            backend.run(AddSquares { piece: memory.get(..width).unwrap_or(&[]), sum: &mut sum });
        }
        sum.end_row();
    }
    sum.total()
}

/// A piece of a row of `dA` or of `dB`.
struct Piece<'a, 'o> {
    /// `[n, 1]`: a column of `gs` or of `dY`.
    left: MatRef<'a>,
    /// `X [n, in]`, or a part of `hs`.
    right: MatRef<'a>,
    dropout: Option<Dropout>,
    first: usize,
    of_a: bool,
    out: MatMut<'o>,
}

impl Kernel for Piece<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.of_a {
            gradient_a(simd, self.left, self.right, self.dropout, self.out, (self.first, Start::Zero));
        } else {
            gradient_b(simd, self.left, self.right, &mut self.out, Start::Zero);
        }
    }
}

struct Descend<'a> {
    inner: Inner<'a>,
    /// `-η` for `A` and for `B`.
    rates: (f32, f32),
    a: MatMut<'a>,
    b: MatMut<'a>,
}

impl Kernel for Descend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Inner { mut hs, mut gs, dropout, dy, x } = self.inner;
        simd.call(Scale { data: hs.reborrow(), factor: self.rates.1 });
        gradient_b(simd, dy, hs.as_ref(), &mut self.b, Start::Existing);
        if let Some(x) = x {
            simd.call(Scale { data: gs.reborrow(), factor: self.rates.0 });
            gradient_a(simd, gs.as_ref(), x, dropout, self.a, (0, Start::Existing));
        }
    }
}
