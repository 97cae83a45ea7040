//! A layer in training, with its calls whole on one thread or in halves on two.

use lowrank::arena::Cutter;
use lowrank::train::{Optimizer, Plan, Work};
use lowrank::{
    Backend, Backprop, Base, Cut, Error, MatMut, MatRef, Saved, Shape, backward, forward, input_grads, parameter_grads,
};

use crate::{ADAMW, Layout, Pair, Workload};

/// All of `A` for one thread, all of `B` for the other.
const fn cut(shape: Shape) -> Cut {
    Cut { rank: shape.rank, output: 0 }
}

/// A layer, and memory for the results of its calls.
pub struct Halves<'a> {
    backend: Backend,
    base: Base<'a>,
    shape: Shape,
    x: MatRef<'a>,
    dy: MatRef<'a>,
    work: Work<'a>,
    y: MatMut<'a>,
    dx: MatMut<'a>,
    /// `hs` of each half of the outputs.
    inner: [MatMut<'a>; 2],
}

fn check(result: Result<(), Error>) {
    assert!(result.is_ok(), "{result:?}");
}

impl<'a> Halves<'a> {
    fn plan(workload: &Workload) -> Result<(Plan, Shape, usize), Error> {
        let (shape, n) = (workload.adapter()?.shape(), workload.x()?.rows());
        Ok((Plan::training(shape, n, Optimizer::AdamW), shape, n))
    }

    /// Elements of the memory that the results need.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn len(workload: &Workload) -> Result<usize, Error> {
        let (plan, shape, n) = Self::plan(workload)?;
        Ok(plan.len() + n * (shape.inputs + shape.outputs + 2 * shape.rank))
    }

    /// # Errors
    /// None that a caller could cause who gives [`len`](Self::len) elements.
    pub fn new(workload: &'a Workload, layout: Layout, memory: &'a mut [f32]) -> Result<Self, Error> {
        let (plan, shape, n) = Self::plan(workload)?;
        let mut memory = Cutter::new(memory);
        let (mut work, adapter) = (plan.split(memory.slice(plan.len())?)?, workload.adapter()?);
        for (to, from) in [(&mut work.adapter.a, adapter.a), (&mut work.adapter.b, adapter.b)] {
            (0..from.rows()).for_each(|i| to.row_mut(i).copy_from_slice(from.row(i)));
        }
        Ok(Self {
            backend: workload.backend(),
            base: workload.base(layout)?,
            shape,
            x: workload.x()?,
            dy: workload.dy()?,
            work,
            y: memory.matrix((n, shape.outputs))?,
            dx: memory.matrix((n, shape.inputs))?,
            inner: [memory.matrix((n, shape.rank))?, memory.matrix((n, shape.rank))?],
        })
    }

    /// The bits of all results.
    pub fn results(&self) -> impl Iterator<Item = u32> {
        let Work { adapter, grads, state, .. } = &self.work;
        let moments = [&state.a, &state.b].map(|moments| [moments.first.as_ref(), moments.second.as_ref()]);
        let matrices = [&self.y, &self.dx, &adapter.a, &adapter.b, &grads.b].map(MatMut::as_ref);
        let rows = matrices.into_iter().chain(grads.a.as_ref().map(MatMut::as_ref)).chain(moments.concat());
        rows.flat_map(|matrix| (0..matrix.rows()).flat_map(move |i| matrix.row(i))).map(|value| value.to_bits())
    }

    /// A forward pass on one thread.
    pub fn forward(&mut self) {
        let Self { backend, base, x, y, work, .. } = self;
        check(forward(*backend, base, &work.adapter.as_ref(), *x, y.reborrow(), &mut work.saved));
    }

    /// A forward pass on two threads: half of the tokens each.
    pub fn forward_by_tokens(&mut self, pair: &mut Pair) {
        let Self { backend, base, x, y, work, .. } = self;
        let (adapter, at) = (work.adapter.as_ref(), x.rows() / 2);
        let ((x0, x1), (y0, y1)) = (x.split_rows(at), y.reborrow().split_rows(at));
        let (mut saved0, mut saved1) = work.saved.whole().split_tokens(at);
        pair.join(
            || check(forward(*backend, base, &adapter, x0, y0, &mut saved0)),
            || check(forward(*backend, base, &adapter, x1, y1, &mut saved1)),
        );
        let done = [saved0.done(), saved1.done()];
        check(work.saved.join_tokens(done));
    }

    /// A forward pass of one token on two threads: half of the outputs each.
    ///
    /// # Errors
    /// [`Error::Rows`] when there are more tokens.
    pub fn forward_by_outputs(&mut self, pair: &mut Pair) -> Result<(), Error> {
        let Self { backend, base, shape, x, y, work, inner: [inner0, inner1], .. } = self;
        let (adapter, at) = (work.adapter.as_ref(), shape.outputs / 2);
        let (y0, y1) = y.reborrow().split_cols(at)?;
        let halve = |range: core::ops::Range<usize>| Ok((base.outputs(range.clone())?, adapter.outputs(range)?));
        let ((base0, adapter0), (base1, adapter1)) = (halve(0..at)?, halve(at..shape.outputs)?);
        let mut saved0 = Saved::inference(inner0.row_mut(0), adapter0.shape(), 1)?;
        let mut saved1 = Saved::inference(inner1.row_mut(0), adapter1.shape(), 1)?;
        pair.join(
            || check(forward(*backend, &base0, &adapter0, *x, y0, &mut saved0)),
            || check(forward(*backend, &base1, &adapter1, *x, y1, &mut saved1)),
        );
        Ok(())
    }

    /// Forward pass, backward pass with all gradients, and a step of AdamW, on one thread.
    pub fn step(&mut self) {
        self.forward();
        let Self { backend, base, x, dy, dx, work: Work { adapter, grads, saved, state }, .. } = self;
        let flow = Backprop { x: Some(*x), dy: *dy, dx: Some(dx.reborrow()) };
        check(backward(*backend, base, &adapter.as_ref(), flow, saved, grads));
        check(ADAMW.step(*backend, adapter, grads, state));
    }

    /// The same on two threads: half of the tokens each, then half of the parameters.
    pub fn step_in_halves(&mut self, pair: &mut Pair) {
        self.tokens_in_halves(pair);
        self.parameters_in_halves(pair);
    }

    /// Forward and backward in one, as no token waits for another.
    fn tokens_in_halves(&mut self, pair: &mut Pair) {
        let Self { backend, base, x, dy, y, dx, work, .. } = self;
        let (backend, adapter, at) = (*backend, work.adapter.as_ref(), x.rows() / 2);
        let ((x0, x1), (y0, y1)) = (x.split_rows(at), y.reborrow().split_rows(at));
        let ((dy0, dy1), (dx0, dx1)) = (dy.split_rows(at), dx.reborrow().split_rows(at));
        let (mut saved0, mut saved1) = work.saved.whole().split_tokens(at);
        pair.join(
            || {
                check(forward(backend, base, &adapter, x0, y0, &mut saved0));
                check(input_grads(backend, base, &adapter, dy0, Some(dx0), &mut saved0));
            },
            || {
                check(forward(backend, base, &adapter, x1, y1, &mut saved1));
                check(input_grads(backend, base, &adapter, dy1, Some(dx1), &mut saved1));
            },
        );
        let done = [saved0.done(), saved1.done()];
        check(work.saved.join_tokens(done));
    }

    /// Gradients and step in one, as no parameter waits for another.
    fn parameters_in_halves(&mut self, pair: &mut Pair) {
        let Self { backend, shape, x, dy, work: Work { adapter, grads, saved, state }, .. } = self;
        let (backend, cut, saved) = (*backend, cut(*shape), &*saved);
        let (mut adapter0, mut adapter1) = adapter.whole().split(cut);
        let (mut grads0, mut grads1) = grads.whole().split(cut);
        let (mut state0, mut state1) = state.whole().split(cut);
        pair.join(
            || {
                check(parameter_grads(backend, Some(*x), *dy, saved, &mut grads0));
                check(ADAMW.step(backend, &mut adapter0, grads0.grads(), &mut state0));
            },
            || {
                check(parameter_grads(backend, Some(*x), *dy, saved, &mut grads1));
                check(ADAMW.step(backend, &mut adapter1, grads1.grads(), &mut state1));
            },
        );
        state.clock = state0.clock;
    }
}
