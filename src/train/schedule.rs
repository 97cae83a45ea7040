//! Learning-rate schedules: a factor for every step.

use crate::kernel::elementary::cos_pi;

/// How the rate falls after the warm-up.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Decay {
    /// It stays.
    #[default]
    Constant,
    /// In a straight line to 0 at the end.
    Linear,
    /// Along half a cosine to 0 at the end.
    Cosine,
}

/// Linear warm-up, then a decay to 0, which is where the rate stays.
///
/// These are the factors of `get_linear_schedule_with_warmup`, `get_cosine_schedule_with_warmup` and
/// `get_constant_schedule_with_warmup` in Hugging Face Transformers, except in two places, both of the cosine:
///
/// - Behind `total` that of Transformers rises again, and is back at 1 after as many steps. Here it stays 0, so that a run that
///   is longer than planned does not undo what it has learned.
/// - Where `total` is not above `warmup`, that of Transformers jumps between 1 and 0 from step to step. Here it is 0 from step
///   `warmup` on, as with the linear decay of both: no step is left for a decay.
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
    /// Steps over which the rate rises from 0.
    pub warmup: u32,
    /// Number of the step at which the rate has fallen to 0.
    pub total: u32,
    /// How it falls.
    pub decay: Decay,
}

impl Schedule {
    /// The factor on the learning rate in step `step`, counted from 0: between 0 and 1.
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
