//! The blocked product.

use super::operand::{More, Operand};
use super::pack::vectors;
use super::raw::room::{PANEL, Room, rows_in};
use super::raw::{Ahead, PanelProduct, Start, Term, panel_lanes};
use super::swapped::{Swapped, swapped};
use crate::simd::{Kernel, Simd};
use crate::view::MatMut;

/// Depth of a block whose right operand is read in place, panel by panel.
const DEPTH_BLOCK: usize = 256;

/// Depth of a block whose right operand is read in place, row by row.
const ROWS_BLOCK: usize = 16;

/// Rows of the output for which the right operand is read in order, although the output is written again for every block.
const FEW: usize = 4;

/// `out[row, lane] = start` continued by `chain_d left[row, d]·right[d, lane]`, then by the same over `more`.
///
/// The shapes agree: `left [rows, depth]`, `right [depth, lanes]`, `out [rows, lanes]`.
pub(crate) struct Product<'a> {
    pub left: Operand<'a>,
    pub right: Operand<'a>,
    /// A second product of small depth, whose chains continue those of the first.
    pub more: More<Operand<'a>>,
    pub out: MatMut<'a>,
    pub start: Start<'a>,
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Product { left, right, mut more, mut out, start } = self;
        let (rows, lanes) = (out.rows(), out.cols());
        let main = Single { left, right };
        let rest = if right.has_vectors() {
            if rows <= FEW && lanes > S::TILE_VECTORS * S::LANES {
                main.by_rows(simd, &mut out, start);
                [Block::NONE; 2]
            } else {
                [Block::all(right), Block::NONE]
            }
        } else if rows == 1 && lanes < S::LANES && !matches!(start, Start::Bias(_)) {
            main.swapped_row(simd, &mut out, start);
            [Block::NONE; 2]
        } else if rows <= S::TILE_ROWS / 2 {
            main.gathered(simd, &mut out, start)
        } else if copies_less(rows, right.rows(), lanes) {
            let pieces = core::iter::once((0, right));
            return swapped(simd, Swapped { left, pieces, more, out, start });
        } else {
            [Block::all(right), Block::NONE]
        };
        for block in rest {
            main.by_panels(simd, block, &mut out, start, &mut more);
        }
        if let Some((left, right)) = more {
            simd.call(Product { left, right, more: None, out, start: Start::Existing });
        }
    }
}

/// [`Swapped`], but for a few rows, which would not fill a vector: for those, one piece after the other as it lies.
#[inline(always)]
pub(crate) fn pieces_product<'a, S: Simd, P>(simd: S, mut product: Swapped<'a, '_, P>)
where
    P: Iterator<Item = (usize, Operand<'a>)> + Clone,
{
    let rows = product.out.rows();
    if rows > S::TILE_ROWS / 2 {
        return swapped(simd, product);
    }
    let more = product.more.map(|(left, right)| (left, 0, right));
    for (left, depth, right) in product.pieces.map(|(depth, right)| (product.left, depth, right)).chain(more) {
        let left = left.block(0, rows, depth, right.rows());
        simd.call(Product { left, right, more: None, out: product.out.reborrow(), start: product.start });
        product.start = Start::Existing;
    }
}

/// Whether swapping rows and lanes, which copies the left operand and the output twice, copies less than what copies the
/// right operand.
const fn copies_less(rows: usize, depth: usize, lanes: usize) -> bool {
    rows.saturating_mul(depth.saturating_add(lanes.saturating_mul(2))) < depth.saturating_mul(lanes)
}

/// One product, in whichever order suits where its right operand lies.
struct Single<'a> {
    left: Operand<'a>,
    right: Operand<'a>,
}

impl<'a> Single<'a> {
    /// One panel of lanes after the other. Right operands without vectors are copied, piece by piece. A block of all lanes and depths
    /// takes the second product into the same tiles, where it fits beside the first.
    #[inline(always)]
    fn by_panels<S: Simd>(
        &self,
        simd: S,
        block: Block,
        out: &mut MatMut<'_>,
        start: Start<'_>,
        more: &mut More<Operand<'a>>,
    ) {
        let (rows, in_place) = (out.rows(), self.right.has_vectors());
        let step = panel_lanes::<S>(block.lanes);
        let is_whole = block.lanes == self.right.cols() && block.count == self.right.rows();
        let fused = more.take_if(|(_, right)| {
            let fits = right.has_vectors() || right.rows().checked_mul(step).is_some_and(|len| len <= PANEL);
            is_whole && fits
        });
        let (mut room, mut second_room) = (Room::new(), Room::new());
        // Loop 1.
        for lane in (0..block.lanes).step_by(step.max(1)) {
            let width = step.min(block.lanes - lane);
            let at = block.lane + lane;
            let second = match fused {
                None => Term::NONE,
                Some((left, right)) => {
                    let right = right.block(0, right.rows(), at, width);
                    Term { left, right: vectors(simd, right, &mut second_room), ahead: Ahead::Nothing }
                }
            };
            let most = if in_place { DEPTH_BLOCK } else { rows_in(PANEL, width) };
            let mut start = if block.depth > 0 { Start::Existing } else { start.lanes_from(at) };
            let mut from = 0;
            // Loop 2.
            loop {
                let count = most.min(block.count - from);
                let last = from + count >= block.count;
                let right = self.right.block(block.depth + from, count, at, width);
                let first = Term {
                    left: self.left.block(0, rows, block.depth + from, count),
                    right: vectors(simd, right, &mut room),
                    ahead: if in_place { Ahead::Right } else { Ahead::Nothing },
                };
                let terms = [first, if last { second } else { Term::NONE }];
                simd.call(PanelProduct { terms, out: out.block(0, rows, at, width), start });
                if last {
                    break;
                }
                start = Start::Existing;
                from += count;
            }
        }
    }

    /// The right operand in place, a few of its rows after the other: for few rows of the output, which stay in the cache,
    /// memory is read in order.
    #[inline(always)]
    fn by_rows<S: Simd>(&self, simd: S, out: &mut MatMut<'_>, mut start: Start<'_>) {
        let (rows, lanes, depth) = (out.rows(), out.cols(), self.right.rows());
        let mut from = 0;
        // Loop 2, outside of loop 1.
        loop {
            let count = ROWS_BLOCK.min(depth - from);
            let term = Term {
                left: self.left.block(0, rows, from, count),
                right: self.right.block(from, count, 0, lanes),
                ahead: Ahead::Right,
            };
            simd.call(PanelProduct { terms: [term, Term::NONE], out: out.reborrow(), start });
            start = Start::Existing;
            from += count;
            if from >= depth {
                break;
            }
        }
    }

    /// One row and few lanes: as a column of as many rows, nothing of the right operand has to be copied.
    #[inline(always)]
    fn swapped_row<S: Simd>(&self, simd: S, out: &mut MatMut<'_>, start: Start<'_>) {
        let (lanes, depth) = (out.cols(), self.right.rows());
        let right = self.left.t().within(depth, 1).column();
        let term = Term { left: self.right.t(), right, ahead: Ahead::Nothing };
        let out = MatMut::dense(out.row_mut(0), lanes, 1);
        simd.call(PanelProduct { terms: [term, Term::NONE], out, start });
    }

    /// The right operand gathered in registers: for few rows of the output, a copy would cost more than it saves. Returns the depths
    /// and the lanes that are left.
    #[inline(always)]
    fn gathered<S: Simd>(&self, simd: S, out: &mut MatMut<'_>, start: Start<'_>) -> [Block; 2] {
        let (rows, lanes, depth) = (out.rows(), out.cols(), self.right.rows());
        let (full_lanes, full_depth) = (lanes - lanes % S::LANES, depth - depth % 4);
        if full_lanes > 0 {
            let term = Term {
                left: self.left.block(0, rows, 0, full_depth),
                right: self.right.block(0, full_depth, 0, full_lanes),
                ahead: Ahead::Nothing,
            };
            simd.call(PanelProduct { terms: [term, Term::NONE], out: out.block(0, rows, 0, full_lanes), start });
        }
        let below = if full_depth < depth { full_lanes } else { 0 };
        [
            Block { lane: 0, lanes: below, depth: full_depth, count: depth - full_depth },
            Block { lane: full_lanes, lanes: lanes - full_lanes, depth: 0, count: depth },
        ]
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

impl Block {
    /// No lanes.
    const NONE: Self = Self { lane: 0, lanes: 0, depth: 0, count: 0 };

    const fn all(right: Operand<'_>) -> Self {
        Self { lane: 0, lanes: right.cols(), depth: 0, count: right.rows() }
    }
}
