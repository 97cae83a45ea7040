//! Products of two matrices as they lie in memory: what the passes call, whichever way suits the machine.

use super::gemm::Product;
use super::pack::Operand;
use super::thin::ThinProduct;
#[cfg(all(lowrank_small, not(target_arch = "x86_64")))]
use super::tile::small;
use super::tile::{Start, one_lane};
use crate::simd::Simd;
use crate::view::{MatMut, MatRef};

/// Which operand of a product is the transpose of its matrix.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Neither,
    /// The left matrix is `[depth, rows]`.
    Left,
    /// The right matrix is `[lanes, depth]`.
    Right,
}

/// `left [rows, depth]` and `right [depth, lanes]`, each perhaps transposed. Where the two and the output disagree about a
/// size, it is the smallest: so a matrix may have more rows than are in use.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Pair<'a> {
    pub left: &'a MatRef<'a>,
    pub right: &'a MatRef<'a>,
    pub turn: Turn,
}

impl<'a> Pair<'a> {
    pub(crate) const fn new(left: &'a MatRef<'a>, right: &'a MatRef<'a>, turn: Turn) -> Self {
        Self { left, right, turn }
    }

    /// Operands and output, of sizes that agree, but for the left operand, of which no more is read.
    #[inline(always)]
    pub(crate) fn fit<'o>(&self, out: &'o mut MatMut<'_>) -> (Operand<'a>, Operand<'a>, MatMut<'o>) {
        let Self { left, right, turn } = *self;
        let (rows, left_depth) =
            if turn == Turn::Left { (left.cols(), left.rows()) } else { (left.rows(), left.cols()) };
        let left = if turn == Turn::Left { Operand::transposed(*left) } else { Operand::plain(*left) };
        let (right, out) = if turn == Turn::Right {
            let out = out.within(rows, right.rows());
            (Operand::transposed(right.within(out.cols(), left_depth)), out)
        } else {
            let out = out.within(rows, right.cols());
            (Operand::plain(right.within(left_depth, out.cols())), out)
        };
        (left, right, out)
    }
}

/// `out[row, lane] = start` continued by `chain_d left[row, d]·right[d, lane]`.
#[inline(always)]
pub(crate) fn product<S: Simd>(simd: S, pair: Pair<'_>, out: &mut MatMut<'_>, start: Start<'_>) {
    if S::COMPACT {
        return compact(simd, pair, out, start);
    }
    let (left, right, out) = pair.fit(out);
    simd.call(Product { left, right, more: None, out, start });
}

/// As [`product`], for few lanes.
#[inline(always)]
pub(crate) fn thin_product<S: Simd>(simd: S, pair: Pair<'_>, out: &mut MatMut<'_>, start: Start<'_>) {
    if S::COMPACT {
        return compact(simd, pair, out, start);
    }
    let (left, right, out) = pair.fit(out);
    simd.call(ThinProduct { left, right, out, start });
}

/// One function for every product.
#[inline(always)]
fn compact<S: Simd>(simd: S, Pair { left, right, turn }: Pair<'_>, out: &mut MatMut<'_>, start: Start<'_>) {
    #[cfg(all(lowrank_small, not(target_arch = "x86_64")))]
    if S::LANES > 1 {
        return small::product(simd, left, right, turn, out, &start);
    }
    one_lane::product(simd, left, right, turn, out, &start);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Backend, Kernel};

    /// Three rows of ones by ones, and a bias that is two lanes shorter than the output.
    struct ShortBias<'a>(&'a mut [[f32; 11]; 3]);

    impl Kernel for ShortBias<'_> {
        type Output = bool;

        fn run<S: Simd>(self, simd: S) -> bool {
            if S::COMPACT {
                let (left, right) = ([[1.0; 5]; 3], [[1.0; 11]; 5]);
                let (left, right) = (MatRef::from_rows(&left), MatRef::from_rows(&right));
                let pair = Pair::new(&left, &right, Turn::Neither);
                compact(simd, pair, &mut MatMut::from_rows(self.0), Start::Bias(&[0.5; 9]));
            }
            S::COMPACT
        }
    }

    #[test]
    fn sizes_that_disagree_are_cut_to_the_smallest() {
        let mut ran = 0;
        for backend in Backend::available() {
            let mut out = [[7.0; 11]; 3];
            if backend.run(ShortBias(&mut out)) {
                assert_eq!(out, [[5.5, 5.5, 5.5, 5.5, 5.5, 5.5, 5.5, 5.5, 5.5, 7.0, 7.0]; 3], "{backend:?}");
                ran += 1;
            }
        }
        assert!(ran > 0);
    }
}
