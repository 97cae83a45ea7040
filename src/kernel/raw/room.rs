//! Room on the stack that costs nothing until it is used: what nobody asked for is neither zeroed nor touched.

#![allow(unsafe_code, reason = "memory that is zeroed as far as it is handed out")]

use core::mem::MaybeUninit;

pub(crate) use crate::simd::target::PANEL;
use crate::view::MatMut;

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

    /// A matrix at the start of the room, whatever it holds. Callers ask for no more than there is room for.
    #[inline(always)]
    pub(crate) fn matrix(&mut self, rows: usize, cols: usize) -> MatMut<'_> {
        MatMut::dense(self.first(rows * cols), rows, cols)
    }

    /// All of it, zeroed where it has not been written.
    #[inline(always)]
    pub(crate) fn all(&mut self) -> &mut [f32] {
        self.first(N)
    }

    /// All of it, or nothing where nobody needs it.
    #[inline(always)]
    pub(crate) fn unless(&mut self, nobody: bool) -> &mut [f32] {
        if nobody { &mut [] } else { self.all() }
    }

    /// The first `len` numbers; none where the room is smaller.
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
