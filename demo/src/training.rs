//! The adaptation, step by step, so that whoever calls can show how it goes.

use lowrank::arena::Cutter;
use lowrank::train::{AdamW, InPlace, MeanLoss, Optimizer, Rng, Sgd, Work, clip, init};
use lowrank::{Accum, Adapter, Argument, Backprop, Base, Scale};

use crate::activations::{Activations, rows, rows_mut};
use crate::network::relu_gradient;
use crate::{
    CLASSES, Config, Digest, Digit, Error, HIDDEN, INPUTS, Layers, Network, Score, TRAINING_IMAGES, Turns,
    training_images,
};

/// The stream of random numbers that puts the images into order: far from those of the layers.
const ORDER_STREAM: u32 = u32::MAX;

/// What a step did.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Number of the step, from 1.
    pub step: u32,
    /// Number of the epoch, from 1.
    pub epoch: u32,
    /// Mean loss of the batch, before the step.
    pub loss: f32,
}

/// A network that is being adapted to rotated digits.
#[derive(Debug)]
pub struct Training<'m> {
    config: Config,
    network: Network<'m>,
    work: Layers<Work<'m>>,
    activations: Activations<'m>,
    order: &'m mut [u16; TRAINING_IMAGES],
    steps: u32,
    losses: Digest,
}

impl<'m> Training<'m> {
    /// Before the first step: the adapters are there and have no effect yet.
    ///
    /// `arena` has exactly [`Config::arena_len`] elements. What is in the buffers does not matter.
    ///
    /// # Errors
    /// As [`Config::check`]; [`lowrank::Error::Length`] for the arena.
    pub fn new(
        config: Config,
        network: Network<'m>,
        arena: &'m mut [f32],
        order: &'m mut [u16; TRAINING_IMAGES],
    ) -> Result<Self, Error> {
        config.check()?;
        let (expected, got) = (config.arena_len(), arena.len());
        if got != expected {
            return Err(lowrank::Error::Length { argument: Argument::Arena, expected, got }.into());
        }
        let plans = config.plans();
        let mut arena = Cutter::new(arena);
        let mut work = Layers {
            hidden: plans.hidden.split(arena.slice(plans.hidden.len())?)?,
            output: plans.output.split(arena.slice(plans.output.len())?)?,
        };
        for (layer, work) in [&mut work.hidden, &mut work.output].into_iter().enumerate() {
            work.adapter.scale = Scale::Alpha(config.alpha).factor(config.rank);
            init::kaiming_uniform(&mut work.adapter, config.seed, layer as u32)?;
        }
        let activations = Activations::cut(&mut arena, config.micro_batch)?;
        Ok(Self { config, network, work, activations, order, steps: 0, losses: Digest::EMPTY })
    }

    /// One step on the next batch; `None` when all are done.
    ///
    /// # Errors
    /// [`lowrank::Error::NonFinite`] when the training has blown up, for example by too large a learning rate.
    pub fn step(&mut self) -> Result<Option<StepReport>, Error> {
        let (batch, per_epoch) = (self.config.batch, self.config.steps_per_epoch());
        let (Some(epoch), Some(step)) = (self.steps.checked_div(per_epoch), self.steps.checked_rem(per_epoch)) else {
            return Ok(None);
        };
        if epoch >= self.config.epochs {
            return Ok(None);
        }
        if step == 0 {
            self.shuffle(epoch);
        }
        let mut loss = MeanLoss::over(batch);
        let mut done = 0;
        while done < batch {
            let (first, images) = (step as usize * batch + done, self.config.micro_batch.min(batch - done));
            let accum = if done == 0 { Accum::Replace } else { Accum::Add };
            self.load(first, images);
            self.forward(images)?;
            self.loss(first, images, &mut loss)?;
            self.backward(images, accum)?;
            done += images;
        }
        self.update()?;
        self.steps += 1;
        self.losses = self.losses.with(loss.value());
        Ok(Some(StepReport { step: self.steps, epoch: epoch + 1, loss: loss.value() }))
    }

    /// The score of the network with its adapters as they are now.
    ///
    /// # Errors
    /// [`lowrank::Error`] when a layer of the network has another shape than 64-48-10.
    pub fn score(&mut self, turns: Turns) -> Result<Score, Error> {
        Score::count(|image, logits| {
            self.activations.load(&[image], turns);
            self.forward(1)?;
            self.activations.copy_logits(logits);
            Ok(())
        })
    }

    /// The adapters as they are now.
    pub fn adapters(&self) -> Layers<Adapter<'_>> {
        Layers { hidden: self.work.hidden.adapter.as_ref(), output: self.work.output.adapter.as_ref() }
    }

    /// The network that is being adapted.
    pub const fn network(&self) -> &Network<'m> {
        &self.network
    }

    /// Of the loss of every step so far, and of `A` and `B` of both layers: equal only where the whole training had the
    /// same bits.
    pub fn digest(&self) -> Digest {
        let Layers { hidden, output } = self.adapters();
        [hidden.a, hidden.b, output.a, output.b].into_iter().fold(self.losses, |digest, matrix| {
            (0..matrix.rows()).fold(digest, |digest, row| digest.with_all(matrix.row(row)))
        })
    }

    /// Puts the images into the order of an epoch, which depends on nothing but seed and epoch.
    fn shuffle(&mut self, epoch: u32) {
        self.order.iter_mut().zip(training_images()).for_each(|(to, image)| *to = image);
        Rng { seed: self.config.seed, stream: ORDER_STREAM, step: epoch }.shuffle(self.order.as_mut_slice());
    }

    fn load(&mut self, first: usize, images: usize) {
        let part = self.order.get(first..first + images).unwrap_or(&[]);
        self.activations.load(part, Turns::QUARTER);
    }

    fn forward(&mut self, images: usize) -> Result<(), Error> {
        let Layers { hidden, output } = &mut self.work;
        let adapters = Layers { hidden: hidden.adapter.as_ref(), output: output.adapter.as_ref() };
        let saved = Layers { hidden: &mut hidden.saved, output: &mut output.saved };
        self.network.forward(self.config.backend, &adapters, images, &mut self.activations, saved)
    }

    /// The loss of a micro-batch and its gradient, image by image: the labels stay where they are.
    fn loss(&mut self, first: usize, images: usize, loss: &mut MeanLoss) -> Result<(), Error> {
        let Activations { logits, d_logits, .. } = &mut self.activations;
        let part = self.order.get(first..first + images).unwrap_or(&[]);
        let logits = logits.chunks_exact(CLASSES).zip(d_logits.chunks_exact_mut(CLASSES));
        for (&image, (logits, d_logits)) in part.iter().zip(logits) {
            if let Some(digit) = Digit::get(usize::from(image)) {
                let (logits, d_logits) = (rows(logits, 1, CLASSES)?, rows_mut(d_logits, 1, CLASSES)?);
                loss.softmax_cross_entropy(logits, &[digit.label()], d_logits)?;
            }
        }
        Ok(())
    }

    fn backward(&mut self, images: usize, accum: Accum) -> Result<(), Error> {
        let Activations { x, hidden, d_logits, d_hidden, .. } = &mut self.activations;
        let (config, network, work) = (&self.config, &self.network, &mut self.work);
        let output = Backprop {
            x: Some(rows(hidden, images, HIDDEN)?),
            dy: rows(d_logits, images, CLASSES)?,
            dx: Some(rows_mut(d_hidden, images, HIDDEN)?),
        };
        layer_backward(config, &network.output, &mut work.output, output, accum)?;
        relu_gradient(hidden, d_hidden);
        let hidden = Backprop { x: Some(rows(x, images, INPUTS)?), dy: rows(d_hidden, images, HIDDEN)?, dx: None };
        layer_backward(config, &network.hidden, &mut work.hidden, hidden, accum)
    }

    /// The step of the optimizer, once the gradients of the whole batch are there.
    fn update(&mut self) -> Result<(), Error> {
        let Config { backend, optimizer, learning_rate, max_norm, .. } = self.config;
        let Layers { hidden, output } = &mut self.work;
        if optimizer == Optimizer::InPlace {
            return Ok(());
        }
        if let Some(max_norm) = max_norm {
            clip::global_norm(backend, &mut [&mut hidden.grads, &mut output.grads], max_norm)?;
        }
        for Work { adapter, grads, state, .. } in [hidden, output] {
            match optimizer {
                Optimizer::AdamW => AdamW { learning_rate, ..AdamW::DEFAULT }.step(backend, adapter, grads, state)?,
                Optimizer::Momentum => {
                    Sgd { learning_rate, momentum: 0.9, ..Sgd::DEFAULT }.step(backend, adapter, grads, state)?;
                }
                _ => Sgd { learning_rate, ..Sgd::DEFAULT }.step(backend, adapter, grads, state)?,
            }
        }
        Ok(())
    }
}

/// The gradients of a layer; training in place also takes its step.
fn layer_backward(
    config: &Config,
    base: &Base<'_>,
    work: &mut Work<'_>,
    flow: Backprop<'_>,
    accum: Accum,
) -> Result<(), Error> {
    let Work { adapter, grads, saved, .. } = work;
    if config.optimizer == Optimizer::InPlace {
        let in_place = InPlace { learning_rate: config.learning_rate, max_norm: config.max_norm, ..InPlace::DEFAULT };
        in_place.step(config.backend, base, adapter, flow, saved)?;
    } else {
        grads.accum = accum;
        lowrank::backward(config.backend, base, &adapter.as_ref(), flow, saved, grads)?;
    }
    Ok(())
}
