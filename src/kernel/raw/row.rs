//! One row of the output, as when a single token is computed.

#![allow(unsafe_code, reason = "one check of all lengths in `run`, then raw pointers")]

use super::tile::Start;
use crate::simd::Simd;

/// One row of the output over panels that lie one after the other, several at a time: memory is faster when it is read at
/// several places, and a chain waits for its own last step. 4096×4096: 8 GFLOP/s with one panel, 12 with four or eight.
/// Where a cache holds the weights, prefetching takes bandwidth: 38 instead of 47 GFLOP/s (1024×1024, AVX-512, Zen 4).
pub(crate) struct RowProduct<'a> {
    /// One number for each depth.
    pub left: &'a [f32],
    /// Panels `[depth, width]`, the last one narrower if need be.
    pub panels: &'a [f32],
    pub width: usize,
    pub out: &'a mut [f32],
    pub start: Start<'a>,
}

/// Numbers in a line of the caches.
const LINE: usize = 16;
/// Panels of at least as many numbers come from main memory. They are fetched ahead if a panel has several lines at each
/// depth: 4096×4096: 15.3 instead of 12.8 GFLOP/s with lines of 48 (AVX-512, Zen 4), no faster with lines of 16 (AVX2).
const FAR: usize = 1 << 23;
/// How far ahead of the multiply-adds, in numbers; from 768 to 3072 it is the same.
const AHEAD: usize = 1536;

impl RowProduct<'_> {
    /// Returns the lanes of the output that were written: all of them, those of the whole panels, or none where panels are not as
    /// wide as a tile.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(self, simd: S) -> usize {
        let (depth, lanes, width) = (self.left.len(), self.out.len(), self.width);
        let start = match self.start {
            Start::Zero => From::Zero,
            Start::Bias(bias) if bias.len() >= lanes => From::Memory(bias.as_ptr()),
            Start::Bias(_) => return 0,
            Start::Existing => From::Memory(self.out.as_ptr()),
        };
        let fits = lanes.checked_mul(depth).is_some_and(|len| len <= self.panels.len());
        if S::LANES == 1 || width != S::TILE_VECTORS * S::LANES || depth == 0 || !fits {
            return 0;
        }
        let mut row = Row { left: self.left, right: self.panels.as_ptr(), out: self.out.as_mut_ptr(), start };
        let (count, tail) = (lanes / width, lanes % width);
        let written = if width > LINE && self.panels.len() >= FAR {
            // SAFETY: as many panels and lanes lie in the panels, the output and a bias.
            unsafe { row.panels::<S, true>(simd, count, tail) }
        } else {
            // SAFETY: as above.
            unsafe { row.panels::<S, false>(simd, count, tail) }
        };
        written.min(lanes)
    }
}

/// Where the chains start.
#[derive(Copy, Clone)]
enum From {
    Zero,
    Memory(*const f32),
}

/// What is left of the row, from its first element.
struct Row<'a> {
    left: &'a [f32],
    right: *const f32,
    out: *mut f32,
    start: From,
}

impl Row<'_> {
    /// As many panels at a time as accumulators stay in registers, a narrower last one beside the last of them, fetched ahead
    /// if wanted. Returns the lanes that were written.
    ///
    /// # Safety
    /// `count` panels as wide as the tile and one of `tail` lanes lie in `right`, all their lanes in `out` and at the start.
    #[inline(always)]
    unsafe fn panels<S: Simd, const FETCH: bool>(&mut self, simd: S, mut count: usize, tail: usize) -> usize {
        let (width, mut done) = (S::TILE_VECTORS * S::LANES, 0);
        let tail = if tail.is_multiple_of(S::LANES) { tail / S::LANES } else { 0 };
        macro_rules! groups {
            ($($side:literal)*) => {
                $(while $side <= S::TILE_ROWS && count >= $side {
                    count -= $side;
                    let beside = if count == 0 { tail } else { 0 };
                    // SAFETY: as for this function, of which as much is left.
                    unsafe { self.group::<S, $side, FETCH>(simd, beside) };
                    done += $side * width + beside * S::LANES;
                })*
            };
        }
        groups!(8 4 2 1);
        done
    }

    /// `SIDE` panels, and `beside` vectors of the last one.
    ///
    /// # Safety
    /// As for [`Row::panels`].
    #[inline(always)]
    unsafe fn group<S: Simd, const SIDE: usize, const FETCH: bool>(&mut self, simd: S, beside: usize) {
        macro_rules! vectors {
            ($($vectors:literal $beside:literal),*) => {
                $(if $vectors == S::TILE_VECTORS && $beside == beside {
                    // SAFETY: as for this function.
                    unsafe { self.side_by_side::<S, SIDE, $vectors, $beside, FETCH>(simd) }
                })*
            };
        }
        vectors!(2 0, 2 1, 3 0, 3 1, 3 2);
    }

    /// # Safety
    /// As for [`Row::panels`].
    #[inline(always)]
    unsafe fn side_by_side<S: Simd, const SIDE: usize, const VECTORS: usize, const BESIDE: usize, const FETCH: bool>(
        &mut self,
        simd: S,
    ) {
        let (width, beside) = (VECTORS * S::LANES, BESIDE * S::LANES);
        let panel = width * self.left.len();
        let mut acc = [[simd.splat(0.0); VECTORS]; SIDE];
        let mut last = [simd.splat(0.0); BESIDE];
        if let From::Memory(from) = self.start {
            unroll!(p < SIDE, {
                unroll!(v < VECTORS, {
                    // SAFETY: the start of these lanes lies here.
                    acc[p][v] = unsafe { simd.load(from.wrapping_add(p * width + v * S::LANES)) };
                });
            });
            unroll!(v < BESIDE, {
                // SAFETY: as above.
                last[v] = unsafe { simd.load(from.wrapping_add(SIDE * width + v * S::LANES)) };
            });
            self.start = From::Memory(from.wrapping_add(SIDE * width));
        }
        let mut at = [self.right; SIDE];
        unroll!(p < SIDE, { at[p] = self.right.wrapping_add(p * panel) });
        let mut at_last = self.right.wrapping_add(SIDE * panel);
        for &value in self.left {
            let value = simd.splat(value);
            unroll!(p < SIDE, {
                unroll!(v < VECTORS, {
                    if FETCH && (v * S::LANES).is_multiple_of(LINE) {
                        simd.prefetch_outer(at[p].wrapping_add(AHEAD + v * S::LANES));
                    }
                    // SAFETY: the panel holds these lanes at this depth.
                    let lanes = unsafe { simd.load(at[p].wrapping_add(v * S::LANES)) };
                    acc[p][v] = simd.step(acc[p][v], value, lanes);
                });
                at[p] = simd.unrelated(at[p].wrapping_add(width));
            });
            unroll!(v < BESIDE, {
                // SAFETY: as above.
                let lanes = unsafe { simd.load(at_last.wrapping_add(v * S::LANES)) };
                last[v] = simd.step(last[v], value, lanes);
            });
            at_last = at_last.wrapping_add(beside);
        }
        unroll!(p < SIDE, {
            unroll!(v < VECTORS, {
                // SAFETY: the output has these lanes.
                unsafe { simd.store(self.out.wrapping_add(p * width + v * S::LANES), acc[p][v]) };
            });
        });
        unroll!(v < BESIDE, {
            // SAFETY: as above.
            unsafe { simd.store(self.out.wrapping_add(SIDE * width + v * S::LANES), last[v]) };
        });
        // Behind a narrower panel there is nothing.
        self.right = self.right.wrapping_add(SIDE * panel);
        self.out = self.out.wrapping_add(SIDE * width);
    }
}
