//! The one scenario that host, firmware and browser run.
//!
//! A network 64-48-10 that reads upright handwritten digits meets a user whose images arrive turned by 90 degrees. Its
//! weights stay frozen, in flash if there is one; an adapter of rank 4 on both layers learns the difference, on the spot.
//!
//! ```text
//! logits = W2·relu(W1·x + b1) + b2        each W·x with its own adapter: W·x + s·B·(A·x)
//! ```
//!
//! No heap: [`Config::arena_len`] says how much memory training takes, and [`Training`] works in what it is given.
//!
//! ```
//! use lowrank::{Backend, train::Optimizer};
//! use lowrank_demo::{Config, Network, TRAINING_IMAGES, Training, Turns};
//!
//! const CONFIG: Config = Config { epochs: 1, ..Config::new(Backend::BASELINE, Optimizer::AdamW) };
//! let (mut arena, mut order) = ([0.0; CONFIG.arena_len()], [0; TRAINING_IMAGES]);
//! let mut training = Training::new(CONFIG, Network::rows(), &mut arena, &mut order)?;
//! let before = Network::rows().score(CONFIG.backend, Turns::QUARTER)?;
//! while let Some(report) = training.step()? {
//!     assert!(report.loss.is_finite());
//! }
//! assert!(training.score(Turns::QUARTER)?.correct > before.correct);
//! # Ok::<(), lowrank_demo::Error>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod activations;
mod config;
mod digest;
mod digits;
mod error;
mod network;
mod training;

pub use config::Config;
pub use digest::Digest;
pub use digits::{Digit, IMAGES, TEST_IMAGES, TRAINING_IMAGES, Turns, test_images, training_images};
pub use error::Error;
pub use network::{HIGHEST_RANK, Layers, Network, Score, WEIGHTS};
pub use training::{StepReport, Training};

/// Pixels of an image: inputs of the network.
pub const INPUTS: usize = 64;
/// Units of the hidden layer.
pub const HIDDEN: usize = 48;
/// Digits, 0 to 9: outputs of the network.
pub const CLASSES: usize = 10;
