//! AVX2 with FMA: 8 lanes, 16 registers.

use core::arch::x86_64::*;
use core::marker::PhantomData;

use super::lanes::{Kernel, Rounding, Simd};

/// Proof that the CPU has AVX2 and FMA.
#[derive(Copy, Clone)]
pub(crate) struct Avx2<R>(PhantomData<R>);

impl<R> Avx2<R> {
    /// # Safety
    /// The CPU has AVX2 and FMA, and the operating system saves their registers.
    pub(super) const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

/// All ones in the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __m256i {
    static ONES_THEN_ZEROS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let from = ONES_THEN_ZEROS.as_ptr().wrapping_add(8 - count.min(8));
    // SAFETY: the offset is 0 to 8, so that 8 of the 16 numbers follow. AVX: see `call`.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// Transposes the 4 × 4 numbers in each half of the registers.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    let [ab, cd] = [_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d)];
    let [ef, gh] = [_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d)];
    [
        _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
        _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
        _mm256_shuffle_ps::<0b01_00_01_00>(ef, gh),
        _mm256_shuffle_ps::<0b11_10_11_10>(ef, gh),
    ]
}

/// The numbers of the lower and of the upper four bits of 8 bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn nibbles(bytes: __m128i) -> [__m256; 2] {
    let codes = _mm256_cvtepu8_epi32(bytes);
    let low = _mm256_and_si256(codes, _mm256_set1_epi32(15));
    [_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(codes))]
}

// SAFETY of every intrinsic below: holding the token proves that the CPU has the instruction.
impl<R: Rounding> Simd for Avx2<R> {
    type V = __m256;
    type Narrow = Self;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;
    const TILE_VECTORS: usize = 2;

    #[inline(always)]
    fn narrow(self) -> Self {
        self
    }

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn entry<R: Rounding, K: Kernel>(simd: Avx2<R>, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: the token proves the features.
        unsafe { entry(self, kernel) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a prefetch does not access memory.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    fn unrelated(self, pointer: *const f32) -> *const f32 {
        super::lanes::unrelated(pointer)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: token.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller vouches for 8 numbers; the instruction takes any alignment.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m256 {
        // SAFETY: masked lanes are not accessed; the caller vouches for the others.
        unsafe { _mm256_maskload_ps(from, first(count)) }
    }

    #[inline(always)]
    unsafe fn load_columns(self, from: *const f32, stride: usize) -> [__m256; 4] {
        // Rows l and l + 4 share a register, so that a 4 × 4 transposition in each half ends in order.
        let rows = [0, 1, 2, 3].map(|l| {
            let (low, high) = (from.wrapping_add(l * stride), from.wrapping_add((l + 4) * stride));
            // SAFETY: the caller vouches for 4 numbers of every row.
            let low = unsafe { _mm_loadu_ps(low) };
            // SAFETY: the same.
            let high = unsafe { _mm_loadu_ps(high) };
            // SAFETY: token.
            unsafe { _mm256_set_m128(high, low) }
        });
        // SAFETY: token.
        unsafe { transpose(rows) }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const u8) -> __m256 {
        // SAFETY: the caller vouches for 8 bytes; the instruction takes any alignment.
        let codes = unsafe { _mm_loadl_epi64(from.cast()) };
        // SAFETY: token.
        let codes = unsafe { _mm256_cvtepi8_epi32(codes) };
        // SAFETY: token.
        unsafe { _mm256_cvtepi32_ps(codes) }
    }

    #[inline(always)]
    unsafe fn load_u4(self, from: *const u8) -> [__m256; 2] {
        // SAFETY: the caller vouches for 8 bytes; the instruction takes any alignment.
        let bytes = unsafe { _mm_loadl_epi64(from.cast()) };
        // SAFETY: token.
        unsafe { nibbles(bytes) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m256) {
        // SAFETY: the caller vouches for 8 numbers.
        unsafe { _mm256_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize, v: __m256) {
        // Masked stores take 12 cycles and more on AMD processors.
        if count >= 8 {
            // SAFETY: the caller vouches for 8 numbers.
            return unsafe { self.store(to, v) };
        }
        // SAFETY: token.
        let (mut lanes, mut at) = (unsafe { _mm256_castps256_ps128(v) }, to);
        if count & 4 != 0 {
            // SAFETY: the caller vouches for at least 4 numbers.
            unsafe { _mm_storeu_ps(at, lanes) };
            // SAFETY: token.
            lanes = unsafe { _mm256_extractf128_ps::<1>(v) };
            at = at.wrapping_add(4);
        }
        if count & 2 != 0 {
            // SAFETY: token.
            let bits = unsafe { _mm_castps_si128(lanes) };
            // SAFETY: 2 more numbers are left; the instruction takes any alignment.
            unsafe { _mm_storeu_si64(at.cast(), bits) };
            // SAFETY: token.
            lanes = unsafe { _mm_movehl_ps(lanes, lanes) };
            at = at.wrapping_add(2);
        }
        if count & 1 != 0 {
            // SAFETY: 1 more number is left.
            unsafe { _mm_store_ss(at, lanes) };
        }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: token.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: token.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: token.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: token.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        // SAFETY: token.
        unsafe { _mm256_sqrt_ps(a) }
    }

    #[inline(always)]
    fn step(self, acc: __m256, a: __m256, b: __m256) -> __m256 {
        if R::FUSED {
            // SAFETY: token.
            unsafe { _mm256_fmadd_ps(a, b, acc) }
        } else {
            self.add(acc, self.mul(a, b))
        }
    }
}
