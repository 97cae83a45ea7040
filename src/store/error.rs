//! The reasons why a file was not stored, or not found.

use core::fmt;

use crate::format::{EmitError, FileError};

/// An error of the store. The newest file is where it was.
#[derive(Copy, Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StoreError<E> {
    /// The flash failed.
    Flash {
        /// The driver got this address.
        at: u32,
        /// The driver failed with this error.
        error: E,
    },
    /// The flash does not read as it was erased or programmed.
    Verify {
        /// The first wrong byte has this address.
        at: u32,
    },
    /// The contents that were to be saved are not those of a file.
    Contents(EmitError),
    /// The bytes that were read are no file.
    File(FileError),
    /// A file is longer than the slot or the buffer that has to hold it.
    TooLong {
        /// The file has so many bytes.
        needed: usize,
        /// The slot or the buffer has so many bytes.
        available: usize,
    },
    /// The newest file is in doubt and has no blank seal, after at least four cuts in a row in the midst of sealing. It can be
    /// read, but not be replaced in safety: erase both slots to start anew.
    NoSealLeft {
        /// The file is in this slot.
        slot: usize,
    },
    /// A slot is not made of whole blocks.
    Unaligned {
        /// This slot is meant.
        slot: usize,
        /// Its start and its end have to be multiples of this length.
        multiple_of: u32,
    },
    /// A slot ends before it starts, or behind the end of the flash.
    Outside {
        /// This slot is meant.
        slot: usize,
        /// The flash has so many bytes.
        capacity: usize,
    },
    /// A slot has no room for a header and the seals.
    TooSmall {
        /// This slot is meant.
        slot: usize,
        /// The slot has to have at least so many bytes.
        needed: usize,
    },
    /// The slots have bytes in common.
    Overlap,
    /// The page does not suit the flash.
    Page {
        /// Its length has to be a multiple of this one, and at least twice as long.
        multiple_of: usize,
        /// The page has this length.
        got: usize,
    },
}

impl<E: fmt::Debug> fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Flash { at, error } => write!(f, "the flash failed at {at:#x}: {error:?}"),
            StoreError::Verify { at } => write!(f, "the flash does not hold at {at:#x} what was written there"),
            StoreError::Contents(error) => error.fmt(f),
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
