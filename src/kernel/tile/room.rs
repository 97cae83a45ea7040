//! Room on the stack that costs nothing until it is used: what nobody asked for is neither zeroed nor touched.

#![allow(unsafe_code, reason = "memory that is zeroed as far as it is handed out")]

use core::mem::MaybeUninit;

use crate::simd::HAS_VECTORS;

/// Numbers of a panel: 12 KiB on x86-64, which has the widest tiles, 4 KiB where vectors have four lanes, none on one-lane
/// targets, which read every operand in place.
pub(crate) const PANEL: usize = match (HAS_VECTORS, cfg!(target_arch = "x86_64")) {
    (false, _) => 0,
    (true, true) => 3072,
    (true, false) => 1024,
};

/// Numbers of the accumulators of a product with rows and lanes exchanged. On 128 tokens and packed weights of 2048×2048 and
/// more, half of it made the backward pass 13 % slower, two thirds 7 % (AVX-512, Zen 4).
pub(crate) const ACCUMULATORS: usize = 2 * PANEL;

/// How many rows of this width there is room for; one at least, so that loops go on.
// A division by what the compiler cannot see to be above 0 would leave a panic in the machine code, and so would a step of a range.
#[inline(always)]
pub(crate) const fn rows_in(room: usize, width: usize) -> usize {
    match room.checked_div(width) {
        Some(rows) if rows > 0 => rows,
        _ => 1,
    }
}

/// At most `N` numbers.
pub(crate) struct Room<const N: usize> {
    numbers: [MaybeUninit<f32>; N],
    /// The first of them that may not have been written yet.
    used: usize,
}

impl<const N: usize> Room<N> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self { numbers: [const { MaybeUninit::uninit() }; N], used: 0 }
    }

    /// The first `len` numbers, whatever they hold; none where the room is smaller.
    #[inline(always)]
    pub(crate) fn first(&mut self, len: usize) -> &mut [f32] {
        if len > N {
            return &mut [];
        }
        if let Some(fresh) = self.numbers.get_mut(self.used..len) {
            fresh.fill(MaybeUninit::new(0.0));
            self.used = len;
        }
        // SAFETY: len <= N, and everything below `used` >= len has been written.
        unsafe { core::slice::from_raw_parts_mut(self.numbers.as_mut_ptr().cast(), len) }
    }
}
