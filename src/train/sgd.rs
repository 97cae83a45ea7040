//! Stochastic gradient descent with momentum, in the order of `torch.optim.SGD`.

use super::range::in_range;
use super::state::{Clock, State};
use super::update::{Optimize, Rule, Steps, step, update};
use crate::error::{Argument, Error};
use crate::lora::{AdapterMut, Grads};
use crate::optimizer::Optimizer;
use crate::simd::{Backend, Simd};

/// SGD with momentum, dampening, Nesterov's variant and weight decay, each of which may be left out.
///
/// Every operation is rounded on its own in both arithmetics:
///
/// ```text
/// d   = g + wd·p                       where wd is not 0
/// buf = d in the first step, else μ·buf + (1 - dampening)·d
/// d   = buf, or d + μ·buf (Nesterov)   where μ is not 0
/// p   = p - lr·d
/// ```
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Sgd {
    /// The learning rate is `lr`, which is at least 0.
    pub learning_rate: f32,
    /// `B` learns faster by this factor, which is at least 0. LoRA+ takes about 16.
    pub b_rate: f32,
    /// The momentum is `μ`, with `0 <= μ <= 1`. With 0 there is no state.
    pub momentum: f32,
    /// The dampening is at least 0 and at most 1.
    pub dampening: f32,
    /// This chooses Nesterov's variant, which wants momentum without dampening, as in PyTorch.
    pub nesterov: bool,
    /// The weight decay is `wd`, which is at least 0.
    pub weight_decay: f32,
}

impl Default for Sgd {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Sgd {
    /// The defaults are `learning_rate: 1e-3` without momentum and weight decay, as in `torch.optim.SGD`.
    pub const DEFAULT: Sgd =
        Sgd { learning_rate: 1e-3, b_rate: 1.0, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 };

    /// Makes a step of one layer: it reads the gradients, and changes the adapter and the state.
    ///
    /// # Errors
    /// As [`AdamW::step`](super::AdamW::step).
    pub fn step(
        &self,
        backend: Backend,
        adapter: &mut AdapterMut<'_>,
        grads: &Grads<'_>,
        state: &mut State<'_>,
    ) -> Result<(), Error> {
        step(self, backend, adapter, grads, state)
    }
}

impl Optimize for Sgd {}

impl Steps for Sgd {
    fn optimizer(&self) -> Optimizer {
        if self.momentum == 0.0 { Optimizer::Sgd } else { Optimizer::Momentum }
    }

    fn rates(&self) -> (f32, f32) {
        (self.learning_rate, self.learning_rate * self.b_rate)
    }

    fn check(&self) -> Result<(), Error> {
        in_range(Argument::LearningRate, self.learning_rate, f32::MAX)?;
        in_range(Argument::LearningRate, self.learning_rate * self.b_rate, f32::MAX)?;
        in_range(Argument::WeightDecay, self.weight_decay, f32::MAX)?;
        in_range(Argument::Momentum, self.momentum, 1.0)?;
        in_range(Argument::Dampening, self.dampening, if self.nesterov { 0.0 } else { 1.0 })?;
        if self.nesterov && self.momentum == 0.0 {
            let (at_least, at_most) = (f32::from_bits(1), 1.0);
            return Err(Error::Range { argument: Argument::Momentum, at_least, at_most, got: 0.0 });
        }
        Ok(())
    }

    fn advance(&self, clock: Clock) -> Clock {
        Clock { steps: clock.steps.saturating_add(1), ..clock }
    }

    // Not inlined: a loop over three matrices may be unrolled.
    #[inline(never)]
    fn update(&self, backend: Backend, (lr, clock): (f32, &Clock), grad: &[f32], changed: [&mut [f32]; 3]) {
        let plain = PlainRule { hyper: *self, learning_rate: lr };
        if self.momentum == 0.0 {
            update(backend, &plain, grad, changed);
        } else {
            update(backend, &MomentumRule { plain, first_step: clock.steps == 1 }, grad, changed);
        }
    }
}

#[derive(Copy, Clone)]
struct PlainRule {
    hyper: Sgd,
    learning_rate: f32,
}

impl PlainRule {
    #[inline(always)]
    fn direction<S: Simd>(&self, simd: S, p: S::V, g: S::V) -> S::V {
        if self.hyper.weight_decay == 0.0 {
            return g;
        }
        simd.add(g, simd.mul(simd.splat(self.hyper.weight_decay), p))
    }

    #[inline(always)]
    fn descend<S: Simd>(&self, simd: S, p: S::V, direction: S::V) -> S::V {
        simd.sub(p, simd.mul(simd.splat(self.learning_rate), direction))
    }
}

impl Rule for PlainRule {
    const MOMENTS: usize = 0;

    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, p: S::V, g: S::V, moments: [S::V; 2]) -> (S::V, [S::V; 2]) {
        (self.descend(simd, p, self.direction(simd, p, g)), moments)
    }
}

#[derive(Copy, Clone)]
struct MomentumRule {
    plain: PlainRule,
    first_step: bool,
}

impl Rule for MomentumRule {
    const MOMENTS: usize = 1;

    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, p: S::V, g: S::V, [buffer, rest]: [S::V; 2]) -> (S::V, [S::V; 2]) {
        let hyper = self.plain.hyper;
        let by = |x: f32, v: S::V| simd.mul(simd.splat(x), v);
        let direction = self.plain.direction(simd, p, g);
        let buffer = if self.first_step {
            direction
        } else {
            simd.add(by(hyper.momentum, buffer), by(1.0 - hyper.dampening, direction))
        };
        let direction = if hyper.nesterov { simd.add(direction, by(hyper.momentum, buffer)) } else { buffer };
        (self.plain.descend(simd, p, direction), [buffer, rest])
    }
}
