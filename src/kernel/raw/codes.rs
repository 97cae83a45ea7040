//! Numbers from codes, some at a time: `rn(factor · code)`, and with a term behind that.

#![allow(unsafe_code, reason = "vectors of arrays whose length is a multiple of that of a vector")]

use crate::simd::Simd;

/// Numbers of a multiple of the lanes of every vector.
const fn is_whole<S: Simd, const N: usize>() {
    assert!(N.is_multiple_of(S::LANES), "arrays are whole vectors");
}

/// `to[i] = rn(factor · codes[i])`, of codes of type i8.
#[inline(always)]
pub(crate) fn scaled_i8<S: Simd, const N: usize>(simd: S, factor: f32, codes: &[u8; N], to: &mut [f32; N]) {
    const { is_whole::<S, N>() }
    let factor = simd.splat(factor);
    for at in (0..N).step_by(S::LANES) {
        // SAFETY: N is a multiple of LANES, so that as many codes are left.
        let number = unsafe { simd.load_i8(codes.as_ptr().wrapping_add(at)) };
        // SAFETY: as above, of numbers.
        unsafe { simd.store(to.as_mut_ptr().wrapping_add(at), simd.mul(factor, number)) };
    }
}

/// `low[i] = rn(factor · (code + offset))` of the lower four bits of byte `i`, `high[i]` likewise of the upper four bits. Code and
/// offset are whole numbers.
#[inline(always)]
pub(crate) fn scaled_u4<S: Simd, const N: usize>(
    simd: S,
    (factor, offset): (f32, f32),
    codes: &[u8; N],
    low: &mut [f32; N],
    high: &mut [f32; N],
) {
    const { is_whole::<S, N>() }
    let (factor, offset) = (simd.splat(factor), simd.splat(offset));
    for at in (0..N).step_by(S::LANES) {
        // SAFETY: N is a multiple of LANES, so that as many bytes are left.
        let both = unsafe { simd.load_u4(codes.as_ptr().wrapping_add(at)) };
        for (number, to) in both.into_iter().zip([&mut *low, &mut *high]) {
            let number = simd.mul(factor, simd.add(number, offset));
            // SAFETY: as above, of numbers.
            unsafe { simd.store(to.as_mut_ptr().wrapping_add(at), number) };
        }
    }
}

/// `to[i] = rn(factor · code − minimum)`, of the upper or the lower four bits of byte `i`. The products are exact: a factor with a
/// fraction of 17 bits at most.
#[inline(always)]
pub(crate) fn shifted_u4<S: Simd, const N: usize>(
    simd: S,
    (factor, minimum): (f32, f32),
    codes: &[u8; N],
    upper: bool,
    to: &mut [f32; N],
) {
    const { is_whole::<S, N>() }
    let (factor, minimum) = (simd.splat(factor), simd.splat(minimum));
    for at in (0..N).step_by(S::LANES) {
        // SAFETY: N is a multiple of LANES, so that as many bytes are left.
        let [low, high] = unsafe { simd.load_u4(codes.as_ptr().wrapping_add(at)) };
        let number = simd.sub(simd.mul(factor, if upper { high } else { low }), minimum);
        // SAFETY: as above, of numbers.
        unsafe { simd.store(to.as_mut_ptr().wrapping_add(at), number) };
    }
}
