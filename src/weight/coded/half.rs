//! Numbers of 16 bits, row by row: IEEE 754 binary16, and bfloat16, the upper half of binary32. Both are exact in f32.

use super::bytes::{expect_bytes, fixed, some};
use crate::dtype::widen_f16;
use crate::error::{Argument, Error};
use crate::simd::Simd;
use crate::weight::base::Weights;
use crate::weight::decoded::Decode;
use crate::weight::panels::RUN;
use crate::weight::socket::{Bytes, Stored};

impl<'a> Weights<'a> {
    /// `W [out, in]` in f16, IEEE 754 binary16, row by row without gaps: two bytes for each number, the lower byte first. PyTorch's
    /// `float16` and the `F16` of safetensors and GGUF rest like this. Decoding is exact.
    ///
    /// # Errors
    /// [`Error::Length`] about [`Argument::Codes`] when there are not `2 · outputs · inputs` bytes; [`Error::Overflow`].
    ///
    /// ```
    /// use lowrank::{Base, Weights};
    /// static W: [u8; 4] = [0x00, 0x3c, 0x66, 0xae]; // 1 and -0.1
    /// let base = Base::new(Weights::f16(&W, 1, 2)?, None);
    /// assert_eq!(base.weights.get(0, 1), Some(-0.099975586));
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    pub const fn f16(bytes: &'a [u8], outputs: usize, inputs: usize) -> Result<Self, Error> {
        halves::<F16>(bytes, (outputs, inputs))
    }

    /// As [`Weights::f16`], in bfloat16: sign, exponent and the first 7 bits of the fraction of an f32.
    ///
    /// # Errors
    /// As [`Weights::f16`].
    pub const fn bf16(bytes: &'a [u8], outputs: usize, inputs: usize) -> Result<Self, Error> {
        halves::<Bf16>(bytes, (outputs, inputs))
    }
}

const fn halves<D: Half>(bytes: &[u8], shape: (usize, usize)) -> Result<Weights<'_>, Error> {
    match expect_bytes(Argument::Codes, bytes, shape, (2, 1)) {
        Ok(()) => Ok(Weights::of::<Halves<D>>(Stored::Bytes(Bytes { codes: bytes, scales: &[] }), shape)),
        Err(error) => Err(error),
    }
}

/// What 16 bits mean.
trait Half {
    fn decode(bits: u16) -> f32;
}

struct F16;
struct Bf16;

impl Half for F16 {
    #[inline(always)]
    fn decode(bits: u16) -> f32 {
        f32::from_bits(widen_f16(u32::from(bits)))
    }
}

impl Half for Bf16 {
    #[inline(always)]
    fn decode(bits: u16) -> f32 {
        f32::from_bits(u32::from(bits) << 16)
    }
}

#[inline(always)]
fn numbers<D: Half>(codes: &[[u8; 2]], to: &mut [f32]) {
    to.iter_mut().zip(codes).for_each(|(to, &code)| *to = D::decode(u16::from_le_bytes(code)));
}

struct Halves<D>(D);

impl<D: Half> Decode for Halves<D> {
    #[inline(always)]
    fn part(bytes: &Bytes<'_>, inputs: usize, (o, i): (usize, usize), to: &mut [f32]) {
        let (codes, _) = some(bytes.codes, 2 * (o * inputs + i), 2 * to.len()).as_chunks::<2>();
        numbers::<D>(codes, to);
    }

    // As `part`, but that the compiler sees the length: about a tenth faster on AVX2 (one token, 1024×1024).
    #[inline(always)]
    fn run<S: Simd>(_simd: S, bytes: &Bytes<'_>, inputs: usize, (o, i): (usize, usize), to: &mut [f32; RUN]) {
        let (codes, _) = fixed::<{ 2 * RUN }>(bytes.codes, 2 * (o * inputs + i)).as_chunks::<2>();
        numbers::<D>(codes, to);
    }
}
