//! The promises of the project, each in a module that is named after it. Modules that are named after an operation test that it does
//! what its page says.
//!
//! ```text
//! cargo test --test promises                        the part that takes a minute
//! cargo test --test promises bits::                 one promise
//! LOWRANK_FULL=1 cargo test --release --test promises
//! ```
//!
//! One program holds them all, so that what they share is compiled and linked once.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bits;
mod bounds;
mod clipping;
mod coded;
mod cutting;
mod dropping;
mod error_bound;
mod errors;
mod file;
mod flash;
mod fp_flags;
mod frozen_base;
mod golden;
mod gradients;
mod integers;
mod layer;
mod losses;
mod merging;
mod miri;
mod nan_classes;
mod numbers;
mod peft;
mod personalize;
mod plans;
mod randomness;
mod resume;
mod saved;
mod schedules;
mod sizes;
mod split;
mod states;
mod threads;
mod training_bits;

mod support;
