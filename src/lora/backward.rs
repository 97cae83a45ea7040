//! `g = dY·B`, `gs = s·g`, `dB = dYᵀ·hs`, `dA = gsᵀ·X̃`, `db = Σ dY`, `dX = dY·W + (gs·A)⊙D`.

use super::forward::{BLOCK, BLOCK_LEN};
use super::{Accum, Adapter, Batch, Cut, Dropout, Grads, GradsPart, Progress, Saved, Shape};
use crate::error::{Argument, Error};
use crate::kernel::exchange::Exchanged;
use crate::kernel::gemm::Product;
use crate::kernel::pack::Operand;
use crate::kernel::thin::ThinProduct;
use crate::kernel::tile::Start;
use crate::kernel::vector::{Scale, SumRows};
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, expect_shape};
use crate::weight::{Base, Weights};

/// What flows through a layer in the backward pass.
#[derive(Debug)]
pub struct Backprop<'a> {
    /// `X [n, in]` of the forward pass. Not needed where `A` is frozen.
    pub x: Option<MatRef<'a>>,
    /// `dY [n, out]`, the gradient of the loss with respect to the layer's output.
    pub dy: MatRef<'a>,
    /// Receives `dX [n, in]`. `None` where nothing below is trained: then `W` is not read.
    pub dx: Option<MatMut<'a>>,
}

/// Backward pass of the last [`forward`](super::forward) with this `saved`: [`input_grads`], then [`parameter_grads`].
///
/// # Errors
/// When a shape does not fit: [`Error::Rows`], [`Error::Cols`], [`Error::Length`], [`Error::TooMany`]; [`Error::Range`] for a
/// scale that is not finite; [`Error::Missing`] when no forward pass came before, when
/// `saved` was made for inference, or when `dA` is wanted without `X`; [`Error::DeadAdapter`] when `A` and `B` are zero.
/// Nothing is written then.
pub fn backward(
    backend: Backend,
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    flow: Backprop<'_>,
    saved: &mut Saved<'_>,
    grads: &mut Grads<'_>,
) -> Result<(), Error> {
    let shape = prepare(base, adapter, &flow, saved)?;
    grads.check(shape, grads.end())?;
    check_x(flow.x, grads, shape, flow.dy.rows())?;
    backend.run(BothPasses { base, adapter, flow, saved, grads });
    Ok(())
}

/// The half of [`backward`] that has a chain for each token; tokens can be [split](Saved::split_tokens).
///
/// - `g[t,k] = chain_o B[o,k]·dY[t,o]`, `gs = rn(s·g)`, which `saved` keeps for [`parameter_grads`]
/// - `dX[t,i] = chain_o W[o,i]·dY[t,o]`, continued by `chain_k A[k,i]·gs[t,k]`. With dropout the second chain starts from
///   +0 instead, and is added to the first as `step(dX, D, chain)` where the element was kept.
///
/// `dx` is `None` where nothing below is trained: then `W` is not read.
///
/// # Errors
/// As [`backward`].
///
/// ```
/// use lowrank::{Accum, Adapter, Backend, Base, Cut, Grads, MatMut, MatRef, Saved};
/// use lowrank::{forward, input_grads, parameter_grads};
///
/// let base = Base { weights: MatRef::from_rows(&[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).into(), bias: None };
/// let (a, b) = (MatRef::from_rows(&[[1.0, 1.0]]), MatRef::from_rows(&[[0.0], [0.0], [1.0]]));
/// let adapter = Adapter { a, b, bias: None, scale: 2.0 };
/// let (x, dy) = (MatRef::from_rows(&[[3.0, 4.0]]), MatRef::from_rows(&[[1.0, 0.0, 1.0]]));
/// let (mut y, mut dx, mut memory) = ([[0.0; 3]], [[0.0; 2]], [0.0; 2]);
/// let mut saved = Saved::training(&mut memory, adapter.shape(), 1)?;
/// forward(Backend::BASELINE, &base, &adapter, x, MatMut::from_rows(&mut y), &mut saved)?;
///
/// input_grads(Backend::BASELINE, &base, &adapter, dy, Some(MatMut::from_rows(&mut dx)), &mut saved)?;
/// assert_eq!(dx, [[2.0 + 2.0, 1.0 + 2.0]]);
///
/// let (mut da, mut db) = ([[0.0; 2]], [[0.0]; 3]);
/// let (a, b) = (Some(MatMut::from_rows(&mut da)), MatMut::from_rows(&mut db));
/// let mut grads = Grads { a, b, bias: None, accum: Accum::Replace };
/// let (mut first, mut rest) = grads.whole().split(Cut { rank: 1, output: 0 });
/// parameter_grads(Backend::BASELINE, Some(x), dy, &saved, &mut first)?; // dA
/// parameter_grads(Backend::BASELINE, Some(x), dy, &saved, &mut rest)?; // dB
/// assert_eq!((da, db), ([[6.0, 8.0]], [[14.0], [0.0], [14.0]]));
/// # Ok::<(), lowrank::Error>(())
/// ```
pub fn input_grads(
    backend: Backend,
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    dy: MatRef<'_>,
    dx: Option<MatMut<'_>>,
    saved: &mut Saved<'_>,
) -> Result<(), Error> {
    let flow = Backprop { x: None, dy, dx };
    prepare(base, adapter, &flow, saved)?;
    backend.run(InputPass { base, adapter, dy, dx: flow.dx, saved });
    Ok(())
}

/// The half of [`backward`] that has a chain for each parameter; parameters can be [split](GradsPart::split). For an example
/// see [`input_grads`], which comes before.
///
/// `dA[k,i] = chain_t gs[t,k]·X̃[t,i]`, `dB[o,k] = chain_t dY[t,o]·hs[t,k]`, `db[o] = chain_t dY[t,o]`: from +0, or from
/// what is there, as [`Grads::accum`] says.
///
/// `x` and `dy` are those of all tokens; `x` is not needed where `A` is frozen.
///
/// # Errors
/// When a shape does not fit: [`Error::Rows`], [`Error::Cols`]; [`Error::Missing`] when no [`input_grads`] came before on
/// all tokens, or when `dA` is wanted without `X`. Nothing is written then.
pub fn parameter_grads(
    backend: Backend,
    x: Option<MatRef<'_>>,
    dy: MatRef<'_>,
    saved: &Saved<'_>,
    part: &mut GradsPart<'_>,
) -> Result<(), Error> {
    let Some(Batch { tokens, progress: Progress::Backward | Progress::Absent }) = saved.batch else {
        return Err(Error::Missing { argument: Argument::Saved });
    };
    let shape = saved.shape();
    expect_shape(Argument::DY, (dy.rows(), dy.cols()), (tokens, shape.outputs))?;
    part.check(shape)?;
    let (grads, first) = part.parts();
    check_x(x, grads, shape, tokens)?;
    backend.run(ParameterPass { x, dy, saved, grads, first });
    Ok(())
}

fn check_x(x: Option<MatRef<'_>>, grads: &Grads<'_>, shape: Shape, tokens: usize) -> Result<(), Error> {
    match x {
        Some(x) => expect_shape(Argument::X, (x.rows(), x.cols()), (tokens, shape.inputs)),
        None if grads.a.is_some() => Err(Error::Missing { argument: Argument::X }),
        None => Ok(()),
    }
}

/// The checks that every backward pass shares.
pub(crate) fn prepare(
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    flow: &Backprop<'_>,
    saved: &Saved<'_>,
) -> Result<Shape, Error> {
    adapter.check(base)?;
    let (shape, tokens) = (adapter.shape(), flow.dy.rows());
    expect_shape(Argument::DY, (tokens, flow.dy.cols()), (tokens, shape.outputs))?;
    saved.check(shape, tokens)?;
    match saved.batch {
        Some(Batch { tokens: expected, .. }) if expected != tokens => {
            return Err(Error::Rows { argument: Argument::DY, expected, got: tokens });
        }
        Some(_) if saved.gs.rows() >= tokens => {}
        _ => return Err(Error::Missing { argument: Argument::Saved }),
    }
    if let Some(x) = &flow.x {
        expect_shape(Argument::X, (x.rows(), x.cols()), (tokens, shape.inputs))?;
    }
    if let Some(dx) = &flow.dx {
        expect_shape(Argument::DX, (dx.rows(), dx.cols()), (tokens, shape.inputs))?;
    }
    adapter.check_alive()?;
    Ok(shape)
}

struct BothPasses<'a, 's, 'g> {
    base: &'a Base<'a>,
    adapter: &'a Adapter<'a>,
    flow: Backprop<'a>,
    saved: &'a mut Saved<'s>,
    grads: &'a mut Grads<'g>,
}

impl Kernel for BothPasses<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { base, adapter, flow: Backprop { x, dy, dx }, saved, grads } = self;
        InputPass { base, adapter, dy, dx, saved: &mut *saved }.run(simd);
        ParameterPass { x, dy, saved, grads, first: Cut::START }.run(simd);
    }
}

struct InputPass<'a, 's> {
    base: &'a Base<'a>,
    adapter: &'a Adapter<'a>,
    dy: MatRef<'a>,
    dx: Option<MatMut<'a>>,
    saved: &'a mut Saved<'s>,
}

impl Kernel for InputPass<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { base, adapter, dy, dx, saved } = self;
        let (tokens, absent, dropout) = (dy.rows(), adapter.is_absent(), saved.dropout());
        let progress = if absent { Progress::Absent } else { Progress::Backward };
        saved.batch = Some(Batch { tokens, progress });
        let mut gs = saved.gs.block(0, tokens, 0, adapter.a.rows());
        if !absent {
            simd.call(InnerGrad { adapter, dy, gs: gs.reborrow() });
        }
        if let Some(dx) = dx {
            simd.call(InputGrad { base, adapter, dy, gs: gs.as_ref(), dropout, dx });
        }
    }
}

struct ParameterPass<'a, 's, 'g> {
    x: Option<MatRef<'a>>,
    dy: MatRef<'a>,
    saved: &'a Saved<'s>,
    grads: &'a mut Grads<'g>,
    /// Where the gradients start in those of the layer.
    first: Cut,
}

impl Kernel for ParameterPass<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, dy, saved, grads: Grads { a, b, bias, accum }, first } = self;
        let (tokens, start) = (dy.rows(), accum.start());
        let dy = dy.block(0, tokens, first.output, b.rows());
        if let Some(bias) = bias {
            simd.call(SumRows { rows: dy, out: bias.row_mut(0), start });
        }
        if saved.is_absent() {
            if *accum == Accum::Replace {
                fill_zero(b);
                a.iter_mut().for_each(fill_zero);
            }
            return;
        }
        gradient_b(simd, dy, saved.hs.as_ref().block(0, tokens, 0, b.cols()), b, start);
        // Masks are not worth making for no row.
        if let (Some(da), Some(x)) = (a, x)
            && da.rows() > 0
        {
            let gs = saved.gs.as_ref().block(0, tokens, first.rank, da.rows());
            gradient_a(simd, gs, x, saved.dropout(), da.reborrow(), (0, start));
        }
    }
}

fn fill_zero(matrix: &mut MatMut<'_>) {
    for i in 0..matrix.rows() {
        matrix.row_mut(i).fill(0.0);
    }
}

/// `gs = s·(dY·B)`
pub(crate) struct InnerGrad<'a> {
    pub adapter: &'a Adapter<'a>,
    pub dy: MatRef<'a>,
    pub gs: MatMut<'a>,
}

impl Kernel for InnerGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        simd.call(ThinProduct {
            left: Operand::plain(self.dy),
            right: Operand::plain(self.adapter.b),
            out: self.gs.reborrow(),
            start: Start::Zero,
        });
        simd.call(Scale { data: self.gs, factor: self.adapter.scale });
    }
}

/// `dB = start ⊕ dYᵀ·hs`
#[inline(always)]
pub(crate) fn gradient_b<S: Simd>(simd: S, dy: MatRef<'_>, hs: MatRef<'_>, db: &mut MatMut<'_>, start: Start<'_>) {
    let (left, right) = (Operand::transposed(dy), Operand::plain(hs));
    simd.call(ThinProduct { left, right, out: db.reborrow(), start });
}

/// The columns of `dA = start ⊕ gsᵀ·X̃` from `first` on, as many as `da` has.
#[inline(always)]
pub(crate) fn gradient_a<S: Simd>(
    simd: S,
    gs: MatRef<'_>,
    x: MatRef<'_>,
    dropout: Option<Dropout>,
    mut da: MatMut<'_>,
    (first, start): (usize, Start<'_>),
) {
    let (tokens, width) = (x.rows(), da.cols());
    let Some(dropout) = dropout else {
        let (left, right) = (Operand::transposed(gs), Operand::plain(x.block(0, tokens, first, width)));
        return simd.call(Product { left, right, out: da, start, more: None });
    };
    let rank = da.rows();
    for i in (0..width).step_by(BLOCK.1) {
        let cols = BLOCK.1.min(width - i);
        let (mut start, mut token) = (start, 0);
        loop {
            let rows = BLOCK.0.min(tokens - token);
            let mut memory = [0.0; BLOCK_LEN];
            let Ok(mut block) = MatMut::with_stride(&mut memory, rows, cols, BLOCK.1) else { return };
            dropout.apply(x, token, first + i, &mut block);
            simd.call(Product {
                left: Operand::transposed(gs.block(token, rows, 0, rank)),
                right: Operand::plain(block.as_ref()),
                out: da.block(0, rank, i, cols),
                start,
                more: None,
            });
            start = Start::Existing;
            token += rows;
            if token >= tokens {
                break;
            }
        }
    }
}

/// `dX = dY·W + (gs·A)⊙D`
pub(crate) struct InputGrad<'a> {
    pub base: &'a Base<'a>,
    pub adapter: &'a Adapter<'a>,
    pub dy: MatRef<'a>,
    pub gs: MatRef<'a>,
    pub dropout: Option<Dropout>,
    pub dx: MatMut<'a>,
}

impl Kernel for InputGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (gs, a) = (self.gs, self.adapter.a);
        let dropout = self.dropout.filter(|_| !self.adapter.is_absent());
        let more = (!self.adapter.is_absent() && dropout.is_none()).then(|| (Operand::plain(gs), Operand::plain(a)));
        base_input_grad(simd, self.base.weights, self.dy, more, &mut self.dx);
        if let Some(dropout) = dropout {
            dropped_input_grad(simd, gs, a, dropout, &mut self.dx);
        }
    }
}

/// `dX = dY·W ⊕ more`
#[inline(always)]
fn base_input_grad<S: Simd>(
    simd: S,
    w: Weights<'_>,
    dy: MatRef<'_>,
    more: Option<(Operand<'_>, Operand<'_>)>,
    dx: &mut MatMut<'_>,
) {
    match w {
        Weights::Rows(w) => simd.call(Product {
            left: Operand::plain(dy),
            right: Operand::plain(w),
            more,
            out: dx.reborrow(),
            start: Start::Zero,
        }),
        Weights::Packed(w) if w.outputs() == 0 => {
            // No panel: what is left is the adapter.
            if let Ok(nothing) = MatRef::new(&[], 0, w.inputs()) {
                let (left, right) = (Operand::plain(dy), Operand::plain(nothing));
                simd.call(Product { left, right, more, out: dx.reborrow(), start: Start::Zero });
            }
        }
        // A panel [in, outputs] is a piece of Wᵀ; the chain over the outputs goes on from panel to panel.
        Weights::Packed(w) => simd.call(Exchanged {
            left: Operand::plain(dy),
            pieces: w.panels().map(|(first, panel)| (first, Operand::transposed(panel))),
            more,
            out: dx.reborrow(),
            start: Start::Zero,
        }),
    }
}

/// `dX = step(dX, D, gs·A)` where the element was kept.
#[inline(always)]
fn dropped_input_grad<S: Simd>(simd: S, gs: MatRef<'_>, a: MatRef<'_>, dropout: Dropout, dx: &mut MatMut<'_>) {
    let (tokens, inputs, rank) = (dx.rows(), dx.cols(), a.rows());
    let factor = dropout.keep_factor();
    for token in (0..tokens).step_by(BLOCK.0) {
        for i in (0..inputs).step_by(BLOCK.1) {
            let (rows, cols) = (BLOCK.0.min(tokens - token), BLOCK.1.min(inputs - i));
            let mut memory = [0.0; BLOCK_LEN];
            let Ok(mut block) = MatMut::with_stride(&mut memory, rows, cols, BLOCK.1) else { return };
            simd.call(Product {
                left: Operand::plain(gs.block(token, rows, 0, rank)),
                right: Operand::plain(a.block(0, rank, i, cols)),
                out: block.reborrow(),
                start: Start::Zero,
                more: None,
            });
            for t in 0..rows {
                let to = dx.row_mut(token + t).get_mut(i..).unwrap_or(&mut []);
                let from = block.row(t);
                dropout.mask(inputs, token + t, i, cols, |j, kept| {
                    if let (true, Some(to), Some(&value)) = (kept, to.get_mut(j), from.get(j)) {
                        let next = simd.step(simd.splat(*to), simd.splat(factor), simd.splat(value));
                        simd.write(core::slice::from_mut(to), next);
                    }
                });
            }
        }
    }
}
