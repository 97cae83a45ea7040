//! Stochastic gradient descent with momentum, in the order of `torch.optim.SGD`.

use super::in_range;
use super::state::State;
use super::update::{Rule, step};
use crate::error::{Argument, Error};
use crate::lora::{AdapterMut, Grads};
use crate::optimizer::Optimizer;
use crate::simd::{Backend, Simd};

/// SGD, with momentum, dampening, Nesterov's variant and weight decay if wanted.
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
    /// Learning rate, at least 0.
    pub lr: f32,
    /// Factor on the learning rate for `B`, at least 0. LoRA+ takes about 16.
    pub b_rate: f32,
    /// `μ`, `0 <= μ <= 1`. With 0 there is no state.
    pub momentum: f32,
    /// `0 <= dampening <= 1`.
    pub dampening: f32,
    /// Nesterov's variant. As in torch, it wants momentum without dampening.
    pub nesterov: bool,
    /// Weight decay, at least 0.
    pub weight_decay: f32,
}

impl Default for Sgd {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Sgd {
    /// No momentum, no weight decay, `lr = 1e-3`, as `torch.optim.SGD`.
    pub const DEFAULT: Sgd =
        Sgd { lr: 1e-3, b_rate: 1.0, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 };

    /// One step for one layer. The gradients are read, the adapter and the state are changed.
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
        self.check()?;
        let first_step = state.clock.steps == 0;
        let rates = (self.lr, self.lr * self.b_rate);
        let hyper = *self;
        // The first step clears moments that it does not need, too: a later one with momentum finds none yet.
        if self.momentum == 0.0 {
            step(backend, |lr| PlainRule { hyper, lr }, rates, first_step, adapter, grads, state)?;
        } else {
            let rule = |lr| MomentumRule { plain: PlainRule { hyper, lr }, first_step };
            step(backend, rule, rates, first_step, adapter, grads, state)?;
        }
        state.clock.steps = state.clock.steps.saturating_add(1);
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        in_range(Argument::LearningRate, self.lr, f32::MAX)?;
        in_range(Argument::LearningRate, self.lr * self.b_rate, f32::MAX)?;
        in_range(Argument::WeightDecay, self.weight_decay, f32::MAX)?;
        in_range(Argument::Momentum, self.momentum, 1.0)?;
        in_range(Argument::Momentum, self.dampening, if self.nesterov { 0.0 } else { 1.0 })?;
        if self.nesterov && self.momentum == 0.0 {
            let (at_least, at_most) = (f32::from_bits(1), 1.0);
            return Err(Error::Range { argument: Argument::Momentum, at_least, at_most, got: 0.0 });
        }
        Ok(())
    }
}

#[derive(Copy, Clone)]
struct PlainRule {
    hyper: Sgd,
    lr: f32,
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
        simd.sub(p, simd.mul(simd.splat(self.lr), direction))
    }
}

impl Rule for PlainRule {
    const OPTIMIZER: Optimizer = Optimizer::Sgd;

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
    const OPTIMIZER: Optimizer = Optimizer::Momentum;

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
