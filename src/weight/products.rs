//! The two products of frozen weights, for every format: `X·Wᵀ` and `dY·W`. The only place that knows which order of loops suits
//! which format.

use core::ops::Range;

use super::panels::{Panels, SideBySide};
use crate::kernel::operand::{More, Operand};
use crate::kernel::product::{joins, product, product_and_more, product_of_pieces, row_product};
use crate::kernel::raw::Start;
use crate::kernel::raw::room::Room;
use crate::simd::Simd;
use crate::simd::target::DECODED;
use crate::view::{MatMut, MatRef};

/// `Y = start` continued by `chain_i W[o,i]·X[t,i]`, then by the product of `more`.
#[inline(always)]
pub(crate) fn times_transposed<S: Simd, P: Panels>(
    simd: S,
    x: &MatRef<'_>,
    w: &P,
    more: More<'_>,
    y: &mut MatMut<'_>,
    start: Start<'_>,
) {
    let (beside, after) = if joins::<S>() { (more, None) } else { (None, more) };
    let done = if x.rows() == 1 { one_token(simd, x, w, beside, y, start) } else { 0..0 };
    by_panels(simd, x, w, 0..done.start, beside, y, start);
    by_panels(simd, x, w, done.end..w.outputs(), beside, y, start);
    if let Some((left, right)) = after {
        product(simd, left, right, y, Start::Existing);
    }
}

/// The outputs in panels that lie side by side, several panels at a time, as far as that pays. Returns which they are.
#[inline(always)]
fn one_token<S: Simd, P: Panels>(
    simd: S,
    x: &MatRef<'_>,
    w: &P,
    more: More<'_>,
    y: &mut MatMut<'_>,
    start: Start<'_>,
) -> Range<usize> {
    let Some(SideBySide { outputs, panels, width }) = w.side_by_side() else { return 0..0 };
    let out = &mut y.block(0, 1, outputs.start, outputs.len());
    let done = row_product(simd, x.row(0), (panels, width), out.row_mut(0), start.lanes_from(outputs.start));
    if let Some((left, right)) = more.filter(|_| done > 0) {
        let right = right.block(0, usize::MAX, outputs.start, done);
        product(simd, left, right, out, Start::Existing);
    }
    outputs.start..outputs.start + done
}

/// The outputs `range`, one panel after the other.
#[inline(always)]
fn by_panels<S: Simd, P: Panels>(
    simd: S,
    x: &MatRef<'_>,
    w: &P,
    range: Range<usize>,
    more: More<'_>,
    y: &mut MatMut<'_>,
    start: Start<'_>,
) {
    let (x, mut room) = (Operand::of(x), Room::<DECODED>::new());
    let mut o = range.start;
    while o < range.end {
        let (mut i, mut start, mut y) = (0, start.lanes_from(o), y.from(0, o));
        let width = loop {
            let panel = decoded(w, o, i, &mut room);
            let (inputs, outputs) = (panel.rows(), panel.cols().min(range.end - o));
            let panel = panel.within(inputs, outputs);
            let x = if P::IN_PLACE { x } else { x.from_col(i) };
            if P::IN_PLACE || i + inputs >= w.inputs() {
                let more = more.map(|(left, right)| (left, right.from_col(o)));
                product_and_more(simd, x, panel, more, &mut y.within(usize::MAX, outputs), start);
                break outputs;
            }
            product(simd, x, panel, &mut y, start);
            start = Start::Existing;
            i += inputs;
        };
        o += width;
    }
}

/// `dX[t,i] = chain_o W[o,i]·dY[t,o]`, continued by the product of `more`. The chain over the outputs goes on from panel to panel.
#[inline(always)]
pub(crate) fn times<S: Simd, P: Panels>(simd: S, dy: &MatRef<'_>, w: &P, more: More<'_>, dx: &mut MatMut<'_>) {
    let dy = Operand::of(dy);
    if P::IN_PLACE {
        return product_of_pieces(simd, dy, transposed_panels(w), more, dx, Start::Zero);
    }
    let mut room = Room::<DECODED>::new();
    let mut i = 0;
    while i < w.inputs() {
        let (mut o, mut start, mut dx) = (0, Start::Zero, dx.from(0, i));
        let mut inputs = 0;
        // Once without outputs, so that the start is written.
        while inputs == 0 || o < w.outputs() {
            let panel = decoded(w, o, i, &mut room).t();
            product(simd, dy.from_col(o), panel, &mut dx, start);
            (start, inputs) = (Start::Existing, panel.cols().max(1));
            o += panel.rows().max(1);
        }
        if let Some((left, right)) = more {
            let right = right.block(0, usize::MAX, i, inputs);
            product(simd, left, right, &mut dx, Start::Existing);
        }
        i += inputs;
    }
}

/// The panels of a format that is read in place, `[outputs, inputs]`, each with its first output. Without outputs, one panel.
#[inline(always)]
fn transposed_panels<P: Panels>(w: &P) -> impl Iterator<Item = (usize, Operand<'_>)> + Clone {
    let mut next = Some(0);
    core::iter::from_fn(move || {
        let first = next?;
        let panel = w.panel(first, 0, &mut []).t();
        let end = first + panel.rows().max(1);
        next = (end < w.outputs()).then_some(end);
        Some((first, panel))
    })
}

#[inline(always)]
fn decoded<'r, P: Panels>(w: &'r P, output: usize, input: usize, room: &'r mut Room<DECODED>) -> Operand<'r> {
    w.panel(output, input, if P::IN_PLACE { &mut [] } else { room.all() })
}
