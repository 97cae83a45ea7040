//! Products where there are no vectors: operands of any strides, so nothing is copied, blocked or exchanged.

#![allow(unsafe_code, reason = "the sizes of views, compared once, then raw pointers")]

use super::Start;
use crate::kernel::pair::Turn;
use crate::simd::Simd;
use crate::view::{MatMut, MatRef};

/// The product of a [`Pair`](crate::kernel::pair::Pair), one number at a time.
// A function of its own for all calls, and everything by reference: a call is as small as can be.
#[inline(never)]
pub(crate) fn product<S: Simd>(
    simd: S,
    left: &MatRef<'_>,
    right: &MatRef<'_>,
    turn: Turn,
    out: &mut MatMut<'_>,
    start: &Start<'_>,
) {
    let (mut few, rows, depth) = Side::of(left, turn == Turn::Left);
    let (mut many, lanes, right_depth) = Side::of(right, turn != Turn::Right);
    let depth = depth.min(right_depth);
    let (mut width, mut height) = (lanes.min(out.cols()), rows.min(out.rows()));
    let stride = out.stride();
    let mut plane = Plane { at: out.data_mut().as_mut_ptr().cast_const(), many: 1, few: stride };
    let mut start = match *start {
        Start::Zero => Plane { at: &0.0, many: 0, few: 0 },
        Start::Bias(bias) => {
            width = width.min(bias.len());
            Plane { at: bias.as_ptr(), many: 1, few: 0 }
        }
        Start::Existing => plane,
    };
    let along = many.deeper == 1 && few.deeper == 1;
    if width < 4 && height >= 4 && (along || few.next == 1) {
        core::mem::swap(&mut many, &mut few);
        core::mem::swap(&mut width, &mut height);
        (plane, start) = (plane.turned(), start.turned());
    }
    let tiles = Tiles { many, few, depth, out: plane, start };
    // SAFETY: a view lies inside its slice, and no side has more chains than the view of its operand, that of the output and
    // a bias, nor deeper ones than both operands; exchanging both sides exchanges rows and lanes everywhere.
    unsafe { tiles.cover(simd, along, width, height) }
}

/// One operand: from the first chain to the next, and along a chain.
#[derive(Copy, Clone)]
pub(super) struct Side {
    pub(super) at: *const f32,
    pub(super) next: usize,
    pub(super) deeper: usize,
}

impl Side {
    /// The rows of a matrix as chains, or its columns; how many they are, and how deep.
    #[inline(always)]
    pub(super) fn of(matrix: &MatRef<'_>, columns: bool) -> (Self, usize, usize) {
        let (at, rows, cols, stride) = (matrix.data().as_ptr(), matrix.rows(), matrix.cols(), matrix.stride());
        if columns {
            (Self { at, next: 1, deeper: stride }, cols, rows)
        } else {
            (Self { at, next: stride, deeper: 1 }, rows, cols)
        }
    }
}

/// What there is one of for every chain.
#[derive(Copy, Clone)]
struct Plane {
    at: *const f32,
    many: usize,
    few: usize,
}

impl Plane {
    const fn turned(self) -> Self {
        Self { at: self.at, many: self.few, few: self.many }
    }

    #[inline(always)]
    fn at(&self, many: usize, few: usize) -> *const f32 {
        self.at.wrapping_add(many * self.many + few * self.few)
    }
}

/// From the first chain of a tile. Pointers move by `wrapping_add`: behind the last tile they may leave the slice, and are
/// then not used.
#[derive(Copy, Clone)]
struct Tiles {
    /// The side of which a tile has more.
    many: Side,
    few: Side,
    depth: usize,
    out: Plane,
    start: Plane,
}

impl Tiles {
    #[inline(always)]
    fn skip_many(&mut self, count: usize) {
        self.many.at = self.many.at.wrapping_add(count * self.many.next);
        self.out.at = self.out.at(count, 0);
        self.start.at = self.start.at(count, 0);
    }

    #[inline(always)]
    fn skip_few(&mut self, count: usize) {
        self.few.at = self.few.at.wrapping_add(count * self.few.next);
        self.out.at = self.out.at(0, count);
        self.start.at = self.start.at(0, count);
    }

    /// All chains. `along`: both sides have the numbers of a chain side by side.
    ///
    /// # Safety
    /// There are `width` × `height` chains, and an output of its own and a start for each.
    #[inline(always)]
    unsafe fn cover<S: Simd>(mut self, simd: S, along: bool, mut width: usize, height: usize) {
        let beside = self.many.next == 1;
        while width > 0 {
            // One chain on the other side leaves registers for more on this one.
            let step = match width {
                4.. if cfg!(lowrank_small) => 4,
                8.. if height == 1 && (along || beside) => 8,
                4.. if along || beside => 4,
                _ => 1,
            };
            let (mut column, mut left) = (self, height);
            while left > 0 {
                let count = if step > 1 && left > 1 && !cfg!(lowrank_small) { 2 } else { 1 };
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
                if cfg!(lowrank_small) {
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
        let apart = ALONG || cfg!(lowrank_small);
        let (mut many, mut few) = ([self.many.at; MANY], [self.few.at; FEW]);
        unroll!(m < MANY, { many[m] = self.many.at.wrapping_add(m * self.many.next) });
        unroll!(v < FEW, { few[v] = self.few.at.wrapping_add(v * self.few.next) });
        for _ in 0..self.depth {
            let mut values = [simd.splat(0.0); FEW];
            unroll!(v < FEW, {
                // SAFETY: the chain is this deep.
                values[v] = unsafe { simd.load(few[v]) };
                few[v] = few[v].wrapping_add(if ALONG { 1 } else { self.few.deeper });
            });
            unroll!(m < MANY, {
                let from = if apart { many[m] } else { many[0].wrapping_add(m) };
                // SAFETY: the chain is this deep.
                let value = unsafe { simd.load(from) };
                unroll!(v < FEW, { acc[v][m] = simd.step(acc[v][m], values[v], value) });
                if apart {
                    many[m] = many[m].wrapping_add(if ALONG { 1 } else { self.many.deeper });
                }
            });
            if !apart {
                many[0] = many[0].wrapping_add(self.many.deeper);
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
