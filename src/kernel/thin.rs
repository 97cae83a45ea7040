//! Products of few lanes, such as a rank of 4 on sixteen. Narrower vectors, or rows and lanes that change places, keep the
//! vectors full; the chains stay what they were.

use super::exchange::{Exchanged, begin};
use super::gemm::{Product, pieces_product};
use super::pack::{Operand, transpose};
use super::tile::room::{ACCUMULATORS, PANEL, Room, rows_in};
use super::tile::{Ahead, PanelProduct, Start, Strided, Term};
use crate::simd::{Kernel, Simd};
use crate::view::MatMut;

/// Depth from which on it pays to exchange rows and lanes, and the output with them.
const DEPTH: usize = 16;

/// As [`Product`], for few lanes: picks vectors that the lanes fill, and the orientation.
pub(crate) struct ThinProduct<'a> {
    pub left: Operand<'a>,
    pub right: Operand<'a>,
    pub out: MatMut<'a>,
    pub start: Start<'a>,
}

impl Kernel for ThinProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ThinProduct { left, right, out, start } = self;
        let (rows, lanes, depth) = (out.rows(), out.cols(), right.rows());
        let narrow = S::Narrow::LANES;
        let exchange = lanes > 0 && 2 * lanes <= narrow && rows >= narrow && depth >= DEPTH;
        if exchange && left.is_transposed() {
            // Its rows lie side by side: they are lanes.
            let pieces = core::iter::once((0, right));
            pieces_product(simd, Exchanged { left, pieces, more: None, out, start });
        } else if exchange && depth.is_multiple_of(4) {
            simd.narrow().call(Turned(ThinProduct { left, right, out, start }));
        } else if narrow < S::LANES && lanes <= narrow {
            simd.narrow().call(Product { left, right, more: None, out, start });
        } else {
            simd.call(Product { left, right, more: None, out, start });
        }
    }
}

/// Rows and lanes exchanged. The left operand is transposed in registers, the right one copied.
struct Turned<'a>(ThinProduct<'a>);

impl Kernel for Turned<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ThinProduct { left, right, mut out, start } = self.0;
        let (rows, lanes, depth) = (out.rows(), out.cols(), right.rows());
        let full = rows - rows % S::LANES;
        let most = (rows_in(ACCUMULATORS, lanes) / S::LANES * S::LANES).max(S::LANES);
        let most_depth = (rows_in(PANEL, lanes) / 4 * 4).max(4);
        let (mut room, mut panel) = (Room::<ACCUMULATORS>::new(), Room::new());
        for row in (0..full).step_by(most.max(1)) {
            let width = most.min(full - row);
            let Ok(mut sums) = MatMut::new(room.first(lanes * width), lanes, width) else { return };
            let mut part = out.block(row, width, 0, lanes);
            begin(simd, start, part.as_ref(), &mut sums);
            for from in (0..depth).step_by(most_depth.max(1)) {
                let count = most_depth.min(depth - from);
                let Strided { data, outer, inner } = right.block(from, count, 0, lanes).vectors(simd, &mut panel);
                let term = Term {
                    left: Strided { data, outer: inner, inner: outer },
                    right: left.block(row, width, from, count).flip().strided(),
                    depth: count,
                    ahead: Ahead::Nothing,
                };
                simd.call(PanelProduct { terms: [term, Term::NONE], out: sums.reborrow(), start: Start::Existing });
            }
            transpose(simd, sums.as_ref(), &mut part);
        }
        let (left, out) = (left.block(full, rows, 0, depth), out.block(full, rows, 0, lanes));
        simd.call(Product { left, right, more: None, out, start });
    }
}
