//! The product with rows and lanes swapped: `outᵀ = start ⊕ rightᵀ·leftᵀ`, the chains as they were.
//!
//! For right operands without vectors. Instead of the right operand, the left one is copied, a panel of [`PANEL`] numbers at
//! a time, and the right one is read in place, one broadcast after the other.

use super::operand::{More, Operand};
use super::pack::{Pack, transpose, vectors};
use super::raw::room::{ACCUMULATORS, PANEL, Room, rows_in};
use super::raw::{Ahead, PanelProduct, Start, Term, panel_lanes};
use crate::simd::target::DECODED;
use crate::simd::{Kernel, Simd};
use crate::view::{MatMut, MatRef};

/// Depths of a block that is written are a multiple of this, but for the last one.
const BLOCK: usize = 32;

/// A product whose right operand is in pieces, each with the depth at which it starts, and the product that continues it.
pub(crate) struct Swapped<'a, 'o, P> {
    pub left: Operand<'a>,
    pub pieces: P,
    pub more: More<Operand<'a>>,
    pub out: MatMut<'o>,
    pub start: Start<'o>,
}

/// The product in vectors that its rows fill.
#[inline(always)]
pub(super) fn swapped<'a, S: Simd, P>(simd: S, product: Swapped<'a, '_, P>)
where
    P: Iterator<Item = (usize, Operand<'a>)> + Clone,
{
    if product.out.rows() <= S::Narrow::LANES && S::Narrow::LANES < S::LANES {
        simd.narrow().call(product);
    } else {
        simd.call(product);
    }
}

impl<'a, P: Iterator<Item = (usize, Operand<'a>)> + Clone> Kernel for Swapped<'a, '_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (rows, lanes) = (self.out.rows(), self.out.cols());
        let width = panel_lanes::<S>(rows);
        let height = rows_in(ACCUMULATORS, width);
        let (mut room, mut one, mut two) = (Room::<ACCUMULATORS>::new(), Room::new(), Room::new());
        // Loop 1.
        for row in (0..rows).step_by(width.max(1)) {
            let width = width.min(rows - row);
            for lane in (0..lanes).step_by(height.max(1)) {
                let height = height.min(lanes - lane);
                let at = Block { row, width, lane, height };
                let mut sums = room.matrix(height, width);
                let mut blocks = self.depths(at);
                let mut later = blocks.clone().skip(2);
                let mut part = self.out.block(row, width, lane, height);
                begin(simd, self.start.lanes_from(lane), &part.as_ref(), &mut sums);
                // Loop 2, two blocks at a time.
                while let Some(first) = blocks.next() {
                    let terms = [
                        term(simd, Some(first), later.next(), &mut one),
                        term(simd, blocks.next(), later.next(), &mut two),
                    ];
                    simd.call(PanelProduct { terms, out: sums.reborrow(), start: Start::Existing });
                }
                transpose(simd, Operand::new(sums.as_ref()), &mut part);
            }
        }
    }
}

/// A block of the output: `width` rows, which are lanes now, and `height` lanes, which are rows now.
#[derive(Copy, Clone)]
struct Block {
    row: usize,
    width: usize,
    lane: usize,
    height: usize,
}

impl<'a, P: Iterator<Item = (usize, Operand<'a>)> + Clone> Swapped<'a, '_, P> {
    /// What such a block of the output is the product of, as many depths at a time as have room: right and left operand.
    #[inline(always)]
    fn depths(&self, at: Block) -> impl Iterator<Item = (Operand<'a>, Operand<'a>)> + Clone + use<'a, P> {
        let Block { row, width, lane, height } = at;
        let (left, most) = (self.left, rows_in(PANEL, width));
        let firsts = self.pieces.clone().map(move |(depth, right)| (left, depth, right));
        let seconds = self.more.into_iter().map(|(left, right)| (left, 0, right));
        firsts.chain(seconds).flat_map(move |(left, depth, right)| {
            (0..right.rows()).step_by(most.max(1)).map(move |from| {
                let count = most.min(right.rows() - from);
                let tokens = left.block(row, width, depth + from, count);
                (tokens.t(), right.block(from, count, lane, height).t())
            })
        })
    }
}

/// `out = start` continued by the product of `left` and the transpose of a matrix that `block` writes, in blocks from a row and a
/// column on, of so many rows and columns: a few rows at a time, all columns for which the copy of the left operand has room.
#[inline(always)]
pub(crate) fn product_of_blocks<S: Simd>(
    simd: S,
    left: Operand<'_>,
    depth: usize,
    block: &mut impl FnMut((usize, usize), (usize, usize), &mut [f32]),
    out: &mut MatMut<'_>,
    start: Start<'_>,
) {
    let (rows, lanes) = (out.rows(), out.cols());
    let width = panel_lanes::<S>(rows);
    let height = rows_in(ACCUMULATORS, width);
    let most = (rows_in(PANEL, width) / BLOCK * BLOCK).max(BLOCK);
    let (mut room, mut one, mut two) = (Room::<ACCUMULATORS>::new(), Room::new(), Room::<DECODED>::new());
    // Loop 1.
    for row in (0..rows).step_by(width.max(1)) {
        let width = width.min(rows - row);
        for lane in (0..lanes).step_by(height.max(1)) {
            let height = height.min(lanes - lane);
            let mut sums = room.matrix(height, width);
            let mut part = out.block(row, width, lane, height);
            begin(simd, start.lanes_from(lane), &part.as_ref(), &mut sums);
            // Loop 2.
            for from in (0..depth).step_by(most) {
                let count = most.min(depth - from);
                let right = vectors(simd, left.block(row, width, from, count).t(), &mut one);
                let few = rows_in(DECODED, count);
                for first in (0..height).step_by(few) {
                    let size = (few.min(height - first), count);
                    let room = two.first(size.0 * size.1);
                    block((lane + first, from), size, room);
                    let left = Operand::new(MatRef::dense(room, size.0, size.1));
                    let terms = [Term { left, right, ahead: Ahead::Nothing }, Term::NONE];
                    simd.call(PanelProduct { terms, out: sums.block(first, size.0, 0, width), start: Start::Existing });
                }
            }
            transpose(simd, Operand::new(sums.as_ref()), &mut part);
        }
    }
}

/// The swapped accumulators at their start.
#[inline(always)]
pub(super) fn begin<S: Simd>(simd: S, start: Start<'_>, out: &MatRef<'_>, sums: &mut MatMut<'_>) {
    match start {
        Start::Zero => (0..sums.rows()).for_each(|i| sums.row_mut(i).fill(0.0)),
        Start::Bias(bias) => bias.iter().enumerate().for_each(|(i, &value)| sums.row_mut(i).fill(value)),
        Start::Existing => simd.call(Pack { matrix: *out, width: out.rows(), panels: sums.data_mut() }),
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
    let ahead = match later {
        Some((_, next)) if next.row_stride() == right.rows() => Ahead::Left(next.data()),
        _ => Ahead::Nothing,
    };
    Term { left, right: vectors(simd, right, room), ahead }
}
