//! What the images in `src/bin` share.

#![no_std]
#![deny(missing_docs)]

/// Written by `lowrank convert`: an adapter as a static.
#[rustfmt::skip]
pub mod adapter;
#[allow(dead_code, reason = "other tests use other kinds of data")]
#[path = "../../tests/promises/support/data.rs"]
mod data;
mod fault;
#[cfg(has_fpu)]
pub mod flags;
pub mod flash;
pub mod golden;
pub mod stack;

use core::fmt;

use semihosting::{println, process};

#[cfg(target_arch = "arm")]
pub use cortex_m_rt::entry;
#[cfg(target_arch = "riscv32")]
pub use riscv_rt::entry;

/// Passes over the images in the scenario: `LOWRANK_EPOCHS` when this was compiled, or 1.
pub const EPOCHS: u32 = match option_env!("LOWRANK_EPOCHS") {
    None => 1,
    Some(number) => match u32::from_str_radix(number, 10) {
        Ok(epochs) => epochs,
        Err(_) => panic!("LOWRANK_EPOCHS has to be a number"),
    },
};

/// Why an image ends with a failure.
#[derive(Debug)]
pub enum Failure {
    /// A call did not do its work.
    Demo(lowrank_demo::Error),
    /// The bytes are no adapter file.
    File(lowrank::FileError),
    /// An adapter was not stored, or not found.
    Store(lowrank::StoreError<flash::NotErased>),
    /// The arithmetic of this build is not that of the contract.
    Selftest(lowrank::Deviation),
    /// What was checked, and does not hold.
    Check(&'static str),
}

impl From<lowrank_demo::Error> for Failure {
    fn from(error: lowrank_demo::Error) -> Self {
        Failure::Demo(error)
    }
}

impl From<lowrank::Error> for Failure {
    fn from(error: lowrank::Error) -> Self {
        Failure::Demo(error.into())
    }
}

impl From<lowrank::FileError> for Failure {
    fn from(error: lowrank::FileError) -> Self {
        Failure::File(error)
    }
}

impl From<lowrank::StoreError<flash::NotErased>> for Failure {
    fn from(error: lowrank::StoreError<flash::NotErased>) -> Self {
        Failure::Store(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Demo(error) => error.fmt(f),
            Failure::File(error) => error.fmt(f),
            Failure::Store(error) => error.fmt(f),
            Failure::Selftest(deviation) => write!(f, "the selftest failed: {deviation:?}"),
            Failure::Check(what) => write!(f, "does not hold: {what}"),
        }
    }
}

/// `Ok` when the check holds.
///
/// # Errors
/// [`Failure::Check`] when it does not.
pub fn check(holds: bool, what: &'static str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Check(what)) }
}

/// Ends the image: QEMU exits with status 0 for `Ok`, with 1 for a failure, which is printed.
pub fn finish(verdict: Result<(), Failure>) -> ! {
    match verdict {
        Ok(()) => process::exit(0),
        Err(failure) => {
            println!("failed: {failure}");
            process::exit(1)
        }
    }
}
