//! What can go wrong.

use core::fmt;

/// Why a call did not do its work.
#[derive(Copy, Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// From `lowrank`.
    Core(lowrank::Error),
    /// A setting of the [`Config`](crate::Config) lies outside of its range.
    Setting {
        /// Name of the field.
        name: &'static str,
        /// The smallest value allowed.
        at_least: usize,
        /// The largest value allowed.
        at_most: usize,
        /// The value that came.
        got: usize,
    },
    /// In-place training changes the adapter after every micro-batch, so a split batch would be another training.
    SplitInPlace {
        /// Images per step, which the micro-batch has to be.
        batch: usize,
        /// The micro-batch that came.
        micro_batch: usize,
    },
}

impl From<lowrank::Error> for Error {
    fn from(error: lowrank::Error) -> Self {
        Error::Core(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Core(error) => error.fmt(f),
            Error::Setting { name, at_least, at_most, got } => {
                write!(f, "{name}: expected a number from {at_least} to {at_most}, got {got}")
            }
            Error::SplitInPlace { batch, micro_batch } => write!(
                f,
                "micro_batch: expected {batch}, the whole batch, since in-place training cannot split it; got {micro_batch}"
            ),
        }
    }
}

impl core::error::Error for Error {}
