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
        let (mut i, mut start, mut y) = (0, start.lanes_from(o), y.block(0, usize::MAX, o, usize::MAX));
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
        let (mut o, mut start, mut dx, mut width) = (0, Start::Zero, dx.from(0, i), 0);
        // Once without outputs, so that the start is written.
        loop {
            let panel = decoded(w, o, i, &mut room).t();
            let (outputs, inputs) = (panel.factor().rows(), panel.factor().cols());
            debug_assert!(o == 0 || inputs == width, "{inputs} inputs beside {width}");
            width = inputs;
            product(simd, plain(&dy.from(0, o)), panel.factor(), &mut dx, start);
            start = Start::Existing;
            o += outputs.max(1);
            if o >= w.outputs() {
                break;
            }
        }
        if let Some((left, right)) = more {
            product(simd, left, right.lanes_from(i).factor(), &mut dx.within(usize::MAX, width), Start::Existing);
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
    use crate::kernel::operand::transposed;
    use crate::simd::{Backend, Kernel};
    use crate::weight::{Weights, copy};

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

    struct Both<'a, P> {
        w: &'a P,
        x: MatRef<'a>,
        dy: MatRef<'a>,
        hs: MatRef<'a>,
        a: MatRef<'a>,
        b: MatRef<'a>,
        bias: Start<'a>,
        y: &'a mut [f32],
        dx: &'a mut [f32],
    }

    impl<P: Panels> Kernel for Both<'_, P> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Self { w, x, dy, hs, a, b, bias, y, dx } = self;
            let (tokens, more) = (x.rows(), Some((plain(&hs), transposed(&b))));
            times_transposed(simd, &x, w, more, &mut MatMut::dense(y, tokens, w.outputs()), bias);
            times(simd, &dy, w, Some((plain(&hs), plain(&a))), &mut MatMut::dense(dx, tokens, w.inputs()));
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
                let plain = Weights::Rows(MatRef::dense(&rows, outputs, inputs));
                for tokens in [1, 3, 17] {
                    let (x, dy, hs) =
                        (numbers(tokens * inputs, 2), numbers(tokens * outputs, 3), numbers(tokens * 2, 4));
                    let (a, b, bias) = (numbers(2 * inputs, 5), numbers(outputs * 2, 6), numbers(outputs, 7));
                    let run = |y: &mut [f32], dx: &mut [f32], is_coded: bool| {
                        macro_rules! both {
                            ($w:expr) => {
                                backend.run(Both {
                                    w: $w,
                                    x: MatRef::dense(&x, tokens, inputs),
                                    dy: MatRef::dense(&dy, tokens, outputs),
                                    hs: MatRef::dense(&hs, tokens, 2),
                                    a: MatRef::dense(&a, 2, inputs),
                                    b: MatRef::dense(&b, outputs, 2),
                                    bias: Start::Bias(&bias),
                                    y,
                                    dx,
                                })
                            };
                        }
                        if is_coded { both!(&coded) } else { both!(&plain) }
                    };
                    let [(y, dx), (expected_y, expected_dx)] = [true, false].map(|is_coded| {
                        let (mut y, mut dx) = (std::vec![7.0; tokens * outputs], std::vec![7.0; tokens * inputs]);
                        run(&mut y, &mut dx, is_coded);
                        (y, dx)
                    });
                    let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
                    assert!(bits(&y) == bits(&expected_y), "Y, {backend:?}, {outputs}x{inputs}, {tokens} tokens");
                    assert!(bits(&dx) == bits(&expected_dx), "dX, {backend:?}, {outputs}x{inputs}, {tokens} tokens");
                    compared += y.len() + dx.len();
                }
                let mut copied = std::vec![7.0; outputs * inputs];
                let mut room = [0.0; 64];
                copy(&coded, (0, 0), &mut room, &mut MatMut::dense(&mut copied, outputs, inputs));
                assert!(copied == rows, "{outputs}x{inputs}");
            }
        }
        assert!(compared > 10_000);
    }
}
