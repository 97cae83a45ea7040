//! Products where there are no vectors: operands of any strides, so nothing is copied, blocked or swapped in memory.

#![allow(unsafe_code, reason = "the sizes of views, compared once, then raw pointers")]

use super::{Raw, Start};
use crate::kernel::operand::Factor;
use crate::simd::Simd;
use crate::simd::target::SMALL;
use crate::view::MatMut;

/// `out[row, lane] = start` continued by `chain_d left[row, d]·right[d, lane]`, one number at a time.
// A function of its own for all calls, and everything by reference: a call is as small as can be.
#[inline(never)]
pub(crate) fn product<S: Simd>(simd: S, left: Factor<'_>, right: Factor<'_>, out: &mut MatMut<'_>, start: &Start<'_>) {
    let (mut few, rows, left_depth) = Raw::of_factor(left);
    let (mut many, lanes, right_depth) = Raw::of_factor(right.t());
    let depth = left_depth.min(right_depth);
    let (mut width, mut height) = (lanes.min(out.cols()), rows.min(out.rows()));
    let mut to = Raw { at: out.data_mut().as_mut_ptr().cast_const(), row_stride: 1, col_stride: out.stride() };
    let mut start = match *start {
        Start::Zero => Raw { at: &0.0, row_stride: 0, col_stride: 0 },
        Start::Bias(bias) => {
            width = width.min(bias.len());
            Raw { at: bias.as_ptr(), row_stride: 1, col_stride: 0 }
        }
        Start::Existing => to,
    };
    let along = many.col_stride == 1 && few.col_stride == 1;
    if width < 4 && height >= 4 && (along || few.row_stride == 1) {
        core::mem::swap(&mut many, &mut few);
        core::mem::swap(&mut width, &mut height);
        (to, start) = (to.t(), start.t());
    }
    let tiles = Tiles { many, few, depth, out: to, start };
    // SAFETY: a view lies inside its slice, and no side has more chains than the view of its operand, that of the output and
    // a bias, nor deeper ones than both operands; swapping both sides swaps rows and lanes everywhere.
    unsafe { tiles.cover(simd, along, width, height) }
}

/// From the first chain of a tile.
#[derive(Copy, Clone)]
struct Tiles {
    /// The side of which a tile has more: a chain a row, along its numbers the depth. So is the other.
    many: Raw,
    few: Raw,
    depth: usize,
    /// A row for each of `many`, a column for each of `few`. So is the start.
    out: Raw,
    start: Raw,
}

impl Tiles {
    #[inline(always)]
    fn skip_many(&mut self, count: usize) {
        self.many.skip_rows(count);
        self.out.skip_rows(count);
        self.start.skip_rows(count);
    }

    #[inline(always)]
    fn skip_few(&mut self, count: usize) {
        self.few.skip_rows(count);
        self.out.skip_cols(count);
        self.start.skip_cols(count);
    }

    /// All chains. `along`: both sides have the numbers of a chain side by side.
    ///
    /// # Safety
    /// There are `width` × `height` chains, and an output of its own and a start for each.
    #[inline(always)]
    unsafe fn cover<S: Simd>(mut self, simd: S, along: bool, mut width: usize, height: usize) {
        let beside = self.many.row_stride == 1;
        while width > 0 {
            // One chain on the other side leaves registers for more on this one.
            let step = match width {
                4.. if SMALL => 4,
                8.. if height == 1 && (along || beside) => 8,
                4.. if along || beside => 4,
                _ => 1,
            };
            let (mut column, mut left) = (self, height);
            while left > 0 {
                let count = if step > 1 && left > 1 && !SMALL { 2 } else { 1 };
                macro_rules! tile {
                    ($($pattern:pat => $along:literal $many:literal $few:literal),*) => {
                        match (step, along, count) {
                            $($pattern => {
                                // SAFETY: as many chains are left, side by side as is said.
                                unsafe { column.tile::<S, $along, $many, $few>(simd) }
                            })*
                        }
                    };
                }
                if SMALL {
                    tile!((1, ..) => false 1 1, _ => false 4 1);
                } else {
                    tile!(
                        (1, ..) => false 1 1,
                        (8, true, _) => true 8 1,
                        (8, false, _) => false 8 1,
                        (_, true, 1) => true 4 1,
                        (_, true, _) => true 4 2,
                        (_, false, 1) => false 4 1,
                        (_, false, _) => false 4 2
                    );
                }
                column.skip_few(count);
                left -= count;
            }
            self.skip_many(step);
            width -= step;
        }
    }

    /// `MANY × FEW` accumulators stay in registers over the depth.
    ///
    /// # Safety
    /// There are as many chains. Their numbers lie side by side on both sides if `ALONG`, else those of the chains of `many`
    /// do, if there are several.
    // Inlined, what all tiles have in common would be computed beforehand and spilled: three times as much code.
    #[inline(never)]
    unsafe fn tile<S: Simd, const ALONG: bool, const MANY: usize, const FEW: usize>(&self, simd: S) {
        let mut acc = [[simd.splat(0.0); MANY]; FEW];
        unroll!(v < FEW, {
            unroll!(m < MANY, {
                // SAFETY: this chain has a start.
                acc[v][m] = unsafe { simd.load(self.start.at(m, v)) };
            });
        });
        // A pointer for each chain, where numbers that lie side by side have no tiles of their own.
        let apart = ALONG || SMALL;
        let (mut many, mut few) = ([self.many.at; MANY], [self.few.at; FEW]);
        unroll!(m < MANY, { many[m] = self.many.at(m, 0) });
        unroll!(v < FEW, { few[v] = self.few.at(v, 0) });
        for _ in 0..self.depth {
            let mut values = [simd.splat(0.0); FEW];
            unroll!(v < FEW, {
                // SAFETY: the chain is this deep.
                values[v] = unsafe { simd.load(few[v]) };
                few[v] = few[v].wrapping_add(if ALONG { 1 } else { self.few.col_stride });
            });
            unroll!(m < MANY, {
                let from = if apart { many[m] } else { many[0].wrapping_add(m) };
                // SAFETY: the chain is this deep.
                let value = unsafe { simd.load(from) };
                unroll!(v < FEW, { acc[v][m] = simd.step(acc[v][m], values[v], value) });
                if apart {
                    many[m] = many[m].wrapping_add(if ALONG { 1 } else { self.many.col_stride });
                }
            });
            if !apart {
                many[0] = many[0].wrapping_add(self.many.col_stride);
            }
        }
        unroll!(v < FEW, {
            unroll!(m < MANY, {
                // SAFETY: this chain has an output, which is borrowed for writing.
                unsafe { simd.store(self.out.at(m, v).cast_mut(), acc[v][m]) };
            });
        });
    }
}
