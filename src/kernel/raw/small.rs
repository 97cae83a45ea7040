//! Products on vectors where size counts: one tile, and a copy of whatever does not lie as the tile wants it.

#![allow(unsafe_code, reason = "the sizes of views, compared once, then raw pointers")]

use core::mem::MaybeUninit;

use super::room::PANEL;
use super::tile::{Raw, RawProduct, Start};
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
    // SAFETY: views lie inside their slices, and `of` takes the smallest of all sizes.
    unsafe { cover(simd, &mut RawProduct::of(left, right, out, start)) }
}

/// All chains of a product.
///
/// # Safety
/// All chains are there, with an output and a start for each. The lanes of the output lie side by side.
#[inline(never)]
pub(super) unsafe fn cover<S: Simd>(simd: S, product: &mut RawProduct) {
    let RawProduct { few: left, many, depth, width: lanes, height: rows, out, .. } = *product;
    let (right, at, stride) = (many.t(), out.at.cast_mut(), out.col_stride);
    // SAFETY: as the caller says.
    unsafe { begin(product) };
    let (tile, mut room) = (VECTORS * S::LANES, [const { MaybeUninit::<f32>::uninit() }; PANEL]);
    let most = PANEL / tile;
    debug_assert!(most > 0, "a target without vectors has no room for a panel");
    let mut lane = 0;
    while lane < lanes {
        let width = tile.min(lanes - lane);
        let mut from = 0;
        while from < depth {
            let count = most.min(depth - from);
            let mut panel = Raw { at: right.at(from, lane), ..right };
            if right.col_stride != 1 || width < tile {
                let copy = room.as_mut_ptr().cast();
                // SAFETY: the right operand has so many lanes from `lane` on, and so many depths from `from` on; of these, as
                // many as the room holds.
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
            // SAFETY: the operands have so many rows, depths and lanes; the panel has full vectors.
            unsafe { block.rows(simd, rows) };
            from += count;
        }
        lane += tile;
    }
}

/// Writes the start of the chains into the output, where they go on.
///
/// # Safety
/// There is an output and a start for each chain.
#[inline(always)]
unsafe fn begin(product: &RawProduct) {
    let RawProduct { width: lanes, height: rows, out, start, .. } = *product;
    if start.at == out.at {
        return;
    }
    for row in 0..rows {
        for lane in 0..lanes {
            // SAFETY: each chain has a start.
            let value = unsafe { start.at(lane, row).read() };
            // SAFETY: each chain has an output.
            unsafe { out.at(lane, row).cast_mut().write(value) };
        }
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

// One-lane targets have no room for panels, and never come here.
#[cfg(test)]
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod tests {
    use core::arch::wasm32::memory_grow;
    use core::ptr::with_exposed_provenance_mut;

    use super::*;
    use crate::kernel::operand::plain;
    use crate::simd::{Backend, Kernel};
    use crate::view::MatRef;

    struct Last<'a>(MatRef<'a>);

    impl Kernel for Last<'_> {
        type Output = ();

        fn run<S: Simd>(self, simd: S) {
            let (ones, lanes) = ([1.0; 2], self.0.cols());
            let mut sums = [7.0; 20];
            let mut out = MatMut::dense(&mut sums[..lanes], 1, lanes);
            product(simd, plain(&MatRef::dense(&ones, 1, 2)), plain(&self.0), &mut out, &Start::Zero);
            assert_eq!(sums[..lanes], [3.0; 20][..lanes], "{lanes} lanes");
            assert_eq!(sums[lanes..], [7.0; 20][lanes..], "{lanes} lanes");
        }
    }

    /// The right operand is the last that there is in memory: a vector that reaches beyond it ends the program.
    #[test]
    fn nothing_is_read_behind_the_last_lane() {
        const PAGE: usize = 1 << 16;
        for lanes in 1..20 {
            let end = (memory_grow::<0>(1) + 1) * PAGE;
            let start = with_exposed_provenance_mut::<f32>(end - 2 * lanes * size_of::<f32>());
            // SAFETY: the numbers lie at the end of a page that nobody else has.
            let numbers = unsafe { core::slice::from_raw_parts_mut(start, 2 * lanes) };
            numbers[..lanes].fill(1.0);
            numbers[lanes..].fill(2.0);
            Backend::available().for_each(|backend| backend.run(Last(MatRef::dense(numbers, 2, lanes))));
        }
    }
}
