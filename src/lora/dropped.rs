//! What dropout adds to the passes. Only [`Saved::set_dropout`](super::Saved::set_dropout) names this code: a program that
//! does not call it does not link it.

use super::{Adapter, Cut, Dropout, Grads, Saved};
use crate::kernel::operand::{plain, transposed};
use crate::kernel::product::{product, thin_product};
use crate::kernel::raw::Start;
use crate::simd::target::BLOCK;
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, part_mut};

/// Dropout, as [`Saved`] keeps it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Dropping {
    pub dropout: Dropout,
    pub code: &'static Code,
}

impl Dropping {
    pub(crate) const fn new(dropout: Dropout) -> Self {
        const CODE: Code = Code { inner_activations, input_grad, parameter_grads, gradient_a };
        Self { dropout, code: &CODE }
    }
}

/// What the passes call where there is dropout.
#[derive(Debug)]
pub(crate) struct Code {
    /// `h = X̃·Aᵀ`
    pub inner_activations: fn(Backend, &Adapter<'_>, &MatRef<'_>, &mut Saved<'_>),
    /// `dX = step(dX, D, gs·A)` where the element was kept. Nothing without an adapter or a `dX`.
    pub input_grad: fn(Backend, &Adapter<'_>, &Saved<'_>, &mut Option<MatMut<'_>>),
    /// `dA`, whose gradients start at the cut in those of the layer. Nothing without an adapter or where `A` is frozen.
    pub parameter_grads: fn(Backend, &Option<MatRef<'_>>, &Saved<'_>, &mut Grads<'_>, Cut),
    /// The columns of `dA = start ⊕ gsᵀ·X̃` from `first` on, as many as `da` has.
    pub gradient_a: fn(Backend, &Saved<'_>, &MatRef<'_>, FromColumn<'_, '_>),
}

/// Columns of `dA`, and the rows of `gsᵀ` that belong to them.
pub(crate) struct FromColumn<'a, 'd> {
    pub gs: MatRef<'a>,
    pub da: &'a mut MatMut<'d>,
    pub first: usize,
    pub start: Start<'a>,
}

fn inner_activations(backend: Backend, adapter: &Adapter<'_>, x: &MatRef<'_>, saved: &mut Saved<'_>) {
    if let Some(dropout) = &saved.masks() {
        backend.run(InnerActivations { dropout, a: adapter.a, x: *x, h: saved.hs.reborrow() });
    }
}

fn input_grad(backend: Backend, adapter: &Adapter<'_>, saved: &Saved<'_>, dx: &mut Option<MatMut<'_>>) {
    if let (Some(dropout), Some(dx), false) = (&saved.masks(), dx, adapter.is_absent()) {
        backend.run(InputGrad { dropout, gs: saved.gs.as_ref(), a: adapter.a, dx: dx.reborrow() });
    }
}

fn parameter_grads(backend: Backend, x: &Option<MatRef<'_>>, saved: &Saved<'_>, grads: &mut Grads<'_>, first: Cut) {
    let start = grads.accum.start();
    // Masks are not worth making for no row.
    if let (Some(da), Some(x), false) = (&mut grads.a, x, saved.is_absent())
        && da.rows() > 0
    {
        let gs = saved.gs.as_ref().from(0, first.rank);
        gradient_a(backend, saved, x, FromColumn { gs, da, first: 0, start });
    }
}

fn gradient_a(backend: Backend, saved: &Saved<'_>, x: &MatRef<'_>, to: FromColumn<'_, '_>) {
    if let Some(dropout) = &saved.masks() {
        let FromColumn { gs, da, first, start } = to;
        backend.run(GradientA { dropout, gs, x: *x, da: da.reborrow(), first, start });
    }
}

/// `len` in parts of `most`: where each starts, and how long it is. Of nothing, one part without length, so that a product writes
/// what it starts at.
#[inline(always)]
fn parts(len: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len.max(1)).step_by(most).map(move |at| (at, most.min(len - at)))
}

struct InnerActivations<'a> {
    dropout: &'a Dropout,
    a: MatRef<'a>,
    x: MatRef<'a>,
    h: MatMut<'a>,
}

impl Kernel for InnerActivations<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let rank = self.a.rows();
        let mut memory = [[0.0; BLOCK.1]; BLOCK.0];
        let mut memory = MatMut::from_rows(&mut memory);
        for (token, rows) in parts(self.x.rows(), BLOCK.0) {
            let mut start = Start::Zero;
            for (i, cols) in parts(self.x.cols(), BLOCK.1) {
                let mut kept = memory.block(0, rows, 0, cols);
                self.dropout.apply(self.x, token, i, &mut kept);
                let (left, right) = (kept.as_ref(), self.a.block(0, rank, i, cols));
                let h = &mut self.h.block(token, rows, 0, rank);
                thin_product(simd, plain(&left), transposed(&right), h, start);
                start = Start::Existing;
            }
        }
    }
}

struct GradientA<'a> {
    dropout: &'a Dropout,
    gs: MatRef<'a>,
    x: MatRef<'a>,
    da: MatMut<'a>,
    first: usize,
    start: Start<'a>,
}

impl Kernel for GradientA<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let rank = self.da.rows();
        let mut memory = [[0.0; BLOCK.1]; BLOCK.0];
        let mut memory = MatMut::from_rows(&mut memory);
        for (i, cols) in parts(self.da.cols(), BLOCK.1) {
            let mut start = self.start;
            for (token, rows) in parts(self.x.rows(), BLOCK.0) {
                let mut kept = memory.block(0, rows, 0, cols);
                self.dropout.apply(self.x, token, self.first + i, &mut kept);
                let (left, right) = (self.gs.block(token, rows, 0, rank), kept.as_ref());
                let da = &mut self.da.block(0, rank, i, cols);
                product(simd, transposed(&left), plain(&right), da, start);
                start = Start::Existing;
            }
        }
    }
}

struct InputGrad<'a> {
    dropout: &'a Dropout,
    gs: MatRef<'a>,
    a: MatRef<'a>,
    dx: MatMut<'a>,
}

impl Kernel for InputGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (inputs, rank) = (self.dx.cols(), self.a.rows());
        let factor = self.dropout.keep_factor();
        let mut memory = [[0.0; BLOCK.1]; BLOCK.0];
        let mut memory = MatMut::from_rows(&mut memory);
        for (token, rows) in parts(self.dx.rows(), BLOCK.0) {
            for (i, cols) in parts(inputs, BLOCK.1) {
                let mut block = memory.block(0, rows, 0, cols);
                let (left, right) = (self.gs.block(token, rows, 0, rank), self.a.block(0, rank, i, cols));
                product(simd, plain(&left), plain(&right), &mut block, Start::Zero);
                for t in 0..rows {
                    let to = part_mut(self.dx.row_mut(token + t), i..);
                    let from = block.row(t);
                    self.dropout.mask(inputs, token + t, i, cols, |j, kept| {
                        if let (true, Some(to), Some(&value)) = (kept, to.get_mut(j), from.get(j)) {
                            let next = simd.step(simd.splat(*to), simd.splat(factor), simd.splat(value));
                            simd.write(core::slice::from_mut(to), next);
                        }
                    });
                }
            }
        }
    }
}
