//! WebAssembly simd128: 4 lanes. There is no fused instruction, so the fused step goes lane by lane; relaxed SIMD leaves
//! the rounding to the engine and is no alternative.

use core::arch::wasm32::*;
use core::marker::PhantomData;

use super::scalar::fused;
use super::{Kernel, Rounding, Simd};

/// A module that holds this code is refused by an engine without simd128.
#[derive(Copy, Clone)]
pub(crate) struct Simd128<R>(PhantomData<R>);

impl<R> Simd128<R> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R: Rounding> Simd for Simd128<R> {
    type V = v128;
    type Narrow = Self;
    const LANES: usize = 4;
    // Engines map the locals of a function to 16 registers on x86-64.
    const TILE_ROWS: usize = 4;
    const TILE_VECTORS: usize = 2;

    #[inline(always)]
    fn narrow(self) -> Self {
        self
    }

    #[inline(never)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> v128 {
        f32x4_splat(x)
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> v128 {
        // SAFETY: the caller vouches for 4 numbers; the instruction takes any alignment.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> v128 {
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: i < count, and the caller vouches for count numbers.
            *lane = unsafe { from.wrapping_add(i).read() };
        }
        f32x4(lanes[0], lanes[1], lanes[2], lanes[3])
    }

    #[inline(always)]
    unsafe fn load_columns(self, from: *const f32, stride: usize) -> [v128; 4] {
        let [a, b, c, d] = [0, 1, 2, 3].map(|l| {
            // SAFETY: the caller vouches for 4 numbers of every row.
            unsafe { v128_load(from.wrapping_add(l * stride).cast()) }
        });
        let [ac, bd] = [i32x4_shuffle::<0, 4, 1, 5>(a, c), i32x4_shuffle::<0, 4, 1, 5>(b, d)];
        let [eg, fh] = [i32x4_shuffle::<2, 6, 3, 7>(a, c), i32x4_shuffle::<2, 6, 3, 7>(b, d)];
        [
            i32x4_shuffle::<0, 4, 1, 5>(ac, bd),
            i32x4_shuffle::<2, 6, 3, 7>(ac, bd),
            i32x4_shuffle::<0, 4, 1, 5>(eg, fh),
            i32x4_shuffle::<2, 6, 3, 7>(eg, fh),
        ]
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: v128) {
        // SAFETY: the caller vouches for 4 numbers.
        unsafe { v128_store(to.cast(), v) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize, v: v128) {
        for (i, lane) in lanes(v).into_iter().enumerate().take(count) {
            // SAFETY: i < count, and the caller vouches for count numbers.
            unsafe { to.wrapping_add(i).write(lane) };
        }
    }

    #[inline(always)]
    fn add(self, a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    fn sub(self, a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }

    #[inline(always)]
    fn mul(self, a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }

    #[inline(always)]
    fn div(self, a: v128, b: v128) -> v128 {
        f32x4_div(a, b)
    }

    #[inline(always)]
    fn sqrt(self, a: v128) -> v128 {
        f32x4_sqrt(a)
    }

    #[inline(always)]
    fn step(self, acc: v128, a: v128, b: v128) -> v128 {
        if R::FUSED { fused4(acc, a, b) } else { f32x4_add(acc, f32x4_mul(a, b)) }
    }
}

#[inline(always)]
fn lanes(v: v128) -> [f32; 4] {
    [f32x4_extract_lane::<0>(v), f32x4_extract_lane::<1>(v), f32x4_extract_lane::<2>(v), f32x4_extract_lane::<3>(v)]
}

/// Out of line: inlined into a tile of 8 accumulators it would be 32 copies.
#[inline(never)]
fn fused4(acc: v128, a: v128, b: v128) -> v128 {
    let (acc, a, b) = (lanes(acc), lanes(a), lanes(b));
    f32x4(fused(acc[0], a[0], b[0]), fused(acc[1], a[1], b[1]), fused(acc[2], a[2], b[2]), fused(acc[3], a[3], b[3]))
}
