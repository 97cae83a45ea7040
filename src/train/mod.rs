//! Training: optimizers, clipping, schedules, losses, initialisation, and the plan that says how much memory it takes.
//!
//! ```
//! use lowrank::train::{AdamW, MeanLoss, Optimizer, Plan, init};
//! use lowrank::{Backend, Backprop, Base, MatMut, MatRef, Shape, backward, forward};
//!
//! const SHAPE: Shape = Shape::new(2, 3, 1); // inputs, outputs, rank
//! const PLAN: Plan = Plan::training(SHAPE, 4, Optimizer::AdamW); // up to 4 tokens at a time
//! let mut arena = [0.0; PLAN.len()]; // here for short; where the stack is small: a static, see `Plan`
//!
//! let backend = Backend::BASELINE;
//! let base = Base { weights: MatRef::new(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 3, 2)?.into(), bias: None };
//! let x = MatRef::new(&[1.0, 2.0, 2.0, 1.0, 0.0, 1.0, 1.0, 0.0], 4, 2)?;
//! let mut work = PLAN.split(&mut arena)?;
//! work.adapter.scale = 2.0;
//! init::kaiming_uniform(&mut work.adapter, 42, 0)?;
//! let adamw = AdamW { lr: 0.05, ..AdamW::DEFAULT };
//! let (mut y, mut dy) = ([[0.0; 3]; 4], [[0.0; 3]; 4]);
//! let mut values = [0.0; 20];
//! for value in &mut values {
//!     forward(backend, &base, &work.adapter.as_ref(), x, MatMut::from_rows(&mut y), &mut work.saved)?;
//!     let mut loss = MeanLoss::over(4);
//!     loss.softmax_cross_entropy(MatRef::from_rows(&y), &[0, 1, 2, 0], MatMut::from_rows(&mut dy))?;
//!     *value = loss.value();
//!     let flow = Backprop { x: Some(x), dy: MatRef::from_rows(&dy), dx: None };
//!     backward(backend, &base, &work.adapter.as_ref(), flow, &mut work.saved, &mut work.grads)?;
//!     adamw.step(backend, &mut work.adapter, &work.grads, &mut work.state)?;
//! }
//! assert!(values[19] < values[0]);
//! # Ok::<(), lowrank::Error>(())
//! ```

mod adamw;
pub mod clip;
mod in_place;
pub mod init;
mod loss;
mod plan;
mod rng;
mod schedule;
mod sgd;
mod state;
mod update;

pub use adamw::AdamW;
pub use in_place::InPlace;
pub use loss::MeanLoss;
pub use plan::{Plan, Work};
pub use rng::Rng;
pub use schedule::{Decay, Schedule};
pub use sgd::Sgd;
pub use state::{Clock, Moments, State, Trained};

pub use crate::optimizer::Optimizer;

use crate::error::{Argument, Error};

/// Checks that a hyper-parameter is at least 0 and below, or at most, its bound.
const fn in_range(argument: Argument, got: f32, at_most: f32) -> Result<(), Error> {
    // Written so that NaN fails.
    if got >= 0.0 && got <= at_most && got.is_finite() {
        Ok(())
    } else {
        Err(Error::Range { argument, at_least: 0.0, at_most, got })
    }
}
