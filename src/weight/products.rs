//! The two products of frozen weights, for every format: `X·Wᵀ` and `dY·W`. The only place that knows which order of loops suits
//! which format.

use core::ops::Range;

use super::panels::{Panels, RUN, SideBySide};
use crate::kernel::operand::{Factor, More, plain, transposed};
use crate::kernel::product::{
    compact_product, product as dense_product, product_and_more, product_of_transposed, product_of_written, row_product,
};
use crate::kernel::raw::room::{Room, rows_in};
use crate::kernel::raw::{Compact, Start};
use crate::simd::target::{DECODED, HAS_VECTORS, SMALL_VECTORS};
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef};

/// Inputs of a decoded block in the product for `dX`: whole tiles of every backend.
const INPUTS: usize = 96;
/// Outputs and inputs of a decoded block where size counts.
const FEW: (usize, usize) = (8, DECODED / 8);
/// As many as lie in one piece.
const ALL: (usize, usize) = (usize::MAX, usize::MAX);

/// One of the two products of weights, and the product of `more`, which continues its chains.
pub(crate) struct Times<'a, 'o> {
    /// `X·Wᵀ` is that of the forward pass, `dY·W` that of the backward pass.
    pub is_forward: bool,
    /// `X [n, in]`, or `dY [n, out]`.
    pub left: &'a MatRef<'a>,
    pub more: More<Factor<'a>>,
    /// `Y [n, out]`, or `dX [n, in]`.
    pub out: &'a mut MatMut<'o>,
    /// The start of the chains of `Y`; those of `dX` start at +0.
    pub start: Start<'a>,
}

/// A product of weights in rows: they are a factor as they lie.
pub(super) struct RowsProduct<'t, 'a, 'o> {
    pub w: &'t MatRef<'t>,
    pub times: &'t mut Times<'a, 'o>,
}

impl Kernel for RowsProduct<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { w, times: Times { is_forward, left, more, out, start } } = self;
        let right = if *is_forward { transposed(w) } else { plain(w) };
        product_and_more(simd, plain(left), right, (*more, 0), out, *start);
    }
}

/// What multiplies: a backend, and its one product where size counts.
#[derive(Copy, Clone)]
pub(super) struct Multiplier {
    backend: Backend,
    compact: Option<Compact>,
}

impl Multiplier {
    #[inline(always)]
    pub(super) fn of(backend: Backend) -> Self {
        Self { backend, compact: compact_product(backend) }
    }

    #[inline(always)]
    pub(super) const fn backend(self) -> Backend {
        self.backend
    }
}

/// Computes a product of any other weights.
pub(super) fn product<P: Panels>(multiplier: Multiplier, weights: &P, times: &mut Times<'_, '_>) {
    match multiplier.compact {
        Some(compact) => panel_by_panel(compact, weights, times),
        None if HAS_VECTORS && !SMALL_VECTORS => multiplier.backend.run(WeightProduct { weights, times }),
        None => debug_assert!(false, "where size counts, there is a compact product"),
    }
}

/// Both products where size counts. The chains over the outputs go on from panel to panel, as do those over the inputs.
fn panel_by_panel<P: Panels>(compact: Compact, w: &P, times: &mut Times<'_, '_>) {
    let Times { is_forward, left, more, ref mut out, start } = *times;
    let mut room = Room::<DECODED>::new();
    let mut o = 0;
    // Once without outputs or inputs, so that the start is written.
    loop {
        let mut i = 0;
        let outputs = loop {
            let panel = w.panel((o, i), FEW, room.unless(P::IN_PLACE));
            let panel = panel.factor();
            let (right, depth, lane) = if is_forward { (panel, i, o) } else { (panel.t(), o, i) };
            let start = if depth == 0 { start.lanes_from(lane) } else { Start::Existing };
            compact.product(plain(&left.from(0, depth)), right, &mut out.from(0, lane), &start);
            i += panel.rows().max(1);
            if i >= w.inputs() {
                break panel.cols();
            }
        };
        o += outputs.max(1);
        if o >= w.outputs() {
            break;
        }
    }
    if let Some((left, right)) = more {
        compact.product(left, right, out, &Start::Existing);
    }
}

struct WeightProduct<'t, 'a, 'o, P> {
    weights: &'t P,
    times: &'t mut Times<'a, 'o>,
}

impl<P: Panels> Kernel for WeightProduct<'_, '_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { weights, times: Times { is_forward, left, more, out, start } } = self;
        if *is_forward {
            times_transposed(simd, left, weights, *more, out, *start);
        } else {
            times(simd, left, weights, *more, out);
        }
    }
}

/// `Y = start` continued by `chain_i W[o,i]·X[t,i]`, then by the product of `more`.
#[inline(always)]
fn times_transposed<S: Simd, P: Panels>(
    simd: S,
    x: &MatRef<'_>,
    w: &P,
    more: More<Factor<'_>>,
    y: &mut MatMut<'_>,
    start: Start<'_>,
) {
    if P::IN_PLACE {
        let done = if x.rows() == 1 { one_token(simd, x, w, more, y, start) } else { 0..0 };
        by_panels(simd, x, w, 0..done.start, more, y, start);
        by_panels(simd, x, w, done.end..w.outputs(), more, y, start);
        return;
    }
    if swaps(simd, x.rows()) {
        let block = &mut |at, size, room: &mut [f32]| {
            w.panel(at, size, room);
        };
        product_of_written(simd, x, (w.outputs(), w.inputs()), block, y, start);
    } else {
        by_blocks(simd, x, w, y, start);
    }
    if let Some((left, right)) = more {
        dense_product(simd, left, right, y, Start::Existing);
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
        dense_product(simd, left, right.lanes_from(first).factor(), &mut out.within(1, done), Start::Existing);
    }
    first..first + done
}

/// The outputs `range`, one panel after the other.
#[inline(always)]
fn by_panels<S: Simd, P: Panels>(
    simd: S,
    x: &MatRef<'_>,
    w: &P,
    range: Range<usize>,
    more: More<Factor<'_>>,
    y: &mut MatMut<'_>,
    start: Start<'_>,
) {
    let mut o = range.start;
    while o < range.end {
        let panel = w.panel((o, 0), ALL, &mut []);
        let outputs = panel.factor().cols();
        debug_assert!(o + outputs <= range.end, "{range:?} ends within a panel");
        let y = &mut y.block(0, usize::MAX, o, usize::MAX);
        product_and_more(simd, plain(x), panel.factor(), (more, o), y, start.lanes_from(o));
        o += outputs;
    }
}

/// Whether the tokens fill vectors, and so few that they do it once.
#[inline(always)]
fn swaps<S: Simd>(_simd: S, tokens: usize) -> bool {
    tokens > S::TILE_ROWS / 2 && tokens <= S::TILE_VECTORS * S::LANES
}

/// A block of decoded weights after the other, of few outputs and many inputs.
#[inline(always)]
fn by_blocks<S: Simd, P: Panels>(simd: S, x: &MatRef<'_>, w: &P, y: &mut MatMut<'_>, start: Start<'_>) {
    let mut room = Room::<DECODED>::new();
    let outputs = if x.rows() > S::TILE_ROWS / 2 { S::TILE_VECTORS * S::LANES } else { S::LANES.max(8) };
    let most = (outputs, (rows_in(DECODED, outputs) / RUN * RUN).max(RUN));
    let mut o = 0;
    while o < w.outputs() {
        let (mut start, mut i) = (start.lanes_from(o), 0);
        // Once without inputs, so that the start is written.
        loop {
            let panel = w.panel((o, i), most, room.all());
            dense_product(simd, plain(&x.from(0, i)), panel.factor(), &mut y.from(0, o), start);
            start = Start::Existing;
            i += most.1;
            if i >= w.inputs() {
                break;
            }
        }
        o += most.0;
    }
}

/// `dX[t,i] = chain_o W[o,i]·dY[t,o]`, continued by the product of `more`. The chain over the outputs goes on from panel to panel.
#[inline(always)]
fn times<S: Simd, P: Panels>(simd: S, dy: &MatRef<'_>, w: &P, more: More<Factor<'_>>, dx: &mut MatMut<'_>) {
    if P::IN_PLACE {
        let panel = |output| w.panel((output, 0), ALL, &mut []);
        return product_of_transposed(simd, dy, (w.outputs(), panel), more, dx, Start::Zero);
    }
    let mut room = Room::<DECODED>::new();
    let inputs = if dy.rows() > S::TILE_ROWS / 2 { INPUTS } else { 4 * INPUTS };
    let most = (rows_in(DECODED, inputs), inputs);
    let mut i = 0;
    while i < w.inputs() {
        let (mut start, mut o) = (Start::Zero, 0);
        // Once without outputs, so that the start is written.
        loop {
            let panel = w.panel((o, i), most, room.all()).t();
            dense_product(simd, plain(&dy.from(0, o)), panel.factor(), &mut dx.from(0, i), start);
            start = Start::Existing;
            o += most.0;
            if o >= w.outputs() {
                break;
            }
        }
        i += inputs;
    }
    if let Some((left, right)) = more {
        dense_product(simd, left, right, dx, Start::Existing);
    }
}
