//! Products of few lanes, such as a rank of 4 on sixteen. Narrower vectors, or rows and lanes that change places, keep the
//! vectors full; the chains stay what they were.

use super::gemm::Product;
use super::pack::Operand;
use super::tile::Start;
use crate::simd::{Kernel, Simd};
use crate::view::MatMut;

/// Numbers of the exchanged output that lie on the stack at a time.
const CHUNK: usize = 256;

/// As [`Product`], for operands that lie in memory and few lanes: picks vectors that the lanes fill, and the orientation.
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
        let lanes = self.out.cols();
        if S::Narrow::LANES < S::LANES && lanes <= S::Narrow::LANES {
            simd.narrow().call(Oriented(self));
        } else {
            simd.call(Oriented(self));
        }
    }
}

struct Oriented<'a>(ThinProduct<'a>);

impl Kernel for Oriented<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ThinProduct { left, right, mut out, start } = self.0;
        let (rows, lanes) = (out.rows(), out.cols());
        let exchange = S::LANES > 1 && lanes > 0 && 2 * lanes <= S::LANES && rows >= S::LANES;
        if !exchange {
            return simd.call(Product { left, right, more: None, out, start });
        }
        let mut chunk = [0.0; CHUNK];
        let width = CHUNK / lanes / S::LANES * S::LANES;
        for first in (0..rows).step_by(width) {
            let mut part = out.block(first, width, 0, lanes);
            let chunk = chunk.get_mut(..lanes * part.rows()).unwrap_or(&mut []);
            begin(start, &part, chunk);
            let Ok(exchanged) = MatMut::new(chunk, lanes, part.rows()) else { return };
            simd.call(Product {
                left: right.flip(),
                right: left.block(first, part.rows(), 0, left.cols()).flip(),
                more: None,
                out: exchanged,
                start: Start::Existing,
            });
            let rows = part.rows();
            for row in 0..rows {
                for (to, &value) in part.row_mut(row).iter_mut().zip(chunk.iter().skip(row).step_by(rows)) {
                    *to = value;
                }
            }
        }
    }
}

/// The accumulators of the exchanged product, at their start.
#[inline(always)]
fn begin(start: Start<'_>, out: &MatMut<'_>, chunk: &mut [f32]) {
    let rows = out.rows();
    for row in 0..rows {
        let from: &[f32] = match start {
            Start::Zero => &[],
            Start::Bias(bias) => bias,
            Start::Existing => out.row(row),
        };
        let values = from.iter().copied().chain(core::iter::repeat(0.0));
        for (to, value) in chunk.iter_mut().skip(row).step_by(rows).zip(values) {
            *to = value;
        }
    }
}
