//! AdamW: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", 2019, in the order of `torch.optim.AdamW`.

use super::in_range;
use super::state::{Clock, State};
use super::update::{Rule, step};
use crate::error::{Argument, BELOW_ONE, Error};
use crate::lora::{AdapterMut, Grads};
use crate::optimizer::Optimizer;
use crate::simd::{Backend, Simd, sqrt};

/// AdamW with decoupled weight decay.
///
/// In step `t`, with `c1 = 1 - β1ᵗ` and `c2 = 1 - β2ᵗ` of the [`Clock`], every operation rounded on its own in both
/// arithmetics:
///
/// ```text
/// p = p · (1 - lr·wd)
/// m = β1·m + (1 - β1)·g
/// v = β2·v + ((1 - β2)·g)·g
/// p = p - ((lr/c1)·m) / ((√v)/(√c2) + eps)
/// ```
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate, at least 0.
    pub lr: f32,
    /// Factor on the learning rate for `B`, at least 0. LoRA+ takes about 16.
    pub b_rate: f32,
    /// `β1`, `0 <= β1 < 1`. In binary64, since it is `1 - β` that counts: it is rounded to binary32 once.
    pub beta1: f64,
    /// `β2`, `0 <= β2 < 1`.
    pub beta2: f64,
    /// Added to the denominator, above 0.
    pub eps: f32,
    /// Weight decay, at least 0.
    pub weight_decay: f32,
}

impl Default for AdamW {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl AdamW {
    /// The defaults of `torch.optim.AdamW`.
    pub const DEFAULT: AdamW = AdamW { lr: 1e-3, b_rate: 1.0, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-2 };

    /// One step for one layer. The gradients are read, the adapter and the state are changed.
    ///
    /// `A` (or the bias) is left alone where `grads` has no gradient for it. The parameters may be a piece of a layer's: see
    /// [`AdapterMut::split`].
    ///
    /// # Errors
    /// [`Error::Range`] for a hyper-parameter; [`Error::OtherOptimizer`] when the memory was planned for one that needs less;
    /// [`Error::Rows`], [`Error::Cols`]; [`Error::Missing`] when there is a gradient for a bias that the adapter does not have;
    /// [`Error::NonFinite`] when a gradient is infinite or NaN. Nothing is written then.
    pub fn step(
        &self,
        backend: Backend,
        adapter: &mut AdapterMut<'_>,
        grads: &Grads<'_>,
        state: &mut State<'_>,
    ) -> Result<(), Error> {
        self.check()?;
        let clock = self.advance(state.clock);
        let rates = (self.lr, self.lr * self.b_rate);
        let stepped = step(backend, |lr| self.rule(lr, &clock), rates, clock.steps == 1, adapter, grads, state);
        if stepped.is_ok() {
            state.clock = clock;
        }
        stepped
    }

    fn check(&self) -> Result<(), Error> {
        in_range(Argument::LearningRate, self.lr, f32::MAX)?;
        in_range(Argument::LearningRate, self.lr * self.b_rate, f32::MAX)?;
        in_range(Argument::WeightDecay, self.weight_decay, f32::MAX)?;
        in_range(Argument::Epsilon, self.eps, f32::MAX)?;
        if self.eps == 0.0 {
            let (at_least, at_most) = (f32::from_bits(1), f32::MAX);
            return Err(Error::Range { argument: Argument::Epsilon, at_least, at_most, got: 0.0 });
        }
        below_one(self.beta1)?;
        below_one(self.beta2)
    }

    /// The clock after one more step.
    pub(crate) fn advance(&self, clock: Clock) -> Clock {
        let complement = |beta: f64, old: f32| beta as f32 * old + (1.0 - beta) as f32;
        let (old1, old2) = if clock.steps == 0 { (0.0, 0.0) } else { (clock.weight1, clock.weight2) };
        Clock {
            steps: clock.steps.saturating_add(1),
            weight1: complement(self.beta1, old1),
            weight2: complement(self.beta2, old2),
        }
    }

    fn rule(&self, lr: f32, clock: &Clock) -> AdamWRule {
        AdamWRule {
            decay: 1.0 - lr * self.weight_decay,
            beta: [self.beta1 as f32, self.beta2 as f32],
            rest: [(1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32],
            rate: lr / clock.weight1,
            correction: sqrt(clock.weight2),
            eps: self.eps,
        }
    }
}

// Inlined where `β` is a constant, so that no arithmetic of binary64 is linked.
#[inline]
fn below_one(beta: f64) -> Result<(), Error> {
    if (0.0..1.0).contains(&beta) {
        return Ok(());
    }
    Err(Error::Range { argument: Argument::Momentum, at_least: 0.0, at_most: BELOW_ONE, got: beta as f32 })
}

#[derive(Copy, Clone)]
struct AdamWRule {
    decay: f32,
    beta: [f32; 2],
    rest: [f32; 2],
    rate: f32,
    correction: f32,
    eps: f32,
}

impl Rule for AdamWRule {
    const OPTIMIZER: Optimizer = Optimizer::AdamW;

    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, p: S::V, g: S::V, [m, v]: [S::V; 2]) -> (S::V, [S::V; 2]) {
        let by = |x: f32, v: S::V| simd.mul(simd.splat(x), v);
        let p = by(self.decay, p);
        let m = simd.add(by(self.beta[0], m), by(self.rest[0], g));
        let v = simd.add(by(self.beta[1], v), simd.mul(by(self.rest[1], g), g));
        let root = simd.div(simd.sqrt(v), simd.splat(self.correction));
        let update = simd.div(by(self.rate, m), simd.add(root, simd.splat(self.eps)));
        (simd.sub(p, update), [m, v])
    }
}
