//! The object that people use: one adapted layer with all its memory.

use core::fmt;

use super::in_place::InPlace;
use super::init;
use super::state::{Clock, Moments, State, Trained};
use super::update::Optimize;
use crate::error::{Argument, Error};
use crate::kernel::equation::Mode;
use crate::kernel::raw::table::{Read, Table, Written};
use crate::kernel::vector::{are_zero, first_non_finite_of};
use crate::lora::{
    Adapter, AdapterMut, BACKWARD, Backprop, Batch, Dropout, Dropping, Equations, FORWARD, Given, Grads, OWN, Progress,
    Saved, Scale, Shape, TRAINED, adapter, check_scale, merge_rows, parts, place, run_pass, shape,
};
use crate::optimizer::Optimizer;
use crate::simd::Backend;
use crate::view::{MatMut, MatRef, expect_shape};
use crate::weight::Base;

/// One adapted layer: a frozen base, an adapter, and the memory that a [`Plan`](super::Plan) asks for: gradients, what the passes leave for each
/// other, the state of the optimizer. Everything is checked when it is opened, by [`Plan::layer`](super::Plan::layer) or [`Plan::adapted`](super::Plan::adapted); a call checks
/// what it brings.
///
/// Matrices of a call are row-major, one token a row: `x [n, in]`, `y [n, out]`, with any `n` up to the tokens of the plan. Arrays of
/// rows have their shape in their type, and are taken as they are; of a slice make a [`MatRef::new`].
///
/// ```
/// use lowrank::train::{AdamW, Optimizer, softmax_cross_entropy};
/// use lowrank::{Backend, Base, Plan, Scale, Shape};
///
/// const PLAN: Plan = Plan::training(Shape::new(2, 3, 1), 4, Optimizer::AdamW); // inputs, outputs, rank; tokens
/// static W: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]; // frozen: may lie in flash
///
/// let (backend, mut arena) = (Backend::BASELINE, [0.0; PLAN.len()]);
/// let mut layer = PLAN.layer(Base::rows(&W, None), &mut arena)?;
/// layer.init(Scale::Alpha(2.0), 42, 0)?;
/// let (x, mut y, mut dy) = ([[1.0, 2.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.0]], [[0.0; 3]; 4], [[0.0; 3]; 4]);
/// let adamw = AdamW { learning_rate: 0.05, ..AdamW::DEFAULT };
/// let mut losses = [0.0; 20];
/// for loss in &mut losses {
///     layer.forward(backend, &x, &mut y)?;
///     *loss = softmax_cross_entropy(&y, &[0, 1, 2, 0], &mut dy)?;
///     layer.backward(backend, &x, &dy, None)?;
///     layer.step(backend, &adamw)?;
/// }
/// assert!(losses[19] < losses[0]);
/// # Ok::<(), lowrank::Error>(())
/// ```
pub struct Layer<'a> {
    /// Its weights are in the table, too, if they rest in rows.
    pub(super) base: Base<'a>,
    pub(super) table: Table<'a>,
    /// Moments, in the order of [`State`].
    pub(super) moments: &'a mut [f32],
    pub(super) clock: Clock,
    /// What the memory was planned for; `None` for inference.
    pub(super) optimizer: Option<Optimizer>,
    pub(super) trained: Trained,
    pub(super) accumulates: bool,
    /// Whether a backward pass came since the last step.
    pub(super) graded: bool,
    /// How the factor `s` came about, and the factor; `None` until there is an adapter.
    pub(super) scale: Option<(Scale, f32)>,
    pub(super) batch: Option<Batch>,
    pub(super) dropping: Option<Dropping>,
}

impl fmt::Debug for Layer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Layer");
        f.field("shape", &self.shape()).field("tokens", &self.tokens());
        for (name, &place) in NAMES.into_iter().zip(&OWN) {
            if self.table.has(place) {
                f.field(name, &self.table.read(place));
            }
        }
        let Self { clock, optimizer, trained, accumulates, graded, scale, batch, dropping, .. } = self;
        f.field("base", &self.base).field("moments", &self.moments());
        f.field("clock", clock).field("optimizer", optimizer).field("trained", trained);
        f.field("accumulates", accumulates).field("graded", graded).field("scale", scale);
        f.field("batch", batch).field("dropping", dropping).finish()
    }
}

/// The names of [`OWN`].
const NAMES: [&str; 8] = ["a", "b", "bias", "da", "db", "dbias", "hs", "gs"];

impl<'a> Layer<'a> {
    /// Makes a new adapter: `A` as [`init::kaiming_uniform`] does with `seed` and `layer_number`, `B` zero, a trained bias
    /// as in the base, the gradients zero, no step taken.
    ///
    /// # Errors
    /// [`Error::TooMany`] unless `layer_number < 2³⁰`; [`Error::Range`] when the factor of `scale` is not finite;
    /// [`Error::ForInference`]. Nothing is written then.
    pub fn init(&mut self, scale: Scale, seed: u64, layer_number: u32) -> Result<(), Error> {
        let base = self.base.bias;
        self.begin(scale, |table, factor| {
            let adapter = &mut parts(table, factor).0;
            init::kaiming_uniform(adapter, seed, layer_number)?;
            if let Some(bias) = &mut adapter.bias {
                bias.fill_zero();
                let from = base.map_or(&[][..], |base| base.row(0));
                bias.row_mut(0).iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
            Ok(())
        })
    }

    /// Begins training with the adapter that lies in the buffer, for example in memory that outlives a restart, or as
    /// [`parts`](Self::parts) have written it. `A [r, in]` comes first, then `B [out, r]` and a trained bias. The gradients
    /// are zero, no step is taken.
    ///
    /// # Errors
    /// [`Error::Range`] when the scale is not finite; [`Error::ForInference`].
    pub fn adopt(&mut self, scale: Scale) -> Result<(), Error> {
        self.begin(scale, |_, _| Ok(()))
    }

    /// Begins training with the adapter that `fill` writes, unless it fails.
    pub(crate) fn begin(
        &mut self,
        scale: Scale,
        fill: impl FnOnce(&mut Table<'a>, f32) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.optimizer.is_none() {
            return Err(Error::ForInference);
        }
        let factor = scale.factor(self.shape().rank);
        check_scale(factor)?;
        fill(&mut self.table, factor)?;
        for (_, pair) in &TRAINED {
            self.table.grad_mut(pair).fill(0.0);
        }
        (self.scale, self.batch, self.graded, self.clock) = (Some((scale, factor)), None, false, Clock::default());
        Ok(())
    }

    /// Returns inputs, outputs and rank.
    pub const fn shape(&self) -> Shape {
        shape(&self.table)
    }

    /// Returns the most tokens that a pass takes at a time.
    pub const fn tokens(&self) -> usize {
        self.table.most()
    }

    /// Returns the adapter, for reading.
    ///
    /// # Errors
    /// [`Error::Missing`] about [`Argument::Scale`] before [`init`](Self::init), [`adopt`](Self::adopt) or [`resume`](Self::resume).
    pub fn adapter(&self) -> Result<Adapter<'_>, Error> {
        let owns_bias = self.table.owns(place::BIAS) || self.base.bias.is_none();
        Ok(adapter(&self.table, self.factor()?, owns_bias))
    }

    /// Returns parameters and gradients for writing, for example to clip several layers together; `None` where the adapter is
    /// borrowed, and before there is one. Their scale is a copy: a change of it has no effect on the layer.
    ///
    /// ```
    /// # use lowrank::{Backend, Base, Plan, Scale, Shape, train::{Optimizer, clip}};
    /// # const PLAN: Plan = Plan::training(Shape::new(2, 3, 1), 1, Optimizer::Sgd);
    /// # static W: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
    /// # let (backend, mut arena, mut other) = (Backend::BASELINE, [0.0; PLAN.len()], [0.0; PLAN.len()]);
    /// # let mut first = PLAN.layer(Base::rows(&W, None), &mut arena)?;
    /// # let mut second = PLAN.layer(Base::rows(&W, None), &mut other)?;
    /// # first.init(Scale::Alpha(2.0), 42, 0)?;
    /// # second.init(Scale::Alpha(2.0), 42, 1)?;
    /// let (Some((_, mut one)), Some((_, mut two))) = (first.parts(), second.parts()) else { return Ok(()) };
    /// let norm = clip::global_norm(backend, &mut [&mut one, &mut two], 1.0)?;
    /// # assert_eq!(norm, 0.0);
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    pub fn parts(&mut self) -> Option<(AdapterMut<'_>, Grads<'_>)> {
        self.optimizer?;
        let (adapter, grads, _) = parts(&mut self.table, self.scale?.1);
        Some((adapter, grads))
    }

    /// Returns how far the optimizer has come.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Returns what the memory was planned for, and what is trained; `None` for inference.
    pub const fn training(&self) -> Option<(Optimizer, Trained)> {
        match self.optimizer {
            Some(optimizer) => Some((optimizer, self.trained)),
            None => None,
        }
    }

    /// Returns how the factor `s` came about; `None` before there is an adapter.
    pub fn scale(&self) -> Option<Scale> {
        self.scale.map(|(scale, _)| scale)
    }

    /// Returns the dropout of the next forward pass; `None` where nothing is dropped.
    pub fn dropout(&self) -> Option<Dropout> {
        self.dropping.map(|dropping| dropping.dropout)
    }

    /// Returns the moments of the optimizer: first and second of `A`, of `B`, of the bias, as in [`State`].
    pub fn moments(&self) -> [MatRef<'_>; 6] {
        let mut rest = &*self.moments;
        self.moment_pieces().map(|(rows, cols)| {
            let moment = rest.split_off(..rows * cols).unwrap_or_default();
            MatRef::dense(moment, rows, cols)
        })
    }

    /// Returns the state of the optimizer, for writing. Its clock is a copy: set it by [`set_clock`](Self::set_clock).
    pub fn state_mut(&mut self) -> State<'_> {
        let (pieces, mut rest) = (self.moment_pieces(), &mut *self.moments);
        let [a1, a2, b1, b2, bias1, bias2] = pieces;
        let mut moments = |(rows, cols): (usize, usize), (rows2, cols2): (usize, usize)| Moments {
            first: MatMut::cut(&mut rest, rows, cols),
            second: MatMut::cut(&mut rest, rows2, cols2),
        };
        State { a: moments(a1, a2), b: moments(b1, b2), bias: moments(bias1, bias2), clock: self.clock }
    }

    fn moment_pieces(&self) -> [(usize, usize); 6] {
        self.optimizer.map_or([(0, 0); 6], |optimizer| State::pieces(self.shape(), optimizer, self.trained))
    }

    /// Sets the clock of the optimizer, to go on with moments that were saved.
    pub const fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Sets the dropout of the following forward passes, and of the backward passes that belong to them. A probability of 0 is no
    /// dropout. The number of its step goes up by one with each [`step`](Self::step), so that each step has other masks.
    ///
    /// # Errors
    /// [`Error::Range`] unless `0 <= probability < 1`, [`Error::TooMany`] unless `layer_number < 2³⁰`. Nothing has changed then.
    pub fn set_dropout(&mut self, dropout: Option<Dropout>) -> Result<(), Error> {
        let dropping = dropout.map(Dropping::checked).transpose()?;
        // Nothing is dropped then, and an adapter file says no more of it.
        self.dropping = dropping.filter(|dropping| dropping.dropout.probability != 0.0);
        self.batch = None;
        Ok(())
    }

    /// Whether the backward passes between two steps add up: micro-batches give the bits of the whole batch. Without, each
    /// replaces the gradients of the one before.
    pub const fn set_accumulation(&mut self, accumulates: bool) {
        self.accumulates = accumulates;
    }

    /// `Y = X·Wᵀ + b + s·(X̃·Aᵀ)·Bᵀ`, as [`forward`](crate::forward). `x [n, in]`, `y [n, out]`.
    ///
    /// # Errors
    /// [`Error::Rows`], [`Error::Cols`]; [`Error::TooMany`] for more tokens than there is room for; [`Error::Missing`] about
    /// [`Argument::Scale`] before there is an adapter. Nothing is written then.
    pub fn forward<'x, 'y>(
        &mut self,
        backend: Backend,
        x: impl Into<MatRef<'x>>,
        y: impl Into<MatMut<'y>>,
    ) -> Result<(), Error> {
        self.forward_views(backend, x.into(), y.into())
    }

    fn forward_views(&mut self, backend: Backend, x: MatRef<'_>, y: MatMut<'_>) -> Result<(), Error> {
        let given = Given { dy: Read::NOTHING, x: Read::of(&x), out: Written::of(y) };
        self.pass(backend, &FORWARD, x.rows(), given)
    }

    // Not inlined: one function for both.
    #[inline(never)]
    fn pass(
        &mut self,
        backend: Backend,
        pass: &'static Equations,
        tokens: usize,
        given: Given<'_>,
    ) -> Result<(), Error> {
        let (scale, accumulates) = (self.factor()?, self.accumulates && self.graded);
        if tokens > self.tokens() {
            return Err(Error::TooMany { argument: Argument::Tokens, at_most: self.tokens(), got: tokens });
        }
        let mode = &Mode::new(scale, self.shape().rank > 0, accumulates, self.dropping.is_some());
        let code = (self.base.weights.coded(), self.dropping.as_ref());
        self.batch = Some(run_pass(backend, &mut self.table, (tokens, mode), code, pass, given)?);
        Ok(())
    }

    /// Backward pass of the last [`forward`](Self::forward), as [`backward`](crate::backward): forms `dA`, `dB` and that of a trained
    /// bias, and `dX [n, in]` if it is wanted. `x [n, in]` is that of the forward pass, `dy [n, out]` the gradient of the loss.
    /// Where `A` is frozen, `x` is not read.
    ///
    /// # Errors
    /// [`Error::Rows`], [`Error::Cols`]; [`Error::NoForward`]; [`Error::Missing`] about [`Argument::Scale`] before there is an adapter;
    /// [`Error::ForInference`]; [`Error::OtherOptimizer`] where the plan is one without gradients, for
    /// [`step_in_place`](Self::step_in_place); [`Error::AbsentAdapter`]; [`Error::DeadAdapter`]. Nothing is written then.
    pub fn backward<'x, 'y>(
        &mut self,
        backend: Backend,
        x: impl Into<MatRef<'x>>,
        dy: impl Into<MatRef<'y>>,
        dx: Option<MatMut<'_>>,
    ) -> Result<(), Error> {
        self.backward_views(backend, x.into(), dy.into(), dx)
    }

    fn backward_views(
        &mut self,
        backend: Backend,
        x: MatRef<'_>,
        dy: MatRef<'_>,
        dx: Option<MatMut<'_>>,
    ) -> Result<(), Error> {
        let is_present = self.factor()? != 0.0 && self.shape().rank > 0;
        match self.optimizer {
            None => return Err(Error::ForInference),
            Some(Optimizer::InPlace) => {
                return Err(Error::OtherOptimizer { planned: Optimizer::InPlace, used: Optimizer::Sgd });
            }
            Some(_) => {}
        }
        let Batch { tokens, progress } = self.batch.ok_or(Error::NoForward)?;
        if progress == Progress::Absent && is_present {
            return Err(Error::AbsentAdapter);
        }
        let [a_and_b @ .., _] = &TRAINED;
        if is_present && a_and_b.iter().all(|(_, pair)| are_zero(self.table.param(pair))) {
            return Err(Error::DeadAdapter);
        }
        let x = if self.trained.a { Read::of(&x) } else { Read::NOTHING };
        let given = Given { dy: Read::of(&dy), x, out: dx.map_or(Written::NOTHING, Written::of) };
        self.pass(backend, &BACKWARD, tokens, given)?;
        self.graded = true;
        Ok(())
    }

    /// One step of an optimizer, from the gradients of the backward passes since the last one. With dropout, a backward pass behind it
    /// wants a forward pass behind it, too: the masks are others.
    ///
    /// # Errors
    /// [`Error::Range`] for a hyper-parameter, and about [`Argument::State`] for a clock that no training has; [`Error::OtherOptimizer`] when the memory was planned for one that needs less;
    /// [`Error::Missing`] about [`Argument::DB`] when no backward pass came since the last step; [`Error::NonFinite`] when a gradient is
    /// infinite or NaN; [`Error::ForInference`]. Nothing is written then.
    pub fn step(&mut self, backend: Backend, optimizer: &impl Optimize) -> Result<(), Error> {
        optimizer.check()?;
        let (planned, used) = (self.optimizer.ok_or(Error::ForInference)?, optimizer.optimizer());
        if planned == Optimizer::InPlace || planned.moments() < used.moments() {
            return Err(Error::OtherOptimizer { planned, used });
        }
        if !self.graded {
            return Err(Error::Missing { argument: Argument::DB });
        }
        for (argument, pair) in &TRAINED {
            if let Some(index) = first_non_finite_of(self.table.grad(pair)) {
                return Err(Error::NonFinite { argument: *argument, index });
            }
        }
        let (clock, (lr, lr_b)) = (optimizer.advance(self.clock), optimizer.rates());
        clock.check()?;
        if clock.steps == 1 {
            // In the first step they count as zero, whatever they hold.
            self.moments.fill(0.0);
        }
        let mut moments = &mut *self.moments;
        for (argument, pair) in &TRAINED {
            // A frozen parameter has no gradient and no moments, and is not touched.
            let Some((param, grad)) = self.table.pair(pair) else { continue };
            let mut next = |is_planned| moments.split_off_mut(..if is_planned { grad.len() } else { 0 });
            let (Some(first), Some(second)) = (next(planned.moments() > 0), next(planned.moments() > 1)) else {
                debug_assert!(false, "a plan has moments for every parameter");
                break;
            };
            let lr = if *argument == Argument::DB { lr_b } else { lr };
            optimizer.update(backend, (lr, &clock), grad, [param, first, second]);
        }
        (self.clock, self.graded) = (clock, false);
        self.next_masks();
        Ok(())
    }

    /// Backward pass and step in one, for a plan with [`Optimizer::InPlace`]: see [`InPlace::step`]. The arguments are those of
    /// [`backward`](Self::backward).
    ///
    /// # Errors
    /// As [`backward`](Self::backward) and [`InPlace::step`]; [`Error::OtherOptimizer`] for a plan with another optimizer.
    pub fn step_in_place<'x, 'y>(
        &mut self,
        backend: Backend,
        optimizer: &InPlace,
        x: impl Into<MatRef<'x>>,
        dy: impl Into<MatRef<'y>>,
        dx: Option<MatMut<'_>>,
    ) -> Result<(), Error> {
        let flow = Backprop { x: self.trained.a.then_some(x.into()), dy: dy.into(), dx };
        let (scale, shape) = (self.factor()?, self.shape());
        match self.optimizer {
            Some(Optimizer::InPlace) => {}
            Some(planned) => return Err(Error::OtherOptimizer { planned, used: Optimizer::InPlace }),
            None => return Err(Error::ForInference),
        }
        let (mut adapter, _, [hs, gs]) = parts(&mut self.table, scale);
        let mut saved = Saved::continued(hs, gs, shape, (self.batch, self.dropping));
        let done = optimizer.step(backend, &self.base, &mut adapter, flow, &mut saved);
        self.batch = saved.batch();
        if done.is_ok() {
            self.next_masks();
        }
        done
    }

    /// `W' = W + s·B·A` into `merged [out, in]`, as [`merge`](crate::merge).
    ///
    /// # Errors
    /// [`Error::Rows`], [`Error::Cols`]; [`Error::Missing`] about [`Argument::Scale`] before there is an adapter. Nothing is
    /// written then.
    pub fn merge<'y>(&self, backend: Backend, merged: impl Into<MatMut<'y>>) -> Result<(), Error> {
        self.merge_view(backend, &mut merged.into())
    }

    fn merge_view(&self, backend: Backend, merged: &mut MatMut<'_>) -> Result<(), Error> {
        let (scale, Shape { inputs, outputs, .. }) = (self.factor()?, self.shape());
        expect_shape(Argument::Merged, (merged.rows(), merged.cols()), (outputs, inputs))?;
        if let Some(coded) = self.base.weights.coded() {
            coded.copy((0, 0), merged);
        }
        let (start, b, a) = (self.base.weights.rows(), self.table.read(place::B), self.table.read(place::A));
        merge_rows(backend, start, (&b, &a, scale), merged);
        Ok(())
    }

    /// Dropout of the step that follows has other masks, also than a forward pass before it.
    const fn next_masks(&mut self) {
        if let Some(dropping) = &mut self.dropping {
            dropping.dropout.step = dropping.dropout.step.wrapping_add(1);
            self.batch = None;
        }
    }

    fn factor(&self) -> Result<f32, Error> {
        Ok(self.scale.ok_or(Error::Missing { argument: Argument::Scale })?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Plan, Sgd};

    const BIAS: [f32; 3] = [0.5; 3];

    #[test]
    fn its_adapter_has_its_shape_and_no_bias_but_its_own() {
        for (inputs, outputs, rank) in [(2, 3, 1), (0, 3, 2), (3, 1, 0), (0, 1, 0)] {
            let (shape, mut arena) = (Shape::new(inputs, outputs, rank), [0.0; 64]);
            for (bias, own) in [None, Some(&BIAS[..outputs])].into_iter().flat_map(|bias| [(bias, false), (bias, true)])
            {
                let base = Base::rows(MatRef::dense(&[0.5; 6][..outputs * inputs], outputs, inputs), bias);
                let plan = Plan::training(shape, 1, Optimizer::Sgd).with(Trained { a: true, bias: own });
                let mut layer = plan.layer(base, &mut arena[..plan.len()]).unwrap();
                assert_eq!(layer.scale(), None);
                layer.adopt(Scale::Alpha(2.0)).unwrap();
                assert_eq!(layer.scale(), Some(Scale::Alpha(2.0)));
                let adapter = layer.adapter().unwrap();
                assert_eq!((adapter.shape(), adapter.bias.is_some()), (shape, own));

                let (a, b) = (MatRef::dense(&[0.5; 6][..rank * inputs], rank, inputs), [0.5; 6]);
                let b = MatRef::dense(&b[..outputs * rank], outputs, rank);
                let lent = Adapter { a, b, bias: own.then(|| MatRef::from_row(&BIAS[..outputs])), scale: 1.0 };
                let plan = Plan::inference(shape, 1);
                let layer = plan.adapted(base, lent, &mut arena[..plan.len()]).unwrap();
                assert_eq!(layer.scale(), Some(Scale::Direct(1.0)));
                let adapter = layer.adapter().unwrap();
                assert_eq!((adapter.shape(), adapter.bias.is_some()), (shape, own));
            }
        }
    }

    #[test]
    fn an_absent_adapter_adds_nothing_to_gradients() {
        const PLAN: Plan = Plan::training(Shape::new(2, 3, 1), 1, Optimizer::Sgd);
        let (backend, mut arena, mut y) = (Backend::BASELINE, [0.0; PLAN.len()], [[0.0; 3]]);
        let mut layer = PLAN.layer(Base::rows(&[[1.0, 2.0]; 3], None), &mut arena).unwrap();
        layer.init(Scale::Direct(0.0), 1, 0).unwrap();
        layer.set_accumulation(true);
        for pass in 0..2 {
            layer.forward(backend, &[[1.0, 2.0]], &mut y).unwrap();
            layer.backward(backend, &[[1.0, 2.0]], &[[1.0; 3]], None).unwrap();
            let (_, grads) = layer.parts().unwrap();
            let mut a = grads.a.unwrap();
            assert_eq!(a.row(0), if pass == 0 { [0.0; 2] } else { [7.0; 2] });
            a.row_mut(0).fill(7.0);
        }
        layer.set_accumulation(false);
        layer.backward(backend, &[[1.0, 2.0]], &[[1.0; 3]], None).unwrap();
        assert_eq!(layer.parts().unwrap().1.a.unwrap().row(0), [0.0; 2]);
    }

    /// A backward pass has the masks of its forward pass, or there is none.
    #[test]
    fn a_step_with_dropout_ends_the_batch() {
        for optimizer in [Optimizer::Sgd, Optimizer::InPlace] {
            for p in [0.0, 0.5] {
                let plan = Plan::training(Shape::new(2, 3, 1), 1, optimizer);
                let (backend, mut arena, mut y) = (Backend::BASELINE, [0.0; 32], [[0.0; 3]]);
                let mut layer = plan.layer(Base::rows(&[[1.0, 2.0]; 3], None), &mut arena[..plan.len()]).unwrap();
                layer.init(Scale::Direct(1.0), 1, 0).unwrap();
                layer.set_dropout(Some(Dropout { probability: p, ..Dropout::default() })).unwrap();
                let (x, dy) = ([[1.0, 2.0]], [[1.0; 3]]);
                let backward = |layer: &mut Layer<'_>| match optimizer {
                    Optimizer::InPlace => layer.step_in_place(backend, &InPlace::DEFAULT, &x, &dy, None),
                    _ => layer.backward(backend, &x, &dy, None),
                };
                layer.forward(backend, &x, &mut y).unwrap();
                assert_eq!(backward(&mut layer), Ok(()));
                if optimizer == Optimizer::Sgd {
                    assert_eq!(backward(&mut layer), Ok(()));
                    layer.forward(backend, &x, &mut y).unwrap();
                    layer.step(backend, &Sgd::DEFAULT).unwrap();
                }
                // In place, the parameters of the forward pass are gone in any case.
                let goes_on = p == 0.0 && optimizer == Optimizer::Sgd;
                let expected = if goes_on { Ok(()) } else { Err(Error::NoForward) };
                assert_eq!(backward(&mut layer), expected, "{optimizer:?} {p}");
            }
        }
    }

    /// The smallest products round to -0 where they are fused, and a kept +0 on top would be +0.
    #[test]
    fn dropout_of_rank_0_changes_nothing() {
        const PLAN: Plan = Plan::training(Shape::new(16, 1, 0), 1, Optimizer::Sgd);
        for backend in Backend::available() {
            let mut bits = [[0; 16]; 2];
            for (p, bits) in [0.0, 0.5].into_iter().zip(&mut bits) {
                let (mut arena, mut y, mut dx) = ([0.0; PLAN.len()], [[0.0; 1]], [[7.0; 16]]);
                let mut layer = PLAN.layer(Base::rows(&[[1e-30; 16]], None), &mut arena).unwrap();
                layer.adopt(Scale::Direct(1.0)).unwrap();
                layer.set_dropout(Some(Dropout { probability: p, ..Dropout::default() })).unwrap();
                layer.forward(backend, &[[1.0; 16]], &mut y).unwrap();
                layer.backward(backend, &[[1.0; 16]], &[[-1e-30]], Some((&mut dx).into())).unwrap();
                *bits = dx[0].map(f32::to_bits);
            }
            assert_eq!(bits[0], bits[1], "{backend:?}");
        }
    }
}
