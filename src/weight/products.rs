//! The two products of frozen weights, for every format: `X·Wᵀ` and `dY·W`. The only place that knows which order of loops suits
//! which format.

use core::ops::Range;

use super::panels::{Panels, SideBySide};
use crate::kernel::operand::{Factor, More, Piece, plain, transposed};
use crate::kernel::product::{
    compact_product, product as dense_product, product_and_more, product_of_transposed, row_product,
};
use crate::kernel::raw::room::Room;
use crate::kernel::raw::{Compact, Start};
use crate::simd::target::{DECODED, HAS_VECTORS, SMALL_VECTORS};
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef};

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
            let panel = decoded(w, o, i, &mut room);
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
    let done = if x.rows() == 1 { one_token(simd, x, w, more, y, start) } else { 0..0 };
    by_panels(simd, x, w, 0..done.start, more, y, start);
    by_panels(simd, x, w, done.end..w.outputs(), more, y, start);
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
    let mut room = Room::<DECODED>::new();
    let mut o = range.start;
    while o < range.end {
        let (mut i, mut start, mut y) = (0, start.lanes_from(o), y.block(0, usize::MAX, o, usize::MAX));
        let width = loop {
            let panel = decoded(w, o, i, &mut room);
            let (inputs, outputs) = (panel.factor().rows(), panel.factor().cols());
            debug_assert!(o + outputs <= range.end, "{range:?} ends within a panel");
            let last = P::IN_PLACE || i + inputs >= w.inputs();
            let more = (more.filter(|_| last), o);
            if P::IN_PLACE {
                product_and_more(simd, plain(x), panel.factor(), more, &mut y, start);
            } else {
                product_and_more(simd, plain(&x.from(0, i)), panel.factor(), more, &mut y, start);
            }
            if last {
                break outputs;
            }
            start = Start::Existing;
            i += inputs;
        };
        o += width;
    }
}

/// `dX[t,i] = chain_o W[o,i]·dY[t,o]`, continued by the product of `more`. The chain over the outputs goes on from panel to panel.
#[inline(always)]
fn times<S: Simd, P: Panels>(simd: S, dy: &MatRef<'_>, w: &P, more: More<Factor<'_>>, dx: &mut MatMut<'_>) {
    if P::IN_PLACE {
        let panel = |output| w.panel(output, 0, &mut []);
        return product_of_transposed(simd, dy, (w.outputs(), panel), more, dx, Start::Zero);
    }
    let mut room = Room::<DECODED>::new();
    let mut i = 0;
    while i < w.inputs() {
        let (mut o, mut start, mut dx, mut width) = (0, Start::Zero, dx.from(0, i), 0);
        // Once without outputs, so that the start is written.
        loop {
            let panel = decoded(w, o, i, &mut room).t();
            let (outputs, inputs) = (panel.factor().rows(), panel.factor().cols());
            debug_assert!(o == 0 || inputs == width, "{inputs} inputs beside {width}");
            width = inputs;
            dense_product(simd, plain(&dy.from(0, o)), panel.factor(), &mut dx, start);
            start = Start::Existing;
            o += outputs.max(1);
            if o >= w.outputs() {
                break;
            }
        }
        if let Some((left, right)) = more {
            dense_product(simd, left, right.lanes_from(i).factor(), &mut dx.within(usize::MAX, width), Start::Existing);
        }
        i += width.max(1);
    }
}

#[inline(always)]
fn decoded<'r, P: Panels>(w: &'r P, output: usize, input: usize, room: &'r mut Room<DECODED>) -> Piece<'r> {
    w.panel(output, input, if P::IN_PLACE { &mut [] } else { room.all() })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::kernel::pack::Pack;
    use crate::simd::{Arithmetic, Backend};
    use crate::weight::panels::copy;
    use crate::weight::{Packed, Weights};

    /// Rows of bfloat16, decoded a few outputs and as many inputs as there is room for at a time.
    struct Bf16<'a> {
        codes: &'a [u16],
        outputs: usize,
        inputs: usize,
    }

    impl Panels for Bf16<'_> {
        const IN_PLACE: bool = false;

        fn outputs(&self) -> usize {
            self.outputs
        }

        fn inputs(&self) -> usize {
            self.inputs
        }

        fn panel<'r>(&'r self, output: usize, input: usize, room: &'r mut [f32]) -> Piece<'r> {
            let outputs = (self.outputs - output).min(5);
            let inputs = (self.inputs - input).min(room.len() / 5);
            let room = &mut room[..outputs * inputs];
            for (at, number) in room.iter_mut().enumerate() {
                let code = self.codes[(output + at / inputs) * self.inputs + input + at % inputs];
                *number = f32::from_bits(u32::from(code) << 16);
            }
            Piece { matrix: MatRef::dense(room, outputs, inputs), transposed: true }
        }
    }

    /// Numbers that have no pattern and no common rounding.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) ^ seed) as i32 as f32 * 2.0_f32.powi(-31)).collect()
    }

    #[test]
    fn a_format_that_is_decoded_gives_the_bits_of_what_it_decodes_to() {
        let mut compared = 0;
        for backend in Backend::available() {
            for (outputs, inputs) in [(1, 1), (3, 700), (64, 64), (61, 1500), (0, 5), (5, 0)] {
                let codes: Vec<u16> =
                    numbers(outputs * inputs, 1).iter().map(|number| (number.to_bits() >> 16) as u16).collect();
                let rows: Vec<f32> = codes.iter().map(|&code| f32::from_bits(u32::from(code) << 16)).collect();
                let coded = Bf16 { codes: &codes, outputs, inputs };
                let plain = Weights::from(MatRef::dense(&rows, outputs, inputs));
                for tokens in [1, 3, 17] {
                    let given = Given::new(tokens, outputs, inputs);
                    let got = given
                        .both((outputs, inputs), 1, |times| super::product(Multiplier::of(backend), &coded, times));
                    let expected = given.both((outputs, inputs), 1, |times| plain.product(backend, times));
                    assert!(got[0] == expected[0], "Y, {backend:?}, {outputs}x{inputs}, {tokens} tokens");
                    assert!(got[1] == expected[1], "dX, {backend:?}, {outputs}x{inputs}, {tokens} tokens");
                    compared += got[0].len() + got[1].len();
                }
                let mut copied = std::vec![7.0; outputs * inputs];
                copy(&coded, (0, 0), &mut MatMut::dense(&mut copied, outputs, inputs));
                assert!(copied == rows, "{outputs}x{inputs}");
            }
        }
        assert!(compared > 10_000);
    }

    fn bits(numbers: &[f32]) -> Vec<u32> {
        numbers.iter().map(|number| number.to_bits()).collect()
    }

    /// What weights of some size are multiplied with, on so many tokens, and what the outputs are before.
    struct Given {
        tokens: usize,
        x: Vec<f32>,
        dy: Vec<f32>,
        hs: Vec<f32>,
        a: Vec<f32>,
        b: Vec<f32>,
        bias: Vec<f32>,
        y: Vec<f32>,
        dx: Vec<f32>,
    }

    impl Given {
        fn new(tokens: usize, outputs: usize, inputs: usize) -> Self {
            Self {
                tokens,
                x: numbers(tokens * inputs, 2),
                dy: numbers(tokens * outputs, 3),
                hs: numbers(tokens * 2, 4),
                a: numbers(2 * inputs, 5),
                b: numbers(outputs * 2, 6),
                bias: numbers(outputs, 7),
                y: numbers(tokens * outputs, 8),
                dx: numbers(tokens * inputs, 9),
            }
        }

        /// The bits of `Y` and of `dX`.
        fn both(
            &self,
            (outputs, inputs): (usize, usize),
            start: usize,
            product: impl Fn(&mut Times<'_, '_>),
        ) -> [Vec<u32>; 2] {
            let Self { tokens, x, dy, hs, a, b, bias, .. } = self;
            let (mut y, mut dx, tokens) = (self.y.clone(), self.dx.clone(), *tokens);
            let (x, dy) = (MatRef::dense(x, tokens, inputs), MatRef::dense(dy, tokens, outputs));
            let (hs, a, b) = (MatRef::dense(hs, tokens, 2), MatRef::dense(a, 2, inputs), MatRef::dense(b, outputs, 2));
            let start = [Start::Zero, Start::Bias(bias), Start::Existing][start];
            let (out, more) = (&mut MatMut::dense(&mut y, tokens, outputs), Some((plain(&hs), transposed(&b))));
            product(&mut Times { is_forward: true, left: &x, more, out, start });
            let (out, more) = (&mut MatMut::dense(&mut dx, tokens, inputs), Some((plain(&hs), plain(&a))));
            product(&mut Times { is_forward: false, left: &dy, more, out, start: Start::Zero });
            [bits(&y), bits(&dx)]
        }

        /// The same by the definition of both products.
        fn defined(&self, arithmetic: Arithmetic, w: &MatRef<'_>, start: usize) -> [Vec<u32>; 2] {
            let Self { tokens, x, dy, hs, a, b, bias, .. } = self;
            let (outputs, inputs, mut y, mut dx) = (w.rows(), w.cols(), self.y.clone(), self.dx.clone());
            for t in 0..*tokens {
                for o in 0..outputs {
                    let to = &mut y[t * outputs + o];
                    let chain = (0..inputs).fold([0.0, bias[o], *to][start], |chain, i| {
                        arithmetic.step(chain, x[t * inputs + i], w.row(o)[i])
                    });
                    *to = (0..2).fold(chain, |chain, k| arithmetic.step(chain, hs[t * 2 + k], b[o * 2 + k]));
                }
                for i in 0..inputs {
                    let chain =
                        (0..outputs).fold(0.0, |chain, o| arithmetic.step(chain, dy[t * outputs + o], w.row(o)[i]));
                    dx[t * inputs + i] =
                        (0..2).fold(chain, |chain, k| arithmetic.step(chain, hs[t * 2 + k], a[k * inputs + i]));
                }
            }
            [bits(&y), bits(&dx)]
        }
    }

    /// What is copied from every second output and third input on, into a matrix with gaps, and what is given one by one.
    fn check_copies(w: &Weights<'_>, rows: &MatRef<'_>) {
        let (outputs, inputs) = (rows.rows(), rows.cols());
        assert_eq!((w.outputs(), w.inputs()), (outputs, inputs), "{w:?}");
        for (o, i) in (0..outputs).step_by(2).flat_map(|o| (0..inputs).step_by(3).map(move |i| (o, i))) {
            let (count, width) = ((outputs - o).min(1 + i), inputs - i);
            let (mut copied, stride) = (std::vec![7.0; count * (width + 1)], width + 1);
            w.copy((o, i), &mut MatMut::with_stride(&mut copied, count, width, stride).unwrap());
            for (row, copied) in copied.chunks(stride).enumerate() {
                assert_eq!(copied[..width], rows.row(o + row)[i..], "{w:?} from {o}, {i}");
                assert_eq!(copied[width], 7.0, "{w:?} from {o}, {i}");
            }
        }
        for (o, i) in (0..outputs + 2).flat_map(|o| (0..inputs + 2).map(move |i| (o, i))) {
            assert_eq!(w.get(o, i), rows.row(o).get(i).copied(), "{w:?} at {o}, {i}");
        }
        for o in 0..outputs {
            let mut row = Vec::new();
            w.for_each_of(o, |numbers| row.extend_from_slice(numbers));
            assert_eq!(row, rows.row(o), "{w:?}, output {o}");
        }
    }

    #[test]
    fn the_products_of_rows_and_of_packed_weights_are_their_definition() {
        for backend in Backend::available() {
            for (outputs, inputs) in [(1, 1), (50, 4), (131, 7), (0, 5), (5, 0), (400, 2), (3, 20)] {
                let rows = numbers(outputs * inputs, 1);
                let w = MatRef::dense(&rows, outputs, inputs);
                for (case, width) in [1, 5, 16, backend.panel_width()].into_iter().enumerate() {
                    let mut panels = std::vec![f32::NAN; outputs * inputs];
                    backend.run(Pack { matrix: w, width, panels: &mut panels });
                    let packed = Packed::new(&panels, outputs, inputs, width).unwrap();
                    assert_eq!((packed.outputs(), packed.inputs(), packed.width()), (outputs, inputs, width));
                    let (third, one) = (outputs / 3, width.min(outputs));
                    for range in [0..outputs, one..outputs, 0..one, third..outputs - third, third..third] {
                        let part = Weights::from(packed).range(&range);
                        let (expected, _) = w.split_rows(range.start).1.split_rows(range.len());
                        let (rows, size) = (Weights::from(w).range(&range), (range.len(), inputs));
                        for (tokens, start) in [1, 3, 17].into_iter().zip([case, case + 1, case + 2]) {
                            let (given, start) = (Given::new(tokens, range.len(), inputs), start % 3);
                            let expected = given.defined(backend.arithmetic(), &expected, start);
                            for (w, got) in [
                                ("rows", given.both(size, start, |times| rows.product(backend, times))),
                                ("weights", given.both(size, start, |times| part.product(backend, times))),
                            ] {
                                let case = std::format!("{backend}, {w} {range:?} of {outputs}x{inputs} in {width}");
                                assert!(got[0] == expected[0], "Y, {case}, {tokens} tokens");
                                assert!(got[1] == expected[1], "dX, {case}, {tokens} tokens");
                            }
                        }
                        check_copies(&part, &expected);
                        check_copies(&rows, &expected);
                    }
                }
            }
        }
    }
}
