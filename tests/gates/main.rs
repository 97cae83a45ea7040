//! The gates: what the project promises, each in a module that is named after its number. Gate 8 is `miri`; the
//! modules without a number need the same support.
//!
//! ```text
//! cargo test --test gates                        the part that takes a minute
//! cargo test --test gates gate_01                one gate
//! LOWRANK_FULL=1 cargo test --release --test gates
//! ```
//!
//! One program holds them all, so that what they share is compiled and linked once.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

mod clipping;
mod dropping;
mod fingerprint;
mod gate_01_bits;
mod gate_01_training;
mod gate_02_split;
mod gate_02_threads;
mod gate_03_error_bound;
mod gate_04_integers;
mod gate_05_classes;
mod gate_06_flags;
mod gate_07_bounds;
mod gate_11_file;
mod gate_11_sizes;
mod gate_12_errors;
mod gate_12_errors_file;
mod gate_12_errors_split;
mod gate_12_errors_store;
mod gate_12_errors_train;
mod gate_13_gradients;
mod gate_14_peft;
mod gate_15_resume;
mod gate_15_saved;
mod gate_15_states;
mod gate_16_base;
mod gate_17_contents;
mod gate_17_dtype;
mod gate_17_file;
mod gate_18_flash;
mod gate_18_store;
mod gate_20_golden;
mod losses;
mod merging;
mod miri;
mod numbers;
mod personalize;
mod plans;
mod randomness;
mod schedules;
