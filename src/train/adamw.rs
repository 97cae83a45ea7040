//! AdamW: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", 2019, in the order of `torch.optim.AdamW`.

use super::range::in_range;
use super::state::{Clock, State};
use super::update::{Optimize, Rule, Steps, step, update};
use crate::error::{Argument, BELOW_ONE, Error};
use crate::lora::{AdapterMut, Grads};
use crate::optimizer::Optimizer;
use crate::simd::{Backend, Simd, sqrt};

/// AdamW with decoupled weight decay.
///
/// Step `t` computes, with `c1 = 1 - β1ᵗ` and `c2 = 1 - β2ᵗ` of the [`Clock`]. Every operation is rounded on its own in both
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
    /// The learning rate is `lr`, which is at least 0.
    pub learning_rate: f32,
    /// `B` learns faster by this factor, which is at least 0. LoRA+ takes about 16.
    pub b_rate: f32,
    /// `β1` is the moment factor of the mean of the gradients.
    pub beta1: Beta,
    /// `β2` is the moment factor of the mean of their squares.
    pub beta2: Beta,
    /// Epsilon is `eps`, which is added to the denominator, and is above 0.
    pub epsilon: f32,
    /// The weight decay is `wd`, which is at least 0.
    pub weight_decay: f32,
}

/// A moment factor `β`, with `0 <= β < 1`. It is given in binary64, because the result depends on `1 - β`. Both `β` and `1 - β` are
/// rounded to binary32 once. Where `β` is a constant the compiler rounds them, and no arithmetic of binary64 is linked.
///
/// ```
/// use lowrank::train::{AdamW, Beta};
/// const ADAMW: AdamW = AdamW { beta2: Beta::new(0.98), ..AdamW::DEFAULT };
/// ```
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Beta {
    value: f32,
    /// This is `1 - β`, and NaN where `β` is out of its range.
    rest: f32,
}

impl Beta {
    /// Makes a factor. A step refuses a factor that is out of its range.
    pub const fn new(beta: f64) -> Self {
        let is_factor = beta >= 0.0 && beta < 1.0;
        Self { value: beta as f32, rest: if is_factor { (1.0 - beta) as f32 } else { f32::NAN } }
    }

    /// Returns `β` in binary32.
    pub const fn value(self) -> f32 {
        self.value
    }

    /// Returns `1 - β` in binary32, and NaN where `β` is out of its range.
    pub const fn rest(self) -> f32 {
        self.rest
    }

    fn check(self, argument: Argument) -> Result<(), Error> {
        if !self.rest.is_nan() {
            return Ok(());
        }
        Err(Error::Range { argument, at_least: 0.0, at_most: BELOW_ONE, got: self.value })
    }
}

impl Default for AdamW {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl AdamW {
    /// These are `β1` and `β2` of [`AdamW::DEFAULT`].
    pub const BETAS: [f64; 2] = [0.9, 0.999];

    /// These are the defaults of `torch.optim.AdamW`.
    pub const DEFAULT: AdamW = AdamW {
        learning_rate: 1e-3,
        b_rate: 1.0,
        beta1: Beta::new(Self::BETAS[0]),
        beta2: Beta::new(Self::BETAS[1]),
        epsilon: 1e-8,
        weight_decay: 1e-2,
    };

    /// Makes a step of one layer: it reads the gradients, and changes the adapter and the state.
    ///
    /// The step leaves `A` or the bias alone where `grads` has no gradient for it. The parameters may be a piece of those of a layer:
    /// see [`AdapterMut::split`].
    ///
    /// # Errors
    /// [`Error::Range`] for a hyper-parameter, and about [`Argument::State`] for a clock that no training has; [`Error::OtherOptimizer`]
    /// when the memory was planned for one that needs less;
    /// [`Error::Rows`], [`Error::Cols`]; [`Error::Missing`] when there is a gradient for a bias that the adapter does not have;
    /// [`Error::NonFinite`] when a gradient is infinite or NaN. Nothing is written then.
    pub fn step(
        &self,
        backend: Backend,
        adapter: &mut AdapterMut<'_>,
        grads: &Grads<'_>,
        state: &mut State<'_>,
    ) -> Result<(), Error> {
        step(self, backend, adapter, grads, state)
    }

    fn rule(&self, lr: f32, clock: &Clock) -> AdamWRule {
        AdamWRule {
            decay: 1.0 - lr * self.weight_decay,
            beta: [self.beta1.value, self.beta2.value],
            rest: [self.beta1.rest, self.beta2.rest],
            rate: lr / clock.weight1,
            correction: sqrt(clock.weight2),
            epsilon: self.epsilon,
        }
    }
}

impl Optimize for AdamW {}

impl Steps for AdamW {
    fn optimizer(&self) -> Optimizer {
        Optimizer::AdamW
    }

    fn rates(&self) -> (f32, f32) {
        (self.learning_rate, self.learning_rate * self.b_rate)
    }

    fn check(&self) -> Result<(), Error> {
        in_range(Argument::LearningRate, self.learning_rate, f32::MAX)?;
        in_range(Argument::LearningRate, self.learning_rate * self.b_rate, f32::MAX)?;
        in_range(Argument::WeightDecay, self.weight_decay, f32::MAX)?;
        in_range(Argument::Epsilon, self.epsilon, f32::MAX)?;
        if self.epsilon == 0.0 {
            let (at_least, at_most) = (f32::from_bits(1), f32::MAX);
            return Err(Error::Range { argument: Argument::Epsilon, at_least, at_most, got: 0.0 });
        }
        self.beta1.check(Argument::Beta1)?;
        self.beta2.check(Argument::Beta2)
    }

    fn advance(&self, clock: Clock) -> Clock {
        let complement = |beta: Beta, old: f32| beta.value * old + beta.rest;
        let (old1, old2) = if clock.steps == 0 { (0.0, 0.0) } else { (clock.weight1, clock.weight2) };
        Clock {
            steps: clock.steps.saturating_add(1),
            weight1: complement(self.beta1, old1),
            weight2: complement(self.beta2, old2),
        }
    }

    // Not inlined: a loop over three matrices may be unrolled.
    #[inline(never)]
    fn update(&self, backend: Backend, (lr, clock): (f32, &Clock), grad: &[f32], changed: [&mut [f32]; 3]) {
        update(backend, &self.rule(lr, clock), grad, changed);
    }
}

#[derive(Copy, Clone)]
struct AdamWRule {
    decay: f32,
    beta: [f32; 2],
    rest: [f32; 2],
    rate: f32,
    correction: f32,
    epsilon: f32,
}

impl Rule for AdamWRule {
    const MOMENTS: usize = 2;

    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, p: S::V, g: S::V, [m, v]: [S::V; 2]) -> (S::V, [S::V; 2]) {
        let by = |x: f32, v: S::V| simd.mul(simd.splat(x), v);
        let p = by(self.decay, p);
        let m = simd.add(by(self.beta[0], m), by(self.rest[0], g));
        let v = simd.add(by(self.beta[1], v), simd.mul(by(self.rest[1], g), g));
        let root = simd.div(simd.sqrt(v), simd.splat(self.correction));
        let update = simd.div(by(self.rate, m), simd.add(root, simd.splat(self.epsilon)));
        (simd.sub(p, update), [m, v])
    }
}
