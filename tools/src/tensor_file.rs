//! The frame of a safetensors file: eight bytes of length, a header in JSON, and the tensors without gaps.

use std::collections::HashSet;
use std::fmt;

use safetensors::tensor::{Dtype as StoredType, Metadata};
use serde::Deserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};

use lowrank::Dtype;

/// Bytes in front of the header.
pub(crate) const LENGTH_BYTES: usize = 8;

/// Why a file is not a safetensors file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFileError {
    /// It ends before its header does.
    #[error("the file ends in its header: expected at least {expected} bytes, got {got}; copy it again")]
    Short {
        /// Bytes up to the end of the header.
        expected: u64,
        /// Length of the file.
        got: u64,
    },
    /// The header is longer than a header should be.
    #[error(
        "expected a header of at most {at_most} bytes, got {got}; this is no safetensors file, or one that is too large"
    )]
    HeaderLength {
        /// Limit in bytes.
        at_most: u64,
        /// What the file says.
        got: u64,
    },
    /// The header is no JSON, or its tensors overlap, leave gaps or do not have the length that their shape asks for.
    #[error("the header is damaged: {0}; copy the file again")]
    Header(serde_json::Error),
    /// The tensors are longer or shorter than the file.
    #[error("the header describes a file of {expected} bytes, got {got}; copy the file again")]
    Length {
        /// By the header.
        expected: u64,
        /// Length of the file.
        got: u64,
    },
}

/// Length of the header, from the first eight bytes.
pub(crate) fn header_len(first: [u8; LENGTH_BYTES], at_most: u64, file_len: u64) -> Result<usize, TensorFileError> {
    let got = u64::from_le_bytes(first);
    if got > at_most {
        return Err(TensorFileError::HeaderLength { at_most, got });
    }
    let expected = LENGTH_BYTES as u64 + got;
    if expected > file_len {
        return Err(TensorFileError::Short { expected, got: file_len });
    }
    usize::try_from(got).map_err(|_| TensorFileError::HeaderLength { at_most, got })
}

/// The header, checked against the length of the file.
pub(crate) fn parse_header(json: &[u8], file_len: u64) -> Result<Metadata, TensorFileError> {
    serde_json::Deserializer::from_slice(json).deserialize_map(Distinct).map_err(TensorFileError::Header)?;
    let metadata: Metadata = serde_json::from_slice(json).map_err(TensorFileError::Header)?;
    let start = (LENGTH_BYTES + json.len()) as u64;
    let expected = start.saturating_add(metadata.data_len() as u64);
    if expected == file_len { Ok(metadata) } else { Err(TensorFileError::Length { expected, got: file_len }) }
}

/// A table without a name that comes twice, of which `safetensors` would take the last one.
struct Distinct;

impl<'de> Visitor<'de> for Distinct {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
            if let Some(name) = names.replace(name) {
                return Err(A::Error::custom(format!("the name {name:?} comes twice")));
            }
        }
        Ok(())
    }
}

/// Header and tensors of a file that is in memory as a whole.
pub(crate) fn parse(bytes: &[u8], at_most: u64) -> Result<(Metadata, &[u8]), TensorFileError> {
    let len = bytes.len() as u64;
    let Some((first, rest)) = bytes.split_first_chunk() else {
        return Err(TensorFileError::Short { expected: LENGTH_BYTES as u64, got: len });
    };
    let header = header_len(*first, at_most, len)?;
    let (json, data) = rest.split_at(header);
    Ok((parse_header(json, len)?, data))
}

/// The type of floating point numbers that the core knows.
pub(crate) fn float_type(stored: StoredType) -> Option<Dtype> {
    match stored {
        StoredType::F32 => Some(Dtype::F32),
        StoredType::F16 => Some(Dtype::F16),
        StoredType::BF16 => Some(Dtype::Bf16),
        _ => None,
    }
}

/// The type in the words of safetensors.
pub(crate) const fn stored_type(dtype: Dtype) -> StoredType {
    match dtype {
        Dtype::F32 => StoredType::F32,
        Dtype::F16 => StoredType::F16,
        Dtype::Bf16 => StoredType::BF16,
    }
}
