//! The command `lowrank`: adapters of low-rank adaptation (LoRA) between PyTorch + PEFT and devices.
//!
//! The library has what tests and fuzzing reach without a process: [`peft`] reads and writes the adapters of PEFT, and
//! [`run`] is the whole command.

#![forbid(unsafe_code)]

mod advice;
mod args;
mod base;
mod blocks;
mod cleanup;
mod commands;
mod emit_source;
mod error;
mod format;
mod health;
mod layers;
mod layout;
mod mistake;
mod model;
mod number;
pub mod peft;
mod report;
mod source;
mod stack;
mod state_file;
mod symbol;
mod tensor_file;
mod terminal;
mod tied;
mod write;

pub use args::run;
pub use tensor_file::TensorFileError;
