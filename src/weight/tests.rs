//! The products of weights, and what is read of them one by one, in every layout and format.

use std::vec::Vec;

use super::base::Weights;
use super::packed::Packed;
use super::products::Times;
use crate::error::Error;
use crate::kernel::operand::{plain, transposed};
use crate::kernel::pack::Pack;
use crate::kernel::raw::Start;
use crate::simd::{Arithmetic, Backend};
use crate::view::{MatMut, MatRef};

/// Numbers that have no pattern and no common rounding.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) ^ seed) as i32 as f32 * 2.0_f32.powi(-31)).collect()
}

type Make = fn(&[u8], usize, usize) -> Result<Weights<'_>, Error>;

/// Weights of every format that is decoded, of this shape if the format has such rows.
fn coded(bytes: &[u8], outputs: usize, inputs: usize) -> Vec<(&'static str, Weights<'_>)> {
    let all: [(&str, usize, usize, Make); 6] = [
        ("f16", 2, 1, |bytes, outputs, inputs| Weights::f16(bytes, outputs, inputs)),
        ("bf16", 2, 1, |bytes, outputs, inputs| Weights::bf16(bytes, outputs, inputs)),
        ("q8_0", 34, 32, |bytes, outputs, inputs| Weights::q8_0(bytes, outputs, inputs)),
        ("q4_0", 18, 32, |bytes, outputs, inputs| Weights::q4_0(bytes, outputs, inputs)),
        ("q4_k", 144, 256, |bytes, outputs, inputs| Weights::q4_k(bytes, outputs, inputs)),
        ("q6_k", 210, 256, |bytes, outputs, inputs| Weights::q6_k(bytes, outputs, inputs)),
    ];
    let there = all.into_iter().filter(|(_, _, of, _)| inputs.is_multiple_of(*of));
    there
        .map(|(name, size, of, make)| (name, make(&bytes[..outputs * inputs / of * size], outputs, inputs).unwrap()))
        .collect()
}

#[test]
fn a_format_that_is_decoded_gives_the_bits_of_what_it_decodes_to() {
    let mut compared = 0;
    // No byte of the pattern makes an exponent of infinities.
    let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 & 0xbb).collect();
    for backend in Backend::available() {
        for (outputs, inputs) in [(1, 1), (3, 700), (21, 1056), (50, 32), (9, 256), (0, 5), (5, 0)] {
            for (name, weights) in coded(&bytes, outputs, inputs) {
                let rows: Vec<f32> =
                    (0..outputs * inputs).map(|at| weights.get(at / inputs, at % inputs).unwrap()).collect();
                for range in [0..outputs, outputs / 3..outputs] {
                    let rows = &rows[range.start * inputs..range.end * inputs];
                    let (part, plain) = (weights.range(&range), MatRef::dense(rows, range.len(), inputs));
                    for tokens in [1, 3, 8, 17, 50] {
                        let given = Given::new(tokens, range.len(), inputs);
                        let start = tokens % 3;
                        let got = given.both((range.len(), inputs), start, |times| part.product(backend, times));
                        let expected = given
                            .both((range.len(), inputs), start, |times| Weights::from(plain).product(backend, times));
                        assert!(got[0] == expected[0], "Y, {name}, {backend:?}, {outputs}x{inputs}, {tokens} tokens");
                        assert!(got[1] == expected[1], "dX, {name}, {backend:?}, {outputs}x{inputs}, {tokens} tokens");
                        compared += got[0].len() + got[1].len();
                    }
                    check_copies(&part, &plain);
                }
            }
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
                let chain = (0..outputs).fold(0.0, |chain, o| arithmetic.step(chain, dy[t * outputs + o], w.row(o)[i]));
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
