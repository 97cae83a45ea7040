//! Flaws of the bytes of a file, found and placed.

use super::error::FileError;
use super::flaw::Flaw;

/// Makes the error of a flaw at this byte of a file.
pub(super) const fn flawed(at: usize, flaw: Flaw) -> FileError {
    FileError { at, flaw }
}

/// Checks bytes that have to be 0. For errors, `start` is their place.
pub(super) fn all_zero(start: usize, bytes: &[u8], flaw: impl Fn(u8) -> Flaw) -> Result<(), FileError> {
    match bytes.iter().enumerate().find(|(_, byte)| **byte != 0) {
        Some((at, &got)) => Err(flawed(start + at, flaw(got))),
        None => Ok(()),
    }
}

/// Converts a number for an error. A number that does not fit becomes the largest one.
pub(super) fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
