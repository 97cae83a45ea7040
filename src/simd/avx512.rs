//! AVX-512F: 16 lanes, 32 registers.

use core::arch::x86_64::*;
use core::marker::PhantomData;

use super::avx2::Avx2;
use super::lanes::{Kernel, Rounding, Simd};

/// Proof that the CPU has AVX-512F.
#[derive(Copy, Clone)]
pub(crate) struct Avx512<R>(PhantomData<R>);

impl<R> Avx512<R> {
    /// # Safety
    /// The CPU has AVX-512F, and the operating system saves their registers.
    pub(super) const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

/// A bit for each of the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count.min(16)) - 1) as __mmask16
}

/// Transposes the 4 × 4 numbers in each quarter of the registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    let [ab, cd] = [_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d)];
    let [ef, gh] = [_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d)];
    [
        _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd),
        _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd),
        _mm512_shuffle_ps::<0b01_00_01_00>(ef, gh),
        _mm512_shuffle_ps::<0b11_10_11_10>(ef, gh),
    ]
}

/// Four registers of 4 numbers in one.
#[inline]
#[target_feature(enable = "avx512f")]
fn join([a, b, c, d]: [__m128; 4]) -> __m512 {
    let low = _mm512_insertf32x4::<1>(_mm512_castps128_ps512(a), b);
    _mm512_insertf32x4::<3>(_mm512_insertf32x4::<2>(low, c), d)
}

/// The numbers of the lower and of the upper four bits of 16 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
fn nibbles(bytes: __m128i) -> [__m512; 2] {
    let codes = _mm512_cvtepu8_epi32(bytes);
    let low = _mm512_and_si512(codes, _mm512_set1_epi32(15));
    [_mm512_cvtepi32_ps(low), _mm512_cvtepi32_ps(_mm512_srli_epi32::<4>(codes))]
}

// SAFETY of every intrinsic below: holding the token proves that the CPU has the instruction.
impl<R: Rounding> Simd for Avx512<R> {
    type V = __m512;
    type Narrow = Avx2<R>;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 8;
    const TILE_VECTORS: usize = 3;

    #[inline(always)]
    fn narrow(self) -> Avx2<R> {
        // SAFETY: a CPU with AVX-512F has AVX2 and FMA, and detection asks for all three.
        unsafe { Avx2::new() }
    }

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f")]
        fn entry<R: Rounding, K: Kernel>(simd: Avx512<R>, kernel: K) -> K::Output {
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
    fn prefetch_outer(self, at: *const f32) {
        // SAFETY: a prefetch does not access memory.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    fn unrelated(self, pointer: *const f32) -> *const f32 {
        super::lanes::unrelated(pointer)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: token.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for 16 numbers; the instruction takes any alignment.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m512 {
        // SAFETY: masked lanes are not accessed; the caller vouches for the others.
        unsafe { _mm512_maskz_loadu_ps(first(count), from) }
    }

    #[inline(always)]
    unsafe fn load_columns(self, from: *const f32, stride: usize) -> [__m512; 4] {
        // Rows l, l + 4, l + 8 and l + 12 share a register, so that a 4 × 4 transposition in each quarter ends in order.
        let rows = [0, 1, 2, 3].map(|l| {
            let quarters = [0, 4, 8, 12].map(|more| {
                // SAFETY: the caller vouches for 4 numbers of every row.
                unsafe { _mm_loadu_ps(from.wrapping_add((l + more) * stride)) }
            });
            // SAFETY: token.
            unsafe { join(quarters) }
        });
        // SAFETY: token.
        unsafe { transpose(rows) }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const u8) -> __m512 {
        // SAFETY: the caller vouches for 16 bytes; the instruction takes any alignment.
        let codes = unsafe { _mm_loadu_si128(from.cast()) };
        // SAFETY: token.
        let codes = unsafe { _mm512_cvtepi8_epi32(codes) };
        // SAFETY: token.
        unsafe { _mm512_cvtepi32_ps(codes) }
    }

    #[inline(always)]
    unsafe fn load_u4(self, from: *const u8) -> [__m512; 2] {
        // SAFETY: the caller vouches for 16 bytes; the instruction takes any alignment.
        let bytes = unsafe { _mm_loadu_si128(from.cast()) };
        // SAFETY: token.
        unsafe { nibbles(bytes) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        // SAFETY: the caller vouches for 16 numbers.
        unsafe { _mm512_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize, v: __m512) {
        // SAFETY: masked lanes are not accessed; the caller vouches for the others.
        unsafe { _mm512_mask_storeu_ps(to, first(count), v) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: token.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: token.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: token.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: token.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        // SAFETY: token.
        unsafe { _mm512_sqrt_ps(a) }
    }

    #[inline(always)]
    fn step(self, acc: __m512, a: __m512, b: __m512) -> __m512 {
        if R::FUSED {
            // SAFETY: token.
            unsafe { _mm512_fmadd_ps(a, b, acc) }
        } else {
            self.add(acc, self.mul(a, b))
        }
    }
}
