//! The blocked product.

use super::pack::{Operand, PanelSource};
use super::tile::{PanelProduct, Start, Strided, Term};
use crate::simd::{Kernel, Simd};
use crate::view::MatMut;

/// Depth of a block whose right operand is read in place, panel by panel.
const DEPTH_BLOCK: usize = 256;

/// Depth of a block whose right operand is read in place, row by row.
const ROWS_BLOCK: usize = 16;

/// Numbers in the panel on the stack: 3 KiB where there are vectors, nothing on one-lane targets, which read every
/// operand in place.
const PANEL: usize = if cfg!(any(
    all(target_arch = "x86_64", not(lowrank_scalar_only)),
    all(target_arch = "aarch64", target_feature = "neon", not(lowrank_scalar_only)),
    all(target_arch = "wasm32", target_feature = "simd128", not(lowrank_scalar_only)),
)) {
    768
} else {
    0
};

/// `out[row, lane] = start` continued by `chain_d left[row, d]·right[d, lane]`, then by the same over `more`.
///
/// The shapes agree: `left [rows, depth]`, `right [depth, lanes]`, `out [rows, lanes]`.
pub(crate) struct Product<'a, R> {
    pub left: Operand<'a>,
    pub right: R,
    /// A second product of small depth, whose chains continue those of the first.
    pub more: Option<(Operand<'a>, Operand<'a>)>,
    pub out: MatMut<'a>,
    pub start: Start<'a>,
}

impl<R: PanelSource> Kernel for Product<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let main = Single { left: self.left, right: self.right };
        let rest = main.run(simd, &mut self.out, self.start, self.more);
        if let Some((left, right)) = rest {
            Single { left, right }.run(simd, &mut self.out, Start::Existing, None);
        }
    }
}

/// One product, in whichever order suits where its right operand lies.
struct Single<'a, R> {
    left: Operand<'a>,
    right: R,
}

type More<'a> = Option<(Operand<'a>, Operand<'a>)>;

impl<'a, R: PanelSource> Single<'a, R> {
    /// Returns the second product where it did not fit beside the first.
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, out: &mut MatMut<'_>, start: Start<'_>, more: More<'a>) -> More<'a> {
        let (depth, lanes) = self.right.shape();
        let (rows, panel_lanes) = (out.rows(), S::TILE_VECTORS * S::LANES);
        let few = rows <= S::TILE_ROWS / 2;
        let whole = Block { lane: 0, lanes, depth: 0, count: depth };
        match self.right.lies() {
            Some(operand) if operand.has_vectors::<S>() => {
                if few && lanes > panel_lanes {
                    self.by_rows(simd, operand, out, start);
                    return more;
                }
                self.by_panels(simd, operand, out, start, more)
            }
            Some(operand) if few => {
                self.across(simd, operand, out, start);
                more
            }
            _ => {
                self.packed(simd, whole, out, start);
                more
            }
        }
    }

    /// The right operand in place, one panel of lanes after the other, with the second product in the same tiles.
    #[inline(always)]
    fn by_panels<S: Simd>(
        &self,
        simd: S,
        right: Operand<'_>,
        out: &mut MatMut<'_>,
        start: Start<'_>,
        more: More<'a>,
    ) -> More<'a> {
        let (rows, lanes, depth) = (out.rows(), out.cols(), right.rows());
        let panel_lanes = S::TILE_VECTORS * S::LANES;
        let mut panel = [0.0; PANEL];
        // The second right operand lies in place, or is copied into one panel, or has to wait.
        let fused = more.filter(|(_, right)| {
            right.has_vectors::<S>() || PANEL.checked_sub(right.rows() * panel_lanes.min(lanes)).is_some()
        });
        for lane in (0..lanes).step_by(panel_lanes) {
            let width = panel_lanes.min(lanes - lane);
            let second = match fused {
                None => Term::NONE,
                Some((left, right)) => {
                    let right = right.block(0, right.rows(), lane, width);
                    let strided = if right.has_vectors::<S>() {
                        right.strided()
                    } else {
                        let panel = panel.get_mut(..right.rows() * width).unwrap_or(&mut []);
                        right.fill(simd, 0, 0, width, panel);
                        Strided { data: panel, outer: width, inner: 1 }
                    };
                    Term { left: left.strided(), right: strided, depth: right.rows() }
                }
            };
            let mut start = start.lanes_from(lane);
            let mut from = 0;
            loop {
                let count = DEPTH_BLOCK.min(depth - from);
                let last = from + count >= depth;
                let first = Term {
                    left: self.left.block(0, rows, from, count).strided(),
                    right: right.block(from, count, lane, width).strided(),
                    depth: count,
                };
                let terms = [first, if last { second } else { Term::NONE }];
                simd.call(PanelProduct { terms, out: out.block(0, rows, lane, width), start });
                if last {
                    break;
                }
                start = Start::Existing;
                from += count;
            }
        }
        if fused.is_some() { None } else { more }
    }

    /// The right operand in place, a few of its rows after the other: for few rows of the output, which stay in the cache,
    /// memory is read in order.
    #[inline(always)]
    fn by_rows<S: Simd>(&self, simd: S, right: Operand<'_>, out: &mut MatMut<'_>, mut start: Start<'_>) {
        let (rows, lanes, depth) = (out.rows(), out.cols(), right.rows());
        let mut from = 0;
        loop {
            let count = ROWS_BLOCK.min(depth - from);
            let term = Term {
                left: self.left.block(0, rows, from, count).strided(),
                right: right.block(from, count, 0, lanes).strided(),
                depth: count,
            };
            simd.call(PanelProduct { terms: [term, Term::NONE], out: out.reborrow(), start });
            start = Start::Existing;
            from += count;
            if from >= depth {
                break;
            }
        }
    }

    /// The right operand transposed in registers: for few rows of the output, a copy would cost more than it saves.
    #[inline(always)]
    fn across<S: Simd>(&self, simd: S, right: Operand<'_>, out: &mut MatMut<'_>, start: Start<'_>) {
        let (rows, lanes, depth) = (out.rows(), out.cols(), right.rows());
        let (full_lanes, full_depth) = (lanes - lanes % S::LANES, depth - depth % 4);
        if full_lanes > 0 {
            let term = Term {
                left: self.left.block(0, rows, 0, full_depth).strided(),
                right: right.block(0, full_depth, 0, full_lanes).strided(),
                depth: full_depth,
            };
            simd.call(PanelProduct { terms: [term, Term::NONE], out: out.block(0, rows, 0, full_lanes), start });
        }
        if full_depth < depth {
            let rest = Block { lane: 0, lanes: full_lanes, depth: full_depth, count: depth - full_depth };
            self.packed(simd, rest, out, Start::Existing);
        }
        let rest = Block { lane: full_lanes, lanes: lanes - full_lanes, depth: 0, count: depth };
        self.packed(simd, rest, out, start);
    }

    /// A block of the product whose right operand is copied into a panel on the stack, piece by piece.
    #[inline(always)]
    fn packed<S: Simd>(&self, simd: S, block: Block, out: &mut MatMut<'_>, start: Start<'_>) {
        let (rows, panel_lanes) = (out.rows(), S::TILE_VECTORS * S::LANES);
        let mut panel = [0.0; PANEL];
        for lane in (block.lane..block.lane + block.lanes).step_by(panel_lanes) {
            let width = panel_lanes.min(block.lane + block.lanes - lane);
            let mut start = start.lanes_from(lane);
            let (mut from, end) = (block.depth, block.depth + block.count);
            loop {
                let count = (PANEL / width).min(end - from);
                let panel = panel.get_mut(..count * width).unwrap_or(&mut []);
                self.right.fill(simd, from, lane, width, panel);
                let term = Term {
                    left: self.left.block(0, rows, from, count).strided(),
                    right: Strided { data: panel, outer: width, inner: 1 },
                    depth: count,
                };
                simd.call(PanelProduct { terms: [term, Term::NONE], out: out.block(0, rows, lane, width), start });
                start = Start::Existing;
                from += count;
                if from >= end {
                    break;
                }
            }
        }
    }
}

/// Some lanes and some depths of a product.
#[derive(Copy, Clone)]
struct Block {
    lane: usize,
    lanes: usize,
    depth: usize,
    count: usize,
}
