//! The product with rows and lanes exchanged: `outᵀ = start ⊕ rightᵀ·leftᵀ`, the chains as they were.
//!
//! For right operands without vectors. Instead of the right operand, the left one is copied, a panel of [`PANEL`] numbers at
//! a time, and the right one is read in place, one broadcast after the other.

use super::gemm::Product;
use super::pack::{Operand, transpose};
use super::room::{ACCUMULATORS, PANEL, Room};
use super::tile::{Ahead, PanelProduct, Start, Term, panel_lanes};
use crate::simd::{Kernel, Simd};
use crate::view::MatMut;

/// As [`Product`], its right operand in pieces, each with the depth at which it starts.
pub(crate) struct Exchanged<'a, P> {
    pub left: Operand<'a>,
    pub pieces: P,
    pub more: Option<(Operand<'a>, Operand<'a>)>,
    pub out: MatMut<'a>,
    pub start: Start<'a>,
}

impl<'a, P: Iterator<Item = (usize, Operand<'a>)> + Clone> Kernel for Exchanged<'a, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.out.rows();
        if S::LANES == 1 || rows <= S::TILE_ROWS / 2 {
            self.in_place(simd);
        } else if rows <= S::Narrow::LANES && S::Narrow::LANES < S::LANES {
            simd.narrow().call(Copied(self));
        } else {
            simd.call(Copied(self));
        }
    }
}

impl<'a, P: Iterator<Item = (usize, Operand<'a>)>> Exchanged<'a, P> {
    /// Few rows do not fill a vector, and one lane needs no neighbours: nothing is exchanged.
    #[inline(always)]
    fn in_place<S: Simd>(mut self, simd: S) {
        let (rows, mut start) = (self.out.rows(), self.start);
        let more = self.more.map(|(left, right)| (left, 0, right));
        for (left, depth, right) in self.pieces.map(|(depth, right)| (self.left, depth, right)).chain(more) {
            let left = left.block(0, rows, depth, right.rows());
            simd.call(Product { left, right, more: None, out: self.out.reborrow(), start });
            start = Start::Existing;
        }
    }
}

struct Copied<'a, P>(Exchanged<'a, P>);

impl<'a, P: Iterator<Item = (usize, Operand<'a>)> + Clone> Kernel for Copied<'a, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Exchanged { left, pieces, more, mut out, start } = self.0;
        let (rows, lanes) = (out.rows(), out.cols());
        let width = panel_lanes::<S>(rows);
        let height = (ACCUMULATORS / width).max(1);
        let (mut chunk, mut panel) = (Room::<ACCUMULATORS>::new(), Room::new());
        for row in (0..rows).step_by(width) {
            let width = width.min(rows - row);
            for lane in (0..lanes).step_by(height) {
                let mut part = out.block(row, width, lane, height);
                let height = part.cols();
                let Ok(mut block) = MatMut::new(chunk.first(height * width), height, width) else { return };
                begin(simd, start.lanes_from(lane), &part, &mut block);
                let firsts = pieces.clone().map(|(depth, right)| (left, depth, right));
                let seconds = more.iter().map(|&(left, right)| (left, 0, right));
                let mut all = firsts.chain(seconds).peekable();
                while let Some((left, depth, right)) = all.next() {
                    let next = all.peek().map_or(right, |&(_, _, next)| next);
                    let next = next.block(0, next.rows(), lane, height).strided();
                    let ahead = if next.inner == right.rows() { Ahead::Left(next.data) } else { Ahead::Right };
                    let most = (PANEL / width).max(1);
                    for from in (0..right.rows()).step_by(most) {
                        let count = most.min(right.rows() - from);
                        let lanes = left.block(row, width, depth + from, count).flip();
                        let term = Term {
                            left: right.block(from, count, lane, height).flip().strided(),
                            right: lanes.vectors(simd, &mut panel),
                            depth: count,
                        };
                        let terms = [term, Term::NONE];
                        simd.call(PanelProduct { terms, out: block.reborrow(), start: Start::Existing, ahead });
                    }
                }
                transpose(simd, block.as_ref(), &mut part);
            }
        }
    }
}

/// The exchanged accumulators at their start.
#[inline(always)]
fn begin<S: Simd>(simd: S, start: Start<'_>, out: &MatMut<'_>, block: &mut MatMut<'_>) {
    match start {
        Start::Zero => (0..block.rows()).for_each(|i| block.row_mut(i).fill(0.0)),
        Start::Bias(bias) => bias.iter().enumerate().for_each(|(i, &value)| block.row_mut(i).fill(value)),
        Start::Existing => transpose(simd, out.as_ref(), block),
    }
}
