//! Products on vectors where size counts: one tile, and a copy of whatever does not lie as the tile wants it.

#![allow(unsafe_code, reason = "the sizes of views, compared once, then raw pointers")]

use core::mem::MaybeUninit;

use super::room::PANEL;
use super::{Raw, Start};
use crate::kernel::operand::Factor;
use crate::simd::Simd;
use crate::view::MatMut;

/// Vectors side by side.
const VECTORS: usize = 2;
/// Rows of the tile.
const ROWS: usize = 4;

/// `out[row, lane] = start` continued by `chain_d left[row, d]·right[d, lane]`.
// A function of its own for all calls.
#[inline(never)]
pub(crate) fn product<S: Simd>(simd: S, left: Factor<'_>, right: Factor<'_>, out: &mut MatMut<'_>, start: &Start<'_>) {
    let (left, rows, left_depth) = Raw::of_factor(left);
    let (right, right_depth, lanes) = Raw::of_factor(right);
    let (depth, mut lanes, rows) = (left_depth.min(right_depth), lanes.min(out.cols()), rows.min(out.rows()));
    if let Start::Bias(bias) = start {
        lanes = lanes.min(bias.len());
    }
    let (at, stride) = (out.data_mut().as_mut_ptr(), out.stride());
    // SAFETY: the output has so many rows and lanes, and a bias has as many lanes.
    unsafe { begin(at, stride, rows, lanes, start) };
    let (tile, mut room) = (VECTORS * S::LANES, [const { MaybeUninit::<f32>::uninit() }; PANEL]);
    let most = PANEL / tile;
    let mut lane = 0;
    while lane < lanes {
        let width = tile.min(lanes - lane);
        let mut from = 0;
        while from < depth {
            let count = most.min(depth - from);
            let mut panel = Raw { at: right.at(from, lane), ..right };
            if right.col_stride != 1 || width < tile {
                let copy = room.as_mut_ptr().cast();
                // SAFETY: the view has so many lanes from `lane` on, and so many depths from `from` on; of these, as many as
                // the room holds.
                unsafe { copy_panel(simd, panel, width, count, copy) };
                panel = Raw { at: copy, row_stride: tile, col_stride: 1 };
            }
            let mut block = Block {
                left: Raw { at: left.at(0, from), ..left },
                panel,
                count,
                out: at.wrapping_add(lane),
                stride,
                width,
            };
            // SAFETY: the views have so many rows, depths and lanes; the panel has full vectors.
            unsafe { block.rows(simd, rows) };
            from += count;
        }
        lane += tile;
    }
}

/// Writes the start of the chains into the output, where they go on.
///
/// # Safety
/// The output has so many rows and lanes, and a bias has as many lanes.
#[inline(always)]
unsafe fn begin(mut row: *mut f32, stride: usize, rows: usize, lanes: usize, start: &Start<'_>) {
    let zero = 0.0;
    let (from, next) = match *start {
        Start::Zero => (&raw const zero, 0),
        Start::Bias(bias) => (bias.as_ptr(), 1),
        Start::Existing => return,
    };
    for _ in 0..rows {
        for lane in 0..lanes {
            // SAFETY: a bias has this lane, and the zero is read again and again.
            let value = unsafe { from.wrapping_add(lane * next).read() };
            // SAFETY: this row of the output has this lane.
            unsafe { row.wrapping_add(lane).write(value) };
        }
        row = row.wrapping_add(stride);
    }
}

/// Copies `count` rows of `width` numbers into a panel of full vectors, zeros in the lanes behind them.
///
/// # Safety
/// There are as many rows and numbers, and there is room for the panel.
#[inline(always)]
unsafe fn copy_panel<S: Simd>(_simd: S, from: Raw, width: usize, count: usize, to: *mut f32) {
    let tile = VECTORS * S::LANES;
    for at in 0..count * tile {
        let (d, lane) = (at / tile, at % tile);
        let mut value = 0.0;
        if lane < width {
            // SAFETY: there is this row, and it has this number.
            value = unsafe { from.at(d, lane).read() };
        }
        // SAFETY: there is room.
        unsafe { to.wrapping_add(at).write(value) };
    }
}

/// Some depths of some lanes.
struct Block {
    left: Raw,
    panel: Raw,
    count: usize,
    out: *mut f32,
    stride: usize,
    width: usize,
}

impl Block {
    /// # Safety
    /// There are as many rows, and `width` lanes of the output; `count` depths everywhere, with full vectors in the panel.
    #[inline(always)]
    unsafe fn rows<S: Simd>(&mut self, simd: S, mut rows: usize) {
        while rows > 0 {
            let height = if rows >= ROWS { ROWS } else { 1 };
            match height {
                // SAFETY: as many rows are left.
                ROWS => unsafe { self.tile::<S, ROWS, VECTORS>(simd) },
                // SAFETY: as above.
                _ => unsafe { self.tile::<S, 1, VECTORS>(simd) },
            }
            self.left.skip_rows(height);
            self.out = self.out.wrapping_add(height * self.stride);
            rows -= height;
        }
    }

    /// # Safety
    /// As for [`Block::rows`], for `HEIGHT` rows.
    #[inline(never)]
    unsafe fn tile<S: Simd, const HEIGHT: usize, const VECTORS: usize>(&self, simd: S) {
        let mut acc = [[simd.splat(0.0); VECTORS]; HEIGHT];
        unroll!(m < HEIGHT, {
            unroll!(v < VECTORS, {
                // SAFETY: this row of the output has `width` lanes.
                acc[m][v] = unsafe { self.load(simd, m, v) };
            });
        });
        let (mut left, mut right) = (self.left.at, self.panel.at);
        for _ in 0..self.count {
            let mut lanes = [simd.splat(0.0); VECTORS];
            unroll!(v < VECTORS, {
                // SAFETY: the panel has full vectors at this depth.
                lanes[v] = unsafe { simd.load(right.wrapping_add(v * S::LANES)) };
            });
            unroll!(m < HEIGHT, {
                // SAFETY: this row is this deep.
                let value = unsafe { left.wrapping_add(m * self.left.row_stride).read() };
                let value = simd.splat(value);
                unroll!(v < VECTORS, { acc[m][v] = simd.step(acc[m][v], value, lanes[v]) });
            });
            left = left.wrapping_add(self.left.col_stride);
            right = right.wrapping_add(self.panel.row_stride);
        }
        unroll!(m < HEIGHT, {
            unroll!(v < VECTORS, {
                // SAFETY: as above, and the output is borrowed for writing.
                unsafe { self.store(simd, m, v, acc[m][v]) };
            });
        });
    }

    /// Where vector `v` of a row of the output lies, and how many lanes it has.
    #[inline(always)]
    fn at<S: Simd>(&self, row: usize, v: usize) -> (*mut f32, usize) {
        let first = v * S::LANES;
        (self.out.wrapping_add(row * self.stride + first), self.width.saturating_sub(first).min(S::LANES))
    }

    /// # Safety
    /// The output has this row.
    // Not inlined, nor is what follows: a vector that is not full takes much code.
    #[inline(never)]
    unsafe fn load<S: Simd>(&self, simd: S, row: usize, v: usize) -> S::V {
        let (at, count) = self.at::<S>(row, v);
        // SAFETY: of these lanes, the output has as many.
        unsafe { simd.load_first(at, count) }
    }

    /// # Safety
    /// The output has this row, and is borrowed for writing.
    #[inline(never)]
    unsafe fn store<S: Simd>(&self, simd: S, row: usize, v: usize, value: S::V) {
        let (at, count) = self.at::<S>(row, v);
        // SAFETY: of these lanes, the output has as many.
        unsafe { simd.store_first(at, count, value) }
    }
}
