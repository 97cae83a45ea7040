//! Learning-rate schedules: a factor for every step.

use crate::kernel::elementary::cos_pi;

/// How the rate falls after the warm-up.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Decay {
    /// The rate stays.
    #[default]
    Constant,
    /// The rate falls in a straight line to 0 at the end.
    Linear,
    /// The rate falls along half a cosine to 0 at the end.
    Cosine,
}

/// A linear warm-up, then a decay to 0, where the rate stays.
///
/// These are the factors of `get_linear_schedule_with_warmup`, `get_cosine_schedule_with_warmup` and
/// `get_constant_schedule_with_warmup` in Hugging Face Transformers, except in two places, both of the cosine:
///
/// - Behind `total` the factor of Transformers rises again, and is back at 1 after as many steps. Here it stays 0, so that a run that
///   is longer than planned does not undo its training.
/// - Where `total` is not above `warmup`, the factor of Transformers jumps between 1 and 0 from step to step. Here it is 0 from step
///   `warmup` on, as with the linear decay of both, because no step is left for a decay.
///
/// The default is a factor of 1 in every step.
///
/// ```
/// use lowrank::train::{Decay, Schedule};
/// let schedule = Schedule { warmup: 10, total: 110, decay: Decay::Cosine };
/// assert_eq!([0, 5, 10, 60, 110].map(|step| schedule.factor(step)), [0.0, 0.5, 1.0, 0.5, 0.0]);
/// ```
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// The rate rises from 0 over so many steps.
    pub warmup: u32,
    /// The rate has fallen to 0 at the step of this number.
    pub total: u32,
    /// The rate falls in this way.
    pub decay: Decay,
}

impl Schedule {
    /// Returns the factor on the learning rate in step `step`, counted from 0. It lies between 0 and 1.
    pub fn factor(&self, step: u32) -> f32 {
        if step < self.warmup {
            return step as f32 / self.warmup as f32;
        }
        if self.decay == Decay::Constant {
            return 1.0;
        }
        let (done, all) = (step - self.warmup, self.total.saturating_sub(self.warmup));
        if done >= all {
            return 0.0;
        }
        match self.decay {
            Decay::Cosine => 0.5 * (1.0 + cos_pi(done as f32 / all as f32)),
            _ => (all - done) as f32 / all as f32,
        }
    }
}
