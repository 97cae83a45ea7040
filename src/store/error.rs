//! Why something was not stored, or not found.

use core::fmt;

use crate::error::Error;

/// What went wrong with the store. The newest file is where it was.
#[derive(Copy, Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StoreError<E> {
    /// The flash failed.
    Flash {
        /// The address that it was given.
        at: u32,
        /// What it said.
        error: E,
    },
    /// The flash does not read as it was erased or programmed.
    Verify {
        /// The address of the first byte that is wrong.
        at: u32,
    },
    /// The contents are not those of a file, or the bytes that were read no file.
    File(Error),
    /// A file that is longer than what is to hold it: a slot, or the caller's buffer.
    TooLong {
        /// Bytes of the file.
        needed: usize,
        /// Bytes that there are.
        available: usize,
    },
    /// The newest file is in doubt and has no blank seal, after at least four cuts in a row in the midst of sealing. It can be
    /// read, but not be replaced in safety: erase both slots to start anew.
    NoSealLeft {
        /// Its slot.
        slot: usize,
    },
    /// A slot is not made of whole blocks.
    Unaligned {
        /// The slot.
        slot: usize,
        /// What its start and its end have to be multiples of.
        multiple_of: u32,
    },
    /// A slot ends before it starts, or behind the end of the flash.
    Outside {
        /// The slot.
        slot: usize,
        /// Bytes of the flash.
        capacity: usize,
    },
    /// A slot has no room for a header and the seals.
    TooSmall {
        /// The slot.
        slot: usize,
        /// Bytes that it has to have at least.
        needed: usize,
    },
    /// The slots have bytes in common.
    Overlap,
    /// The page does not suit the flash.
    Page {
        /// What its length has to be a multiple of; at least twice that.
        multiple_of: usize,
        /// Its length.
        got: usize,
    },
}

impl<E: fmt::Debug> fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Flash { at, error } => write!(f, "the flash failed at {at:#x}: {error:?}"),
            StoreError::Verify { at } => write!(f, "the flash does not hold at {at:#x} what was written there"),
            StoreError::File(error) => error.fmt(f),
            StoreError::TooLong { needed, available } => {
                write!(f, "the file has {needed} bytes, but there are {available}")
            }
            StoreError::NoSealLeft { slot } => write!(f, "slot {slot}: all seals are used up"),
            StoreError::Unaligned { slot, multiple_of } => {
                write!(f, "slot {slot}: its bounds have to be multiples of {multiple_of}")
            }
            StoreError::Outside { slot, capacity } => {
                write!(f, "slot {slot}: does not lie within the {capacity} bytes of the flash")
            }
            StoreError::TooSmall { slot, needed } => write!(f, "slot {slot}: at least {needed} bytes are needed"),
            StoreError::Overlap => f.write_str("the slots overlap"),
            StoreError::Page { multiple_of, got } => {
                write!(f, "page: expected a multiple of {multiple_of} bytes, at least two, got {got}")
            }
        }
    }
}

impl<E: fmt::Debug> core::error::Error for StoreError<E> {}
