//! Products of two matrices as they lie in memory: what the passes call, whichever way suits the machine.

use super::gemm::Product;
use super::pair::Pair;
use super::thin::ThinProduct;
#[cfg(all(lowrank_small, not(target_arch = "x86_64")))]
use super::tile::small;
use super::tile::{Start, one_lane};
use crate::simd::Simd;
use crate::view::MatMut;

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
    use super::super::pair::Turn;
    use super::*;
    use crate::simd::{Backend, Kernel};
    use crate::view::MatRef;

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
