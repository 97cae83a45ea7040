//! `g = dY·B`, `gs = s·g`, `dB = dYᵀ·hs`, `dA = gsᵀ·X̃`, `db = Σ dY`, `dX = dY·W + (gs·A)⊙D`.

use super::adapter::Adapter;
use super::equations::{DA, DB, DBIAS, DX, G};
use super::flow::Backprop;
use super::grads::{Accum, Grads};
use super::saved::{Batch, Progress, Saved};
use super::shape::Shape;
use super::split::{Cut, GradsPart};
use crate::error::{Argument, Error};
use crate::kernel::raw::Start;
use crate::simd::Backend;
use crate::view::{MatMut, MatRef, expect_cols, expect_shape};
use crate::weight::{Base, Times};

/// Backward pass of the last [`forward`](super::forward) with this `saved`: [`input_grads`], then [`parameter_grads`].
///
/// # Errors
/// When a shape does not fit: [`Error::Rows`], [`Error::Cols`], [`Error::TooMany`]; [`Error::Range`] for a scale that is not
/// finite; [`Error::NoForward`]; [`Error::ForInference`]; [`Error::AbsentAdapter`] when there is an adapter, and the pass before
/// ran without one; [`Error::Missing`] when `dA` is wanted without `X`; [`Error::DeadAdapter`] when `A` and `B` are zero. Nothing
/// is written then.
pub fn backward(
    backend: Backend,
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    flow: Backprop<'_>,
    saved: &mut Saved<'_>,
    grads: &mut Grads<'_>,
) -> Result<(), Error> {
    let mut flow = flow;
    let mut checked = prepare(base, adapter, &flow, saved);
    if checked.is_ok() {
        checked = check_grads(&flow, grads, adapter.shape());
    }
    if checked.is_ok() {
        input_pass(backend, base, adapter, &mut flow, saved);
        parameter_pass(backend, &flow.x, &flow.dy, saved, (grads, Cut::START));
    }
    checked
}

fn check_grads(flow: &Backprop<'_>, grads: &Grads<'_>, shape: Shape) -> Result<(), Error> {
    grads.check(shape, grads.end())?;
    check_x(&flow.x, grads, shape, flow.dy.rows())
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
    let mut flow = Backprop { x: None, dy, dx };
    let checked = prepare(base, adapter, &flow, saved);
    if checked.is_ok() {
        input_pass(backend, base, adapter, &mut flow, saved);
    }
    checked
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
/// When a shape does not fit: [`Error::Rows`], [`Error::Cols`]; [`Error::NoForward`]; [`Error::NoInputGrads`] when no
/// [`input_grads`] came before on all tokens; [`Error::ForInference`] when none can; [`Error::Missing`] when `dA` is wanted
/// without `X`. Nothing is written then.
pub fn parameter_grads(
    backend: Backend,
    x: Option<MatRef<'_>>,
    dy: MatRef<'_>,
    saved: &Saved<'_>,
    part: &mut GradsPart<'_>,
) -> Result<(), Error> {
    let Batch { tokens, progress } = saved.batch.ok_or(Error::NoForward)?;
    if progress == Progress::Forward {
        return Err(if saved.gs.rows() < tokens { Error::ForInference } else { Error::NoInputGrads });
    }
    let shape = saved.shape();
    expect_shape(Argument::DY, (dy.rows(), dy.cols()), (tokens, shape.outputs))?;
    part.check(shape)?;
    let (grads, first) = part.parts();
    check_x(&x, grads, shape, tokens)?;
    parameter_pass(backend, &x, &dy, saved, (grads, first));
    Ok(())
}

fn check_x(x: &Option<MatRef<'_>>, grads: &Grads<'_>, shape: Shape, tokens: usize) -> Result<(), Error> {
    match x {
        Some(x) => expect_shape(Argument::X, (x.rows(), x.cols()), (tokens, shape.inputs)),
        None if grads.a.is_some() => Err(Error::Missing { argument: Argument::X }),
        None => Ok(()),
    }
}

/// The checks that every backward pass on views shares.
pub(crate) fn prepare(
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    flow: &Backprop<'_>,
    saved: &Saved<'_>,
) -> Result<(), Error> {
    adapter.check(base)?;
    let shape = adapter.shape();
    expect_cols(Argument::DY, flow.dy.cols(), shape.outputs)?;
    saved.check(shape, flow.dy.rows())?;
    check_flow(flow, shape, (saved.batch, saved.gs.rows()), adapter)
}

/// Checks what flows through a layer of this shape against the batch of the last forward pass, for which `gs` has room for so many
/// tokens.
pub(crate) fn check_flow(
    flow: &Backprop<'_>,
    shape: Shape,
    (batch, room): (Option<Batch>, usize),
    adapter: &Adapter<'_>,
) -> Result<(), Error> {
    let tokens = flow.dy.rows();
    let Batch { tokens: expected, progress } = batch.ok_or(Error::NoForward)?;
    expect_shape(Argument::DY, (tokens, flow.dy.cols()), (expected, shape.outputs))?;
    if room < tokens {
        return Err(Error::ForInference);
    }
    if progress == Progress::Absent && !adapter.is_absent() {
        return Err(Error::AbsentAdapter);
    }
    if let Some(x) = &flow.x {
        expect_shape(Argument::X, (x.rows(), x.cols()), (tokens, shape.inputs))?;
    }
    if let Some(dx) = &flow.dx {
        expect_shape(Argument::DX, (dx.rows(), dx.cols()), (tokens, shape.inputs))?;
    }
    adapter.check_alive()
}

fn input_pass(
    backend: Backend,
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    flow: &mut Backprop<'_>,
    saved: &mut Saved<'_>,
) {
    let (tokens, absent) = (flow.dy.rows(), adapter.is_absent());
    let progress = if absent { Progress::Absent } else { Progress::Backward };
    saved.batch = Some(Batch { tokens, progress });
    if !absent {
        let (sides, scaled) = ((&flow.dy, &adapter.b), Some((tokens, adapter.scale)));
        G.run(backend, sides, &mut saved.gs, Start::Zero, scaled);
    }
    if let Some(dx) = &mut flow.dx {
        input_grad(backend, base, adapter, (&flow.dy, saved), dx);
    }
}

/// `dX = dY·W + (gs·A)⊙D`
pub(crate) fn input_grad(
    backend: Backend,
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    (dy, saved): (&MatRef<'_>, &Saved<'_>),
    dx: &mut MatMut<'_>,
) {
    let (gs, is_present) = (saved.gs.as_ref(), !adapter.is_absent());
    let more = DX.more_factors((is_present && saved.dropping.is_none()).then_some([&gs, &adapter.a]));
    base.weights.product(backend, &mut Times { is_forward: false, left: dy, more, out: dx, start: Start::Zero });
    if let (Some(dropping), true) = (&saved.dropping, is_present) {
        dropping.input_grad(backend, [&gs, &adapter.a], dx);
    }
}

/// `dB`, `dA` and `db`. The gradients may be a part of those of the layer; `first` is where they start.
fn parameter_pass(
    backend: Backend,
    x: &Option<MatRef<'_>>,
    dy: &MatRef<'_>,
    saved: &Saved<'_>,
    (Grads { a, b, bias, accum }, first): (&mut Grads<'_>, Cut),
) {
    let start = accum.start();
    let dy = if first.output > 0 { dy.from(0, first.output) } else { *dy };
    if let Some(bias) = bias {
        DBIAS.run(backend, (&dy, &dy), bias, start, None);
    }
    if saved.is_absent() {
        if *accum == Accum::Replace {
            b.fill_zero();
            a.iter_mut().for_each(MatMut::fill_zero);
        }
        return;
    }
    DB.run(backend, (&dy, &saved.hs.as_ref()), b, start, None);
    if let (Some(da), Some(x)) = (a, x) {
        let gs = saved.gs.as_ref();
        let gs = if first.rank > 0 { gs.from(0, first.rank) } else { gs };
        match &saved.dropping {
            None => DA.run(backend, (&gs, x), da, start, None),
            // Masks are not worth making for no row.
            Some(_) if da.rows() == 0 => {}
            Some(dropping) => dropping.gradient_a(backend, [&gs, x], (da, 0), start),
        }
    }
}
