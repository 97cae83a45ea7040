//! The two products of frozen weights, for every format: `X·Wᵀ` and `dY·W`. The only place that knows which order of loops suits
//! which format.

use core::ops::Range;

use super::panels::{Panels, SideBySide};
use crate::kernel::operand::{Factor, More, Piece, plain};
use crate::kernel::product::{product, product_and_more, product_of_transposed, row_product};
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
    more: More<Factor<'_>>,
    y: &mut MatMut<'_>,
    start: Start<'_>,
) {
    let done = if x.rows() == 1 { one_token(simd, x, w, more, y, start) } else { 0..0 };
    let first = by_panels(simd, x, w, 0..done.start, more, y, start);
    let rest = by_panels(simd, x, w, done.end..w.outputs(), more, y, start);
    if let (Some((left, right)), false) = (more, first && rest) {
        product(simd, left, right, y, Start::Existing);
    }
}

/// The outputs in panels that lie side by side, several panels at a time, as far as that pays. Returns which they are.
#[inline(always)]
fn one_token<S: Simd, P: Panels>(
    simd: S,
    x: &MatRef<'_>,
    w: &P,
    more: More<Factor<'_>>,
    y: &mut MatMut<'_>,
    start: Start<'_>,
) -> Range<usize> {
    let Some(SideBySide { outputs, panels, width }) = w.side_by_side() else { return 0..0 };
    let first = outputs.start;
    let out = &mut y.block(0, 1, first, outputs.len());
    let done = row_product(simd, x.row(0), (panels, width), out.row_mut(0), start.lanes_from(first));
    if done == 0 {
        return 0..0;
    }
    if let Some((left, right)) = more {
        product(simd, left, right.lanes_from(first).factor(), &mut out.within(1, done), Start::Existing);
    }
    first..first + done
}

/// The outputs `range`, one panel after the other. Returns whether `more` went into them.
#[inline(always)]
fn by_panels<S: Simd, P: Panels>(
    simd: S,
    x: &MatRef<'_>,
    w: &P,
    range: Range<usize>,
    more: More<Factor<'_>>,
    y: &mut MatMut<'_>,
    start: Start<'_>,
) -> bool {
    let mut room = Room::<DECODED>::new();
    let (mut o, mut joined) = (range.start, true);
    while o < range.end {
        let (mut i, mut start, mut y) = (0, start.lanes_from(o), y.from(0, o));
        let width = loop {
            let panel = decoded(w, o, i, &mut room);
            let (inputs, outputs) = (panel.factor().rows(), panel.factor().cols());
            debug_assert!(o + outputs <= range.end, "{range:?} ends within a panel");
            let last = P::IN_PLACE || i + inputs >= w.inputs();
            let more = (more.filter(|_| last), o);
            if P::IN_PLACE {
                joined = product_and_more(simd, plain(x), panel.factor(), more, &mut y, start);
            } else {
                joined = product_and_more(simd, plain(&x.from(0, i)), panel.factor(), more, &mut y, start);
            }
            if last {
                break outputs;
            }
            start = Start::Existing;
            i += inputs;
        };
        o += width;
    }
    joined
}

/// `dX[t,i] = chain_o W[o,i]·dY[t,o]`, continued by the product of `more`. The chain over the outputs goes on from panel to panel.
#[inline(always)]
pub(crate) fn times<S: Simd, P: Panels>(simd: S, dy: &MatRef<'_>, w: &P, more: More<Factor<'_>>, dx: &mut MatMut<'_>) {
    if P::IN_PLACE {
        let panel = |output| w.panel(output, 0, &mut []);
        return product_of_transposed(simd, dy, (w.outputs(), panel), more, dx, Start::Zero);
    }
    let mut room = Room::<DECODED>::new();
    let mut i = 0;
    while i < w.inputs() {
        let (mut o, mut start, mut dx) = (0, Start::Zero, dx.from(0, i));
        // Once without outputs, so that the start is written.
        let width = loop {
            let panel = decoded(w, o, i, &mut room).t();
            let (outputs, inputs) = (panel.factor().rows(), panel.factor().cols());
            product(simd, plain(&dy.from(0, o)), panel.factor(), &mut dx, start);
            start = Start::Existing;
            o += outputs.max(1);
            if o >= w.outputs() {
                break inputs.max(1);
            }
        };
        if let Some((left, right)) = more {
            product(simd, left, right.lanes_from(i).factor(), &mut dx.within(usize::MAX, width), Start::Existing);
        }
        i += width;
    }
}

#[inline(always)]
fn decoded<'r, P: Panels>(w: &'r P, output: usize, input: usize, room: &'r mut Room<DECODED>) -> Piece<'r> {
    w.panel(output, input, if P::IN_PLACE { &mut [] } else { room.all() })
}
