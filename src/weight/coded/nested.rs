//! Blocks of 256 weights, whose parts have scales that are codes themselves: `Q4_K` and `Q6_K` of GGUF.

use super::bytes::{expect_blocks, finite_scales, fixed, half, some};
use crate::error::Error;
use crate::kernel::raw::codes::{scaled_i8, shifted_u4};
use crate::simd::Simd;
use crate::weight::base::Weights;
use crate::weight::decoded::Decode;
use crate::weight::panels::RUN;
use crate::weight::socket::{Bytes, Stored};

/// Weights of a block.
const BLOCK: usize = 256;
/// Bytes of a block of `Q4_K`: two numbers in f16, 12 bytes of scales, the codes.
const Q4_K_BYTES: usize = 2 + 2 + 12 + 128;
/// Bytes of a block of `Q6_K`: lower four bits, upper two bits, scales, a number in f16.
const Q6_K_BYTES: usize = 128 + 64 + 16 + 2;

impl<'a> Weights<'a> {
    /// `W [out, in]` in `Q4_K` of GGUF. A row is `in / 256` blocks of 144 bytes:
    ///
    /// - `d` and `d_min`, in f16, lower byte first;
    /// - 12 bytes `s` with a scale and a minimum of 6 bits for each part `j` of 32 weights. Where `j < 4`, they are
    ///   `s[j] & 63` and `s[j + 4] & 63`; else they are `(s[j + 4] & 15) | (s[j − 4] >> 6) << 4` and
    ///   `s[j + 4] >> 4 | (s[j] >> 6) << 4`;
    /// - 128 bytes of codes. Those of parts `2k` and `2k + 1` are the lower and the upper four bits of bytes `32k..32k + 32`.
    ///
    /// A weight is `rn((d · scale) · code − d_min · minimum)`: both products are exact.
    ///
    /// # Errors
    /// As [`Weights::q8_0`], for blocks of 144 bytes and 256 weights.
    pub const fn q4_k(bytes: &'a [u8], outputs: usize, inputs: usize) -> Result<Self, Error> {
        if let Err(error) = expect_blocks(bytes, (outputs, inputs), (Q4_K_BYTES, BLOCK)) {
            return Err(error);
        }
        if let Err(error) = finite_scales::<Q4_K_BYTES>(bytes, 0) {
            return Err(error);
        }
        match finite_scales::<Q4_K_BYTES>(bytes, 2) {
            Ok(()) => Ok(nested::<Q4K>(bytes, (outputs, inputs))),
            Err(error) => Err(error),
        }
    }

    /// `W [out, in]` in `Q6_K` of GGUF. A row is `in / 256` blocks of 210 bytes: 128 bytes `low`, 64 bytes `high`, 16 scales of type
    /// i8, and `d` in f16, lower byte first.
    ///
    /// A block has two halves. Weight `32k + l` of half `h`, with `k < 4` and `l < 32`, has the code
    /// `(low[64h + 32(k % 2) + l] >> 4(k / 2) & 15 | (high[32h + l] >> 2k & 3) << 4) − 32` and the scale `8h + 2k + l / 16`. A weight is
    /// `rn((d · scale) · code)`; the product with the scale is exact.
    ///
    /// # Errors
    /// As [`Weights::q8_0`], for blocks of 210 bytes and 256 weights.
    pub const fn q6_k(bytes: &'a [u8], outputs: usize, inputs: usize) -> Result<Self, Error> {
        if let Err(error) = expect_blocks(bytes, (outputs, inputs), (Q6_K_BYTES, BLOCK)) {
            return Err(error);
        }
        match finite_scales::<Q6_K_BYTES>(bytes, Q6_K_BYTES - 2) {
            Ok(()) => Ok(nested::<Q6K>(bytes, (outputs, inputs))),
            Err(error) => Err(error),
        }
    }
}

const fn nested<D: Decode>(bytes: &[u8], shape: (usize, usize)) -> Weights<'_> {
    Weights::of::<D>(Stored::Bytes(Bytes { codes: bytes, scales: &[] }), shape)
}

/// The block of a weight, and the number of its run in the block.
#[inline(always)]
fn block<'a, const BYTES: usize>(bytes: &Bytes<'a>, inputs: usize, (o, i): (usize, usize)) -> (&'a [u8; BYTES], usize) {
    (fixed(bytes.codes, (o * (inputs / BLOCK) + i / BLOCK) * BYTES), i % BLOCK / RUN)
}

struct Q4K;

impl Q4K {
    /// Factor and minimum of a part.
    #[inline(always)]
    fn scales(block: &[u8; Q4_K_BYTES], part: usize) -> (f32, f32) {
        let s = fixed::<12>(block, 4);
        let (scale, minimum) = if part < 4 {
            (s[part] & 63, s[part + 4] & 63)
        } else {
            let (part, both) = (part & 3, s[(part & 3) + 8]);
            (both & 15 | s[part] >> 6 << 4, both >> 4 | s[part + 4] >> 6 << 4)
        };
        (half(block, 0) * f32::from(scale), half(block, 2) * f32::from(minimum))
    }
}

impl Decode for Q4K {
    #[inline(always)]
    fn part(bytes: &Bytes<'_>, inputs: usize, at: (usize, usize), to: &mut [f32]) {
        let (block, part) = block::<Q4_K_BYTES>(bytes, inputs, at);
        let (scale, minimum) = Self::scales(block, part);
        let codes = some(block, 16 + part / 2 * RUN + at.1 % RUN, to.len());
        let code = |byte: u8| f32::from(byte >> (part % 2 * 4) & 15);
        to.iter_mut().zip(codes).for_each(|(to, &byte)| *to = scale * code(byte) - minimum);
    }

    #[inline(always)]
    fn run<S: Simd>(simd: S, bytes: &Bytes<'_>, inputs: usize, at: (usize, usize), to: &mut [f32; RUN]) {
        let (block, part) = block::<Q4_K_BYTES>(bytes, inputs, at);
        let codes = fixed(block, 16 + part / 2 * RUN);
        shifted_u4(simd, Self::scales(block, part), codes, part % 2 == 1, to);
    }
}

struct Q6K;

impl Q6K {
    /// The code of a byte of `low` and one of `high`, in a run of its half.
    #[inline(always)]
    fn code(low: u8, high: u8, run: usize) -> u8 {
        (low >> (run / 2 * 4) & 15 | (high >> (2 * run) & 3) << 4).wrapping_sub(32)
    }

    #[inline(always)]
    fn scale(block: &[u8; Q6_K_BYTES], at: usize) -> f32 {
        let [scale] = *fixed(block, 128 + 64 + at);
        half(block, Q6_K_BYTES - 2) * f32::from(scale as i8)
    }
}

impl Decode for Q6K {
    #[inline(always)]
    fn part(bytes: &Bytes<'_>, inputs: usize, at: (usize, usize), to: &mut [f32]) {
        let (block, run) = block::<Q6_K_BYTES>(bytes, inputs, at);
        let (half, run, first, count) = (run / 4, run % 4, at.1 % RUN, to.len());
        let (low, high) = (64 * half + run % 2 * RUN + first, 128 + 32 * half + first);
        let codes = some(block, low, count).iter().zip(some(block, high, count));
        for ((l, to), (&low, &high)) in (first..).zip(to).zip(codes) {
            let scale = Self::scale(block, 8 * half + 2 * run + l / 16);
            *to = scale * f32::from(Self::code(low, high, run) as i8);
        }
    }

    #[inline(always)]
    fn run<S: Simd>(simd: S, bytes: &Bytes<'_>, inputs: usize, at: (usize, usize), to: &mut [f32; RUN]) {
        let (block, run) = block::<Q6_K_BYTES>(bytes, inputs, at);
        let (half, run) = (run / 4, run % 4);
        let (low, high) = (fixed::<RUN>(block, 64 * half + run % 2 * RUN), fixed::<RUN>(block, 128 + 32 * half));
        let (parts, _) = to.as_chunks_mut::<16>();
        for (part, to) in parts.iter_mut().enumerate() {
            let (low, high) = (fixed::<16>(low, 16 * part), fixed::<16>(high, 16 * part));
            let mut codes = [0; 16];
            for ((to, &low), &high) in codes.iter_mut().zip(low).zip(high) {
                *to = Self::code(low, high, run);
            }
            scaled_i8(simd, Self::scale(block, 8 * half + 2 * run + part), &codes, to);
        }
    }
}
