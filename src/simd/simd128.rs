//! WebAssembly simd128: 4 lanes. There is no fused instruction, so the fused step goes lane by lane; relaxed SIMD leaves
//! the rounding to the engine and is no alternative.

use core::arch::wasm32::*;
use core::marker::PhantomData;

use super::lanes::{Kernel, Rounding, Simd};
use super::scalar::fused;

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
    // Engines map the locals of a function to 16 registers on x86-64, of which V8 keeps one. 384×384 on 128 tokens there:
    // 4×2 reaches 41 GFLOP/s, 2×3 39; 6×2 and 4×3 spill, 28 (Zen 4).
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
        match count {
            0 => f32x4_splat(0.0),
            // SAFETY: the caller vouches for one number.
            1 => unsafe { v128_load32_zero(from.cast()) },
            // SAFETY: the caller vouches for two numbers; the instruction takes any alignment.
            2 => unsafe { v128_load64_zero(from.cast()) },
            3 => {
                // SAFETY: the caller vouches for three numbers; the instruction takes any alignment.
                let two = unsafe { v128_load64_zero(from.cast()) };
                // SAFETY: as above.
                unsafe { v128_load32_lane::<2>(two, from.wrapping_add(2).cast()) }
            }
            // SAFETY: the caller vouches for 4 numbers.
            _ => unsafe { self.load(from) },
        }
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
    unsafe fn load_i8(self, from: *const u8) -> v128 {
        // SAFETY: the caller vouches for 4 bytes; the instruction takes any alignment.
        let bytes = unsafe { v128_load32_zero(from.cast()) };
        f32x4_convert_i32x4(i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(bytes)))
    }

    #[inline(always)]
    unsafe fn load_u4(self, from: *const u8) -> [v128; 2] {
        // SAFETY: the caller vouches for 4 bytes; the instruction takes any alignment.
        let bytes = unsafe { v128_load32_zero(from.cast()) };
        let codes = u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(bytes));
        [v128_and(codes, u32x4_splat(15)), u32x4_shr(codes, 4)].map(|codes| f32x4_convert_i32x4(codes))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: v128) {
        // SAFETY: the caller vouches for 4 numbers.
        unsafe { v128_store(to.cast(), v) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize, v: v128) {
        match count {
            0 => {}
            // SAFETY: the caller vouches for one number.
            1 => unsafe { v128_store32_lane::<0>(v, to.cast()) },
            // SAFETY: the caller vouches for two numbers; the instruction takes any alignment.
            2 => unsafe { v128_store64_lane::<0>(v, to.cast()) },
            3 => {
                // SAFETY: the caller vouches for three numbers; the instruction takes any alignment.
                unsafe { v128_store64_lane::<0>(v, to.cast()) };
                // SAFETY: as above.
                unsafe { v128_store32_lane::<2>(v, to.wrapping_add(2).cast()) };
            }
            // SAFETY: the caller vouches for 4 numbers.
            _ => unsafe { self.store(to, v) },
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
