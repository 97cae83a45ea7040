//! The one product of targets where size counts: of raw pointers, of views, and behind a pointer.

#![allow(unsafe_code, reason = "the products of raw pointers")]

use core::ptr::NonNull;

use super::tile::{RawProduct, Start};
use super::{one_lane, small};
use crate::kernel::operand::Factor;
use crate::simd::Simd;
use crate::simd::target::SMALL_VECTORS;
use crate::view::MatMut;

/// All chains of a product, for targets where size counts.
///
/// # Safety
/// All chains are there, with an output and a start for each. The lanes of the output lie side by side.
#[inline(always)]
pub(super) unsafe fn cover<S: Simd>(simd: S, product: &mut RawProduct) {
    if SMALL_VECTORS && S::LANES > 1 {
        // SAFETY: as the caller says.
        return unsafe { small::cover(simd, product) };
    }
    // SAFETY: as the caller says.
    unsafe { one_lane::cover(simd, product) }
}

/// The product of an instruction set where size counts, behind a pointer.
#[derive(Copy, Clone)]
pub(crate) struct Compact(unsafe fn(&mut RawProduct));

impl Compact {
    pub(crate) fn of<S: Simd>(_simd: S) -> Self {
        /// # Safety
        /// As for [`cover`], and there is a token of this type.
        unsafe fn entry<S: Simd>(product: &mut RawProduct) {
            const { assert!(size_of::<S>() == 0, "a token has no size") };
            // SAFETY: a token is nothing but the proof that the CPU has the instructions, and there is one.
            let simd = unsafe { NonNull::<S>::dangling().read() };
            // SAFETY: as the caller says.
            unsafe { cover(simd, product) }
        }
        Self(entry::<S>)
    }

    /// As [`cover`].
    ///
    /// # Safety
    /// As for [`cover`].
    #[inline(always)]
    pub(super) unsafe fn cover(self, product: &mut RawProduct) {
        // SAFETY: as the caller says; there was a token when the pointer was taken.
        unsafe { (self.0)(product) }
    }

    /// As [`compact`].
    #[inline(never)]
    pub(crate) fn product(self, left: Factor<'_>, right: Factor<'_>, out: &mut MatMut<'_>, start: &Start<'_>) {
        // SAFETY: views lie inside their slices, and `RawProduct::of` takes the smallest of all sizes.
        unsafe { self.cover(&mut RawProduct::of(left, right, out, start)) }
    }
}

/// One function for every product, for targets where size counts.
#[inline(always)]
pub(crate) fn compact<S: Simd>(simd: S, left: Factor<'_>, right: Factor<'_>, out: &mut MatMut<'_>, start: &Start<'_>) {
    if SMALL_VECTORS && S::LANES > 1 {
        return small::product(simd, left, right, out, start);
    }
    one_lane::product(simd, left, right, out, start);
}
