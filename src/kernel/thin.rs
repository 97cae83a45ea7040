//! Products of few lanes, such as a rank of 4 on sixteen. Narrower vectors, or rows and lanes that change places, keep the
//! vectors full; the chains stay what they were.

use super::exchange::Exchanged;
use super::gemm::Product;
use super::pack::Operand;
use super::tile::Start;
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
        let (rows, lanes) = (out.rows(), out.cols());
        let pays = right.rows() >= DEPTH && rows >= S::LANES;
        if pays && S::LANES > 1 && lanes > 0 && 2 * lanes <= S::Narrow::LANES {
            let pieces = core::iter::once((0, right));
            simd.call(Exchanged { left, pieces, more: None, out, start });
        } else if S::Narrow::LANES < S::LANES && lanes <= S::Narrow::LANES {
            simd.narrow().call(Product { left, right, more: None, out, start });
        } else {
            simd.call(Product { left, right, more: None, out, start });
        }
    }
}
