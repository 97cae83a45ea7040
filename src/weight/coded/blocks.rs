//! Blocks of 32 weights with one scale: `Q8_0` and `Q4_0` of GGUF.

use super::bytes::{expect_blocks, finite_scales, fixed, half, some};
use crate::error::Error;
use crate::kernel::raw::codes::{scaled_i8, scaled_u4};
use crate::simd::Simd;
use crate::weight::base::Weights;
use crate::weight::decoded::Decode;
use crate::weight::panels::RUN;
use crate::weight::socket::{Bytes, Stored};

impl<'a> Weights<'a> {
    /// `W [out, in]` in `Q8_0` of GGUF. A row is `in / 32` blocks of 34 bytes: the scale `d` in f16, lower byte first, then 32 codes of
    /// type i8. A weight is `rn(d · code)`.
    ///
    /// # Errors
    /// [`Error::Multiple`] when `inputs` is no multiple of 32; [`Error::Length`] about
    /// [`Argument::Codes`](crate::Argument::Codes) when there are not `34 · outputs · inputs / 32` bytes; [`Error::NonFinite`] with
    /// the number of the first block whose scale is infinite or NaN; [`Error::Overflow`].
    pub const fn q8_0(bytes: &'a [u8], outputs: usize, inputs: usize) -> Result<Self, Error> {
        blocks::<Q8_0, { 2 + 32 }>(bytes, (outputs, inputs))
    }

    /// `W [out, in]` in `Q4_0` of GGUF. A row is `in / 32` blocks of 18 bytes: the scale `d` in f16, lower byte first, then 16 bytes,
    /// whose lower four bits are the codes of weights 0 to 15, and whose upper four bits those of weights 16 to 31. A weight is
    /// `rn(d · (code − 8))`.
    ///
    /// # Errors
    /// As [`Weights::q8_0`], for blocks of 18 bytes.
    pub const fn q4_0(bytes: &'a [u8], outputs: usize, inputs: usize) -> Result<Self, Error> {
        blocks::<Q4_0, { 2 + 16 }>(bytes, (outputs, inputs))
    }
}

const fn blocks<D: Decode, const BYTES: usize>(bytes: &[u8], shape: (usize, usize)) -> Result<Weights<'_>, Error> {
    if let Err(error) = expect_blocks(bytes, shape, (BYTES, RUN)) {
        return Err(error);
    }
    match finite_scales::<BYTES>(bytes, 0) {
        Ok(()) => Ok(Weights::of::<D>(Stored::Bytes(Bytes { codes: bytes, scales: &[] }), shape)),
        Err(error) => Err(error),
    }
}

struct Q8_0;

impl Decode for Q8_0 {
    #[inline(always)]
    fn part(bytes: &Bytes<'_>, inputs: usize, at: (usize, usize), to: &mut [f32]) {
        let (scale, codes) = block::<{ 2 + 32 }, 32>(bytes, inputs, at);
        let codes = some(codes, at.1 % RUN, to.len());
        to.iter_mut().zip(codes).for_each(|(to, &code)| *to = scale * f32::from(code as i8));
    }

    #[inline(always)]
    fn run<S: Simd>(simd: S, bytes: &Bytes<'_>, inputs: usize, at: (usize, usize), to: &mut [f32; RUN]) {
        let (scale, codes) = block::<{ 2 + 32 }, 32>(bytes, inputs, at);
        scaled_i8(simd, scale, codes, to);
    }
}

struct Q4_0;

impl Decode for Q4_0 {
    #[inline(always)]
    fn part(bytes: &Bytes<'_>, inputs: usize, at: (usize, usize), to: &mut [f32]) {
        let (scale, codes) = block::<{ 2 + 16 }, 16>(bytes, inputs, at);
        for (more, to) in to.iter_mut().enumerate() {
            let i = at.1 + more;
            *to = scale * f32::from((codes[i % 16] >> (i / 16 % 2 * 4) & 15) as i8 - 8);
        }
    }

    #[inline(always)]
    fn run<S: Simd>(simd: S, bytes: &Bytes<'_>, inputs: usize, at: (usize, usize), to: &mut [f32; RUN]) {
        let (scale, codes) = block::<{ 2 + 16 }, 16>(bytes, inputs, at);
        let ([low, high], []) = to.as_chunks_mut() else { return debug_assert!(false, "a run is two halves") };
        scaled_u4(simd, (scale, -8.0), codes, low, high);
    }
}

/// Scale and codes of the block of a weight.
#[inline(always)]
fn block<'a, const BYTES: usize, const CODES: usize>(
    bytes: &Bytes<'a>,
    inputs: usize,
    (o, i): (usize, usize),
) -> (f32, &'a [u8; CODES]) {
    let block = fixed::<BYTES>(bytes.codes, (o * (inputs / RUN) + i / RUN) * BYTES);
    (half(block, 0), fixed(block, 2))
}
