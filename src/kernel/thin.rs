//! Products of few lanes, such as a rank of 4 on sixteen. Narrower vectors, or rows and lanes swapped, keep the
//! vectors full; the chains stay what they were.

use super::blocked::{Product, pieces_product};
use super::operand::Operand;
use super::pack::{transpose, vectors};
use super::raw::room::{ACCUMULATORS, PANEL, Room, rows_in};
use super::raw::{Ahead, PanelProduct, Start, Term};
use super::swapped::{Swapped, begin};
use crate::simd::{Kernel, Simd};
use crate::view::MatMut;

/// Depth from which on it pays to swap rows and lanes, and the output with them.
const DEPTH: usize = 16;

/// As [`Product`], for few lanes: picks vectors that the lanes fill, and the orientation.
#[inline(always)]
pub(crate) fn thin<S: Simd>(simd: S, left: Operand<'_>, right: Operand<'_>, out: MatMut<'_>, start: Start<'_>) {
    let (rows, lanes, depth) = (out.rows(), out.cols(), right.rows());
    let narrow = S::Narrow::LANES;
    let swap = lanes > 0 && 2 * lanes <= narrow && rows >= narrow && depth >= DEPTH;
    if swap && left.t().has_vectors() {
        // Its rows lie side by side: they are lanes.
        let pieces = core::iter::once((0, right));
        pieces_product(simd, Swapped { left, pieces, more: None, out, start });
    } else if swap && depth.is_multiple_of(4) {
        simd.narrow().call(Gathered { left, right, out, start });
    } else if narrow < S::LANES && lanes <= narrow {
        simd.narrow().call(Product { left, right, more: None, out, start });
    } else {
        simd.call(Product { left, right, more: None, out, start });
    }
}

/// Rows and lanes swapped. The left operand is gathered in registers, the right one copied.
struct Gathered<'a> {
    left: Operand<'a>,
    right: Operand<'a>,
    out: MatMut<'a>,
    start: Start<'a>,
}

impl Kernel for Gathered<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Gathered { left, right, mut out, start } = self;
        let (rows, lanes, depth) = (out.rows(), out.cols(), right.rows());
        let full = rows - rows % S::LANES;
        let most = (rows_in(ACCUMULATORS, lanes) / S::LANES * S::LANES).max(S::LANES);
        let most_depth = (rows_in(PANEL, lanes) / 4 * 4).max(4);
        let (mut room, mut panel) = (Room::<ACCUMULATORS>::new(), Room::new());
        for row in (0..full).step_by(most.max(1)) {
            let width = most.min(full - row);
            let mut sums = room.matrix(lanes, width);
            let mut part = out.block(row, width, 0, lanes);
            begin(simd, start, &part.as_ref(), &mut sums);
            for from in (0..depth).step_by(most_depth.max(1)) {
                let count = most_depth.min(depth - from);
                let term = Term {
                    left: vectors(simd, right.block(from, count, 0, lanes), &mut panel).t(),
                    right: left.block(row, width, from, count).t(),
                    ahead: Ahead::Nothing,
                };
                simd.call(PanelProduct { terms: [term, Term::NONE], out: sums.reborrow(), start: Start::Existing });
            }
            transpose(simd, Operand::new(sums.as_ref()), &mut part);
        }
        let (left, out) = (left.block(full, rows, 0, depth), out.block(full, rows, 0, lanes));
        simd.call(Product { left, right, more: None, out, start });
    }
}
