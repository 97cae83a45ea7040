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
        let (mut chunk, mut one, mut two) = (Room::<ACCUMULATORS>::new(), Room::new(), Room::new());
        for row in (0..rows).step_by(width) {
            let width = width.min(rows - row);
            for lane in (0..lanes).step_by(height) {
                let mut part = out.block(row, width, lane, height);
                let height = part.cols();
                let Ok(mut block) = MatMut::new(chunk.first(height * width), height, width) else { return };
                begin(simd, start.lanes_from(lane), &part, &mut block);
                let firsts = pieces.clone().map(|(depth, right)| (left, depth, right));
                let seconds = more.iter().map(|&(left, right)| (left, 0, right));
                let most = (PANEL / width).max(1);
                let mut blocks = firsts.chain(seconds).flat_map(|(left, depth, right)| {
                    (0..right.rows()).step_by(most).map(move |from| {
                        let count = most.min(right.rows() - from);
                        (
                            left.block(row, width, depth + from, count).flip(),
                            right.block(from, count, lane, height).flip(),
                        )
                    })
                });
                let mut later = blocks.clone().skip(2);
                while let Some(first) = blocks.next() {
                    let terms = [
                        term(simd, Some(first), later.next(), &mut one),
                        term(simd, blocks.next(), later.next(), &mut two),
                    ];
                    simd.call(PanelProduct { terms, out: block.reborrow(), start: Start::Existing });
                }
                transpose(simd, block.as_ref(), &mut part);
            }
        }
    }
}

/// One block of depths: its right operand is copied. What comes `later` is fetched beforehand where its rows leave no gaps.
#[inline(always)]
fn term<'r, 'a: 'r, S: Simd>(
    simd: S,
    block: Option<(Operand<'a>, Operand<'a>)>,
    later: Option<(Operand<'a>, Operand<'a>)>,
    room: &'r mut Room<PANEL>,
) -> Term<'r> {
    let Some((right, left)) = block else { return Term::NONE };
    let ahead = match later.map(|(_, left)| left.strided()) {
        Some(next) if next.outer == right.rows() => Ahead::Left(next.data),
        _ => Ahead::Nothing,
    };
    Term { left: left.strided(), right: right.vectors(simd, room), depth: right.rows(), ahead }
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
