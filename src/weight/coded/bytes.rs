//! What all formats ask of their bytes.

use crate::dtype::widen_f16;
use crate::error::{Argument, Error};
use crate::view::expect_len;

/// Refuses bytes that are not as many as those of a shape, `bytes` for every `weights`.
pub(super) const fn expect_bytes(
    argument: Argument,
    bytes: &[u8],
    (outputs, inputs): (usize, usize),
    (size, weights): (usize, usize),
) -> Result<(), Error> {
    let Some(in_row) = inputs.checked_div(weights) else { return Err(Error::Overflow { argument }) };
    let Some(blocks) = outputs.checked_mul(in_row) else { return Err(Error::Overflow { argument }) };
    let Some(expected) = blocks.checked_mul(size) else { return Err(Error::Overflow { argument }) };
    expect_len(argument, bytes.len(), expected)
}

/// As [`expect_bytes`], for rows that are whole blocks.
pub(super) const fn expect_blocks(
    bytes: &[u8],
    shape: (usize, usize),
    (size, weights): (usize, usize),
) -> Result<(), Error> {
    if !shape.1.is_multiple_of(weights) {
        return Err(Error::Multiple { argument: Argument::W, of: weights, got: shape.1 });
    }
    expect_bytes(Argument::Codes, bytes, shape, (size, weights))
}

/// Refuses blocks with a scale in f16, at a byte of each, that is infinite or NaN.
pub(super) const fn finite_scales<const BYTES: usize>(bytes: &[u8], at: usize) -> Result<(), Error> {
    let (mut rest, mut index) = (bytes, 0);
    while let Some((block, behind)) = rest.split_first_chunk::<BYTES>() {
        if let Some((_, [_, upper, ..])) = block.split_at_checked(at)
            && *upper & 0x7c == 0x7c
        {
            return Err(Error::NonFinite { argument: Argument::Scales, index });
        }
        (rest, index) = (behind, index + 1);
    }
    Ok(())
}

/// The number in f16 at an index.
#[inline(always)]
pub(super) fn half(bytes: &[u8], at: usize) -> f32 {
    f32::from_bits(widen_f16(u32::from(u16::from_le_bytes(*fixed(bytes, at)))))
}

/// So many bytes from an index on, which are there.
#[inline(always)]
pub(super) fn some(bytes: &[u8], from: usize, count: usize) -> &[u8] {
    let part = bytes.get(from..).and_then(|bytes| bytes.get(..count));
    debug_assert!(part.is_some(), "{count} bytes from {from} on, of {}", bytes.len());
    part.unwrap_or(&[])
}

/// So many bytes from an index on, which are there.
#[inline(always)]
pub(super) fn fixed<const N: usize>(bytes: &[u8], from: usize) -> &[u8; N] {
    let part = bytes.get(from..).and_then(<[u8]>::first_chunk);
    debug_assert!(part.is_some(), "{N} bytes from {from} on, of {}", bytes.len());
    part.unwrap_or(&[0; N])
}
