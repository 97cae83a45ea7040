//! Codes of 8 bits with a scale for each output: TFLite, CMSIS-NN.

use super::bytes::{expect_bytes, fixed, some};
use crate::error::{Argument, Error};
use crate::kernel::raw::codes::scaled_i8;
use crate::simd::{Simd, bytes_of_f32, bytes_of_i8};
use crate::view::expect_len;
use crate::weight::base::Weights;
use crate::weight::decoded::Decode;
use crate::weight::panels::RUN;
use crate::weight::socket::{Bytes, Stored};

impl<'a> Weights<'a> {
    /// `W [out, in]` as codes of type i8, row by row without gaps, and a scale for each output: a weight is `rn(scale · code)`. This is
    /// how TFLite stores the weights of a layer per channel, where the zero point is 0.
    ///
    /// # Errors
    /// [`Error::Length`] about [`Argument::Codes`] when there are not `outputs · inputs`, or about
    /// [`Argument::Scales`] when there is not one for each output; [`Error::NonFinite`] with the first output whose
    /// scale is infinite or NaN; [`Error::Overflow`].
    ///
    /// ```
    /// use lowrank::{Base, Weights};
    /// static W: [i8; 6] = [127, 0, -64, 1, 2, 3];
    /// static SCALES: [f32; 2] = [0.5, 0.25];
    /// let base = Base::new(Weights::int8(&W, &SCALES, 2, 3)?, None);
    /// assert_eq!((base.weights.get(0, 2), base.weights.get(1, 2)), (Some(-32.0), Some(0.75)));
    /// # Ok::<(), lowrank::Error>(())
    /// ```
    pub const fn int8(codes: &'a [i8], scales: &'a [f32], outputs: usize, inputs: usize) -> Result<Self, Error> {
        let (codes, bytes) = (bytes_of_i8(codes), bytes_of_f32(scales));
        if let Err(error) = expect_bytes(Argument::Codes, codes, (outputs, inputs), (1, 1)) {
            return Err(error);
        }
        if let Err(error) = expect_len(Argument::Scales, scales.len(), outputs) {
            return Err(error);
        }
        let mut index = 0;
        while index < scales.len() {
            if !scales[index].is_finite() {
                return Err(Error::NonFinite { argument: Argument::Scales, index });
            }
            index += 1;
        }
        Ok(Self::of::<Int8>(Stored::Bytes(Bytes { codes, scales: bytes }), (outputs, inputs)))
    }
}

struct Int8;

#[inline(always)]
fn scale(bytes: &Bytes<'_>, o: usize) -> f32 {
    f32::from_ne_bytes(*fixed(bytes.scales, 4 * o))
}

impl Decode for Int8 {
    #[inline(always)]
    fn part(bytes: &Bytes<'_>, inputs: usize, (o, i): (usize, usize), to: &mut [f32]) {
        let (scale, codes) = (scale(bytes, o), some(bytes.codes, o * inputs + i, to.len()));
        to.iter_mut().zip(codes).for_each(|(to, &code)| *to = scale * f32::from(code as i8));
    }

    #[inline(always)]
    fn run<S: Simd>(simd: S, bytes: &Bytes<'_>, inputs: usize, (o, i): (usize, usize), to: &mut [f32; RUN]) {
        scaled_i8(simd, scale(bytes, o), fixed(bytes.codes, o * inputs + i), to);
    }
}
