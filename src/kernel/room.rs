//! Room on the stack that costs nothing until it is used: what nobody asked for is neither zeroed nor touched.

#![allow(unsafe_code, reason = "memory that is zeroed as far as it is handed out")]

use core::mem::MaybeUninit;

/// Whether anything is ever copied: one-lane targets read every operand in place.
const VECTORS: usize = if cfg!(any(
    all(target_arch = "x86_64", not(lowrank_scalar_only)),
    all(target_arch = "aarch64", target_feature = "neon", not(lowrank_scalar_only)),
    all(target_arch = "wasm32", target_feature = "simd128", not(lowrank_scalar_only)),
)) {
    1
} else {
    0
};

/// Numbers of a panel: 12 KiB.
pub(crate) const PANEL: usize = 3072 * VECTORS;

/// Numbers of the accumulators of a product with rows and lanes exchanged: 24 KiB. For 128 tokens and packed weights of
/// 2048×2048 and more, 12 KiB made it 13 % slower, 16 KiB 7 % (AVX-512, Zen 4).
pub(crate) const ACCUMULATORS: usize = 6144 * VECTORS;

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
