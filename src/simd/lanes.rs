//! The operations that an instruction set has to give, and what they mean.

use super::target;

#[cfg(all(target_arch = "x86_64", not(lowrank_scalar_only)))]
#[inline(always)]
#[allow(clippy::pointers_in_nomem_asm_block, reason = "nothing is read or written through the pointer")]
pub(super) fn unrelated(pointer: *const f32) -> *const f32 {
    #[cfg(not(miri))]
    let pointer = {
        let same: *const f32;
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!("/* {0} */", inout(reg) pointer => same, options(pure, nomem, nostack, preserves_flags));
        }
        same
    };
    pointer
}

/// The arithmetic as a type. `FUSED` says how [`Simd::step`] rounds.
pub(crate) trait Rounding: Copy + 'static {
    const FUSED: bool;
}

/// `acc = rn(acc + rn(a·b))`.
#[derive(Copy, Clone)]
pub(crate) struct Separate;

/// `acc = rn(acc + a·b)`.
#[cfg(not(lowrank_separate_only))]
#[derive(Copy, Clone)]
pub(crate) struct Fused;

impl Rounding for Separate {
    const FUSED: bool = false;
}

#[cfg(not(lowrank_separate_only))]
impl Rounding for Fused {
    const FUSED: bool = true;
}

/// Code that is written once and compiled for every instruction set.
///
/// `run` has to be `#[inline(always)]`: only then it becomes part of the one function that carries the
/// `#[target_feature]` attribute, and with it every operation that it uses.
pub(crate) trait Kernel {
    type Output;
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The operations of one instruction set in one arithmetic, lane by lane and each rounded as IEEE 754 says.
pub(crate) trait Simd: Copy + 'static {
    /// `LANES` numbers.
    type V: Copy;
    /// The next narrower instruction set that this one includes, or itself: rows of few lanes fill its vectors better.
    type Narrow: Simd;
    const LANES: usize;
    /// Rows of the register tile: the accumulators, one row of vectors and one broadcast fit into the register file.
    const TILE_ROWS: usize;
    /// Vectors in a row of the register tile.
    const TILE_VECTORS: usize;
    /// Whether one small function computes every product.
    const COMPACT: bool = Self::LANES == 1 || target::SMALL_VECTORS;

    /// The token of the narrower instruction set.
    fn narrow(self) -> Self::Narrow;

    /// Runs a kernel in a function of its own that is compiled for this instruction set.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// Asks for the cache line of an address, which need not be valid. Nothing where there is no such instruction.
    #[inline(always)]
    fn prefetch(self, _at: *const f32) {}

    /// As [`prefetch`](Self::prefetch), into a cache behind the first.
    #[inline(always)]
    fn prefetch_outer(self, _at: *const f32) {}

    /// The same pointer, of which the compiler does not see how it came about. From pointers to the rows of a tile that it
    /// can relate it makes one pointer and a chain of additions, a cycle for each row, or a register for every row, which
    /// spill: 55 and 62 GFLOP/s instead of 79 on 12 rows of one vector (AVX2, Zen 4).
    #[inline(always)]
    fn unrelated(self, pointer: *const f32) -> *const f32 {
        pointer
    }

    fn splat(self, x: f32) -> Self::V;

    /// # Safety
    /// `from` is valid for reading `LANES` numbers. Any alignment that `f32` has will do.
    unsafe fn load(self, from: *const f32) -> Self::V;

    /// The first `count` lanes from memory, zero in the others.
    ///
    /// # Safety
    /// `count <= LANES`, and `from` is valid for reading `count` numbers. Nothing behind them is read.
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::V;

    /// Four columns of `LANES` rows that lie `stride` apart: lane `l` of vector `j` is `from[l * stride + j]`.
    ///
    /// # Safety
    /// `from` is valid for reading 4 numbers from the start of each of the `LANES` rows.
    unsafe fn load_columns(self, from: *const f32, stride: usize) -> [Self::V; 4];

    /// The numbers of `LANES` codes of type i8.
    ///
    /// # Safety
    /// `from` is valid for reading `LANES` bytes.
    unsafe fn load_i8(self, from: *const u8) -> Self::V;

    /// The numbers of `LANES` bytes: of their lower four bits, and of their upper four bits, from 0 to 15.
    ///
    /// # Safety
    /// `from` is valid for reading `LANES` bytes.
    unsafe fn load_u4(self, from: *const u8) -> [Self::V; 2];

    /// # Safety
    /// `to` is valid for writing `LANES` numbers.
    unsafe fn store(self, to: *mut f32, v: Self::V);

    /// # Safety
    /// `count <= LANES`, and `to` is valid for writing `count` numbers. Nothing behind them is written.
    unsafe fn store_first(self, to: *mut f32, count: usize, v: Self::V);

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;

    /// One link of a chain: `acc + a·b` in this arithmetic.
    fn step(self, acc: Self::V, a: Self::V, b: Self::V) -> Self::V;

    /// The first `min(LANES, from.len())` lanes from a slice, zero in the others.
    #[inline(always)]
    fn read(self, from: &[f32]) -> Self::V {
        if from.len() >= Self::LANES {
            // SAFETY: the slice holds at least LANES numbers.
            unsafe { self.load(from.as_ptr()) }
        } else {
            // SAFETY: the slice holds len < LANES numbers.
            unsafe { self.load_first(from.as_ptr(), from.len()) }
        }
    }

    /// Transposes `LANES` rows, `stride` apart in `from`, into columns `to_stride` apart in `to`: element `j` of row `l` goes to
    /// `to[j * to_stride + l]`. As many columns as `count` holds groups of four; returns their number, which is 0 where they
    /// do not lie inside the slices.
    #[inline(always)]
    fn transpose(self, from: &[f32], stride: usize, to: &mut [f32], to_stride: usize, count: usize) -> usize {
        let count = count - count % 4;
        let last = |rows: usize, stride: usize, len: usize| rows.checked_sub(1)?.checked_mul(stride)?.checked_add(len);
        let inside = last(Self::LANES, stride, count).is_some_and(|needed| needed <= from.len())
            && last(count, to_stride, Self::LANES).is_some_and(|needed| needed <= to.len());
        if !inside {
            return 0;
        }
        let (from, to) = (from.as_ptr(), to.as_mut_ptr());
        for j in (0..count).step_by(4) {
            // SAFETY: LANES rows of `count` numbers lie in `from`, and j + 4 <= count.
            let columns = unsafe { self.load_columns(from.wrapping_add(j), stride) };
            for (more, column) in columns.into_iter().enumerate() {
                // SAFETY: `count` columns of LANES numbers lie in `to`, and j + more < count.
                unsafe { self.store(to.wrapping_add((j + more) * to_stride), column) };
            }
        }
        count
    }

    /// Writes the first `min(LANES, to.len())` lanes to a slice.
    #[inline(always)]
    fn write(self, to: &mut [f32], v: Self::V) {
        if to.len() >= Self::LANES {
            // SAFETY: the slice holds at least LANES numbers.
            unsafe { self.store(to.as_mut_ptr(), v) }
        } else {
            // SAFETY: the slice holds len < LANES numbers.
            unsafe { self.store_first(to.as_mut_ptr(), to.len(), v) }
        }
    }
}
