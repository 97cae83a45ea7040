//! NEON on AArch64: 4 lanes, 32 registers.

use core::arch::aarch64::*;
use core::marker::PhantomData;

use super::lanes::{Kernel, Rounding, Simd};

/// Proof that the CPU has NEON.
#[derive(Copy, Clone)]
pub(crate) struct Neon<R>(PhantomData<R>);

impl<R> Neon<R> {
    /// # Safety
    /// The CPU has NEON.
    pub(super) const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

/// Transposes 4 × 4 numbers.
#[inline]
#[target_feature(enable = "neon")]
fn transpose([a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
    let [ac, bd] = [vzip1q_f32(a, c), vzip1q_f32(b, d)];
    let [eg, fh] = [vzip2q_f32(a, c), vzip2q_f32(b, d)];
    [vzip1q_f32(ac, bd), vzip2q_f32(ac, bd), vzip1q_f32(eg, fh), vzip2q_f32(eg, fh)]
}

/// The numbers of 4 bytes with a sign.
#[inline]
#[target_feature(enable = "neon")]
fn signed(bytes: u32) -> float32x4_t {
    let codes = vmovl_s8(vcreate_s8(u64::from(bytes.to_le())));
    vcvtq_f32_s32(vmovl_s16(vget_low_s16(codes)))
}

/// The numbers of the lower and of the upper four bits of 4 bytes.
#[inline]
#[target_feature(enable = "neon")]
fn nibbles(bytes: u32) -> [float32x4_t; 2] {
    let codes = vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(u64::from(bytes.to_le())))));
    [vcvtq_f32_u32(vandq_u32(codes, vdupq_n_u32(15))), vcvtq_f32_u32(vshrq_n_u32::<4>(codes))]
}

// SAFETY of every intrinsic below: holding the token proves that the CPU has the instruction.
impl<R: Rounding> Simd for Neon<R> {
    type V = float32x4_t;
    type Narrow = Self;
    const LANES: usize = 4;
    const TILE_ROWS: usize = 8;
    const TILE_VECTORS: usize = 3;

    #[inline(always)]
    fn narrow(self) -> Self {
        self
    }

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn entry<R: Rounding, K: Kernel>(simd: Neon<R>, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: the token proves the feature.
        unsafe { entry(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        // SAFETY: token.
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller vouches for 4 numbers; the instruction takes any alignment.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> float32x4_t {
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: i < count, and the caller vouches for count numbers.
            *lane = unsafe { from.wrapping_add(i).read() };
        }
        // SAFETY: the array holds 4 numbers.
        unsafe { vld1q_f32(lanes.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_columns(self, from: *const f32, stride: usize) -> [float32x4_t; 4] {
        let rows = [0, 1, 2, 3].map(|l| {
            // SAFETY: the caller vouches for 4 numbers of every row.
            unsafe { vld1q_f32(from.wrapping_add(l * stride)) }
        });
        // SAFETY: token.
        unsafe { transpose(rows) }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const u8) -> float32x4_t {
        // SAFETY: the caller vouches for 4 bytes, at any address.
        let bytes = unsafe { from.cast::<u32>().read_unaligned() };
        // SAFETY: token.
        unsafe { signed(bytes) }
    }

    #[inline(always)]
    unsafe fn load_u4(self, from: *const u8) -> [float32x4_t; 2] {
        // SAFETY: the caller vouches for 4 bytes, at any address.
        let bytes = unsafe { from.cast::<u32>().read_unaligned() };
        // SAFETY: token.
        unsafe { nibbles(bytes) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: float32x4_t) {
        // SAFETY: the caller vouches for 4 numbers.
        unsafe { vst1q_f32(to, v) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize, v: float32x4_t) {
        let mut lanes = [0.0; 4];
        // SAFETY: the array holds 4 numbers.
        unsafe { vst1q_f32(lanes.as_mut_ptr(), v) };
        for (i, &lane) in lanes.iter().enumerate().take(count) {
            // SAFETY: i < count, and the caller vouches for count numbers.
            unsafe { to.wrapping_add(i).write(lane) };
        }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: token.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: token.
        unsafe { vsubq_f32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: token.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: token.
        unsafe { vdivq_f32(a, b) }
    }

    #[inline(always)]
    fn sqrt(self, a: float32x4_t) -> float32x4_t {
        // SAFETY: token.
        unsafe { vsqrtq_f32(a) }
    }

    #[inline(always)]
    fn step(self, acc: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        if R::FUSED {
            // SAFETY: token.
            unsafe { vfmaq_f32(acc, a, b) }
        } else {
            self.add(acc, self.mul(a, b))
        }
    }
}
