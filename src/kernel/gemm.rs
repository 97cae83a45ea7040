//! The blocked product.

use super::pack::{Operand, PanelSource};
use super::tile::{PanelProduct, Start, Strided};
use crate::simd::{Kernel, Simd};
use crate::view::MatMut;

/// Depth of a block whose right operand is read in place.
const DEPTH_BLOCK: usize = 256;

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

/// `out[row, lane] = start` continued by `chain_d left[row, d]·right[d, lane]`.
///
/// The shapes agree: `left [rows, depth]`, `right [depth, lanes]`, `out [rows, lanes]`.
pub(crate) struct Product<'a, R> {
    pub left: Operand<'a>,
    pub right: R,
    pub out: MatMut<'a>,
    pub start: Start<'a>,
}

impl<R: PanelSource> Kernel for Product<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (depth, lanes) = self.right.shape();
        let rows = self.out.rows();
        let panel_lanes = S::TILE_VECTORS * S::LANES;
        let mut panel = [0.0; PANEL];
        let right = self.right;
        let in_place = right.in_place(S::LANES == 1);
        let depth_block = if in_place.is_some() { DEPTH_BLOCK } else { PANEL / panel_lanes };

        for lane in (0..lanes).step_by(panel_lanes) {
            let width = panel_lanes.min(lanes - lane);
            let mut start = match self.start {
                Start::Bias(bias) => Start::Bias(bias.get(lane..).unwrap_or(&[])),
                other => other,
            };
            let mut from = 0;
            loop {
                let count = depth_block.min(depth - from);
                let panel_of_block = match in_place {
                    Some(operand) => operand.block(from, count, lane, width).strided(),
                    None => {
                        let panel = panel.get_mut(..count * width).unwrap_or(&mut []);
                        right.fill(simd, from, lane, width, panel);
                        Strided { data: panel, outer: width, inner: 1 }
                    }
                };
                simd.call(PanelProduct {
                    left: self.left.block(0, rows, from, count).strided(),
                    right: panel_of_block,
                    depth: count,
                    out: self.out.block(0, rows, lane, width),
                    start,
                });
                start = Start::Existing;
                from += count;
                if from >= depth {
                    break;
                }
            }
        }
    }
}
