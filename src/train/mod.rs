//! Training: the layer, its optimizers, clipping, schedules, losses, initialisation, and the plan that says how much memory it takes.
//!
//! A [`Plan`] gives the length of one buffer, and opens a [`Layer`] on it. The layer is trained by [`AdamW`] or [`Sgd`], or by
//! [`InPlace`] without memory for gradients. [`Work`], [`Grads`](crate::Grads) and [`State`] are for programs that run pieces of a
//! layer on threads, or keep the parts of its memory apart.
//!
//! ```
//! use lowrank::train::{AdamW, Decay, Optimizer, Schedule, clip, softmax_cross_entropy};
//! use lowrank::{Backend, Base, Plan, Scale, Shape};
//!
//! const PLAN: Plan = Plan::training(Shape::new(2, 3, 1), 4, Optimizer::AdamW); // inputs, outputs, rank; tokens
//! static W: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
//!
//! let (backend, mut arena) = (Backend::BASELINE, [0.0; PLAN.len()]); // where the stack is small: a static, see `Plan`
//! let mut layer = PLAN.layer(Base::rows(&W, None), &mut arena)?;
//! layer.init(Scale::Alpha(2.0), 42, 0)?; // seed, layer number
//! let (x, mut y, mut dy) = ([[1.0, 2.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.0]], [[0.0; 3]; 4], [[0.0; 3]; 4]);
//! let schedule = Schedule { warmup: 2, total: 20, decay: Decay::Cosine };
//! let mut losses = [0.0; 20];
//! for (step, loss) in losses.iter_mut().enumerate() {
//!     layer.forward(backend, &x, &mut y)?;
//!     *loss = softmax_cross_entropy(&y, &[0, 1, 2, 0], &mut dy)?;
//!     layer.backward(backend, &x, &dy, None)?;
//!     let (_, mut grads) = layer.parts().unwrap();
//!     clip::global_norm(backend, &mut [&mut grads], 1.0)?;
//!     layer.step(backend, &AdamW { learning_rate: 0.1 * schedule.factor(step as u32), ..AdamW::DEFAULT })?;
//! }
//! assert!(losses[19] < losses[0]);
//! # Ok::<(), lowrank::Error>(())
//! ```

mod adamw;
pub mod clip;
mod in_place;
pub mod init;
mod layer;
mod loss;
mod open;
mod plan;
mod range;
mod rng;
mod schedule;
mod sgd;
mod standing;
mod state;
mod update;

pub use adamw::{AdamW, Beta};
pub use in_place::InPlace;
pub use layer::Layer;
pub use loss::{MeanLoss, mean_squared_error, softmax_cross_entropy};
pub use plan::{Plan, Work};
pub use rng::Rng;
pub use schedule::{Decay, Schedule};
pub use sgd::Sgd;
pub use standing::Standing;
pub use state::{Clock, Moments, State, Trained};
pub use update::Optimize;

pub use crate::optimizer::Optimizer;
