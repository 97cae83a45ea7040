//! The errors of adapter files: those of reading one, and those of writing one.

use core::fmt;

use super::flaw::Flaw;
use crate::error::Error;

/// An adapter file does not keep to the [format](super), or contents that are to be written would not.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct FileError {
    /// The flaw is so many bytes from the start of the file: at the start of a field, or at the byte itself.
    pub at: usize,
    /// This flaw is there.
    pub flaw: Flaw,
}

/// Contents did not become a file, for this reason. Nothing was written.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum EmitError {
    /// The file would have a flaw.
    File(FileError),
    /// The file is too long for the address space ([`Error::Overflow`]), or for the bytes that it was to be written to
    /// ([`Error::TooMany`]).
    Call(Error),
}

impl From<FileError> for EmitError {
    fn from(error: FileError) -> Self {
        EmitError::File(error)
    }
}

impl From<Error> for EmitError {
    fn from(error: Error) -> Self {
        EmitError::Call(error)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.flaw.describe(self.at, f)
    }
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EmitError::File(error) => error.fmt(f),
            EmitError::Call(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for FileError {}

impl core::error::Error for EmitError {}
