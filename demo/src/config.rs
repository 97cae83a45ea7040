//! How to adapt, and what memory that takes.

use lowrank::train::{Optimizer, Plan};
use lowrank::{Backend, Shape};

use crate::activations::Activations;
use crate::{CLASSES, Error, HIDDEN, INPUTS, Layers, TRAINING_IMAGES};

/// Settings of an adaptation. The defaults of [`Config::new`] reach at least 84 % on rotated test images with any of the
/// seeds 0 to 9.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Config {
    /// Instruction set and arithmetic.
    pub backend: Backend,
    /// How gradients become steps.
    pub optimizer: Optimizer,
    /// The same for both layers and in every step.
    pub learning_rate: f32,
    /// Clips the norm of the gradient: of both layers together, or layer by layer when training in place.
    pub max_norm: Option<f32>,
    /// Rank of both adapters.
    pub rank: usize,
    /// The scale of both adapters is `alpha/rank`.
    pub alpha: f32,
    /// Times that every training image is seen.
    pub epochs: u32,
    /// Images per step. What is left over of an epoch waits for the next one.
    pub batch: usize,
    /// Images in memory at a time. The results do not depend on it, to the last bit; the memory does.
    pub micro_batch: usize,
    /// Of the initial adapter and of the order of the images.
    pub seed: u64,
}

impl Config {
    /// Defaults for an optimizer: rank 4, alpha 8, batches of 32, seed 0.
    pub const fn new(backend: Backend, optimizer: Optimizer) -> Self {
        let (learning_rate, epochs, max_norm) = match optimizer {
            Optimizer::AdamW => (0.02, 10, None),
            Optimizer::Momentum => (0.02, 12, Some(1.0)),
            Optimizer::Sgd => (0.2, 12, Some(1.0)),
            Optimizer::InPlace => (0.1, 12, Some(1.0)),
        };
        let (rank, alpha, batch, micro_batch, seed) = (4, 8.0, 32, 32, 0);
        Self { backend, optimizer, learning_rate, max_norm, rank, alpha, epochs, batch, micro_batch, seed }
    }

    /// Sizes of both layers.
    pub const fn shapes(&self) -> Layers<Shape> {
        Layers { hidden: Shape::new(INPUTS, HIDDEN, self.rank), output: Shape::new(HIDDEN, CLASSES, self.rank) }
    }

    /// Memory for adapter, gradients and optimizer of both layers.
    pub const fn plans(&self) -> Layers<Plan> {
        let Layers { hidden, output } = self.shapes();
        Layers {
            hidden: Plan::training(hidden, self.micro_batch, self.optimizer),
            output: Plan::training(output, self.micro_batch, self.optimizer),
        }
    }

    /// Elements for the images of a micro-batch on their way through the network and back.
    pub const fn activations_len(&self) -> usize {
        Activations::len(self.micro_batch)
    }

    /// Elements that [`Training::new`](crate::Training::new) needs: a constant where the settings are.
    pub const fn arena_len(&self) -> usize {
        let Layers { hidden, output } = self.plans();
        hidden.len().saturating_add(output.len()).saturating_add(self.activations_len())
    }

    /// Steps in an epoch.
    pub const fn steps_per_epoch(&self) -> u32 {
        match TRAINING_IMAGES.checked_div(self.batch) {
            Some(steps) => steps as u32,
            None => 0,
        }
    }

    /// Steps of the whole training.
    pub const fn steps(&self) -> u32 {
        self.steps_per_epoch().saturating_mul(self.epochs)
    }

    /// # Errors
    /// [`Error::Setting`] for a rank that is not 1 to 64, for a batch that is empty or larger than the training set, or for
    /// a micro-batch that is empty or larger than the batch; [`Error::SplitInPlace`].
    pub fn check(&self) -> Result<(), Error> {
        let range = |name, got, at_most| {
            if (1..=at_most).contains(&got) { Ok(()) } else { Err(Error::Setting { name, at_least: 1, at_most, got }) }
        };
        range("rank", self.rank, INPUTS)?;
        range("batch", self.batch, TRAINING_IMAGES)?;
        range("micro_batch", self.micro_batch, self.batch)?;
        if self.optimizer == Optimizer::InPlace && self.micro_batch != self.batch {
            return Err(Error::SplitInPlace { batch: self.batch, micro_batch: self.micro_batch });
        }
        Ok(())
    }
}
