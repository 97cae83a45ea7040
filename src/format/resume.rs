//! The way of a layer into an adapter file, and back.

use super::entry::{Entry, RandomState, Training, is_empty};
use super::tensor::Tensor;
use crate::error::{Argument, Error};
use crate::lora::parts;
use crate::train;
use crate::view::expect_shape;

impl train::Layer<'_> {
    /// Goes on with everything that an entry of an adapter file has: `A`, `B`, a bias, the scale, the moments and the clock of the
    /// optimizer, and dropout. Where the entry has no state of an optimizer, a training begins with its adapter. The gradients are zero.
    ///
    /// # Errors
    /// [`Error::ForInference`]; [`Error::Rows`], [`Error::Cols`] when the entry has another shape; [`Error::Missing`] when it has a bias
    /// that this layer does not train, or one of `B` ([`Argument::BBias`]); [`Error::Unexpected`] when this layer trains a bias and there
    /// is none; [`Error::OtherOptimizer`] when the state is that of an optimizer with other moments, and [`Error::Rows`] about
    /// [`Argument::State`] when other parameters were trained; [`Error::Range`], [`Error::TooMany`] for the dropout. Nothing is written then.
    ///
    /// ```
    /// use lowrank::train::{AdamW, Optimizer, softmax_cross_entropy};
    /// use lowrank::{AdapterFile, Backend, Base, Contents, Plan, Scale, Shape};
    ///
    /// const PLAN: Plan = Plan::training(Shape::new(2, 3, 1), 1, Optimizer::AdamW);
    /// static W: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
    /// let (backend, mut arena, mut later) = (Backend::BASELINE, [0.0; PLAN.len()], [0.0; PLAN.len()]);
    /// let mut layer = PLAN.layer(Base::rows(&W, None), &mut arena)?;
    /// layer.init(Scale::Alpha(2.0), 42, 0)?;
    /// # let (x, mut y, mut dy) = ([[1.0, 2.0]], [[0.0; 3]], [[0.0; 3]]);
    /// # layer.forward(backend, &x, &mut y)?;
    /// # softmax_cross_entropy(&y, &[1], &mut dy)?;
    /// # layer.backward(backend, &x, &dy, None)?;
    /// # layer.step(backend, &AdamW::DEFAULT)?;
    ///
    /// let mut flash = lowrank::format::Aligned([0; 512]);
    /// let file = Contents { entries: &[layer.entry("fc1")?], metadata: "", fingerprint: 0, generation: 1 };
    /// let len = file.emit(&mut flash.0)?;
    ///
    /// let mut resumed = PLAN.layer(Base::rows(&W, None), &mut later)?; // after a restart
    /// let file = AdapterFile::parse(&flash.0[..len])?;
    /// resumed.resume(&file.find("fc1").unwrap())?;
    /// assert_eq!((resumed.clock(), resumed.scale()), (layer.clock(), layer.scale()));
    /// assert_eq!(resumed.adapter()?.b.row(0), layer.adapter()?.b.row(0));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn resume(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        let (planned, _) = self.training().ok_or(Error::ForInference)?;
        let dropout = entry.random.dropout();
        if let Some(dropout) = &dropout {
            dropout.check()?;
        }
        if let Some(training) = &entry.training {
            if training.optimizer.moments() != planned.moments() {
                return Err(Error::OtherOptimizer { planned, used: training.optimizer });
            }
            let sizes = self.moments().map(|moment| (moment.rows(), moment.cols()));
            for (got, moment) in sizes.into_iter().zip(&training.moments) {
                let expected = (moment.rows(), moment.cols());
                if !(is_empty(got) && is_empty(expected)) {
                    expect_shape(Argument::State, got, expected)?;
                }
            }
        }
        self.begin(entry.scale, |table, factor| entry.load(&mut parts(table, factor).0))?;
        if let Some(training) = &entry.training {
            training.restore(&mut self.state_mut())?;
            self.set_clock(training.clock);
        }
        self.set_dropout(dropout)
    }

    /// Returns the entry of this layer for an adapter file, under a name. It has everything that [`resume`](Self::resume) takes: of
    /// dropout, that is all but the place of the first token in its batch.
    ///
    /// # Errors
    /// [`Error::Missing`] about [`Argument::Scale`] before there is an adapter.
    pub fn entry<'e>(&'e self, name: &'e str) -> Result<Entry<'e>, Error> {
        let adapter = self.adapter()?;
        let random = self.dropout().map_or(RandomState::default(), |dropout| RandomState {
            seed: dropout.seed,
            step: dropout.step,
            layer_number: dropout.layer_number,
            dropout: dropout.probability,
        });
        let training = self.training().map(|(optimizer, trained)| Training {
            optimizer,
            trained,
            clock: self.clock(),
            moments: self.moments().map(Tensor::from),
        });
        let entry = Entry::of(name, &adapter);
        Ok(Entry { scale: self.scale().unwrap_or(entry.scale), training, random, ..entry })
    }
}
