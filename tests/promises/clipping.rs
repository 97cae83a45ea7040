//! Clipping sees every gradient of every layer: each of them counts in the norm, and each of them is scaled.

use crate::support::{backends, mat, report};
use lowrank::train::clip;
use lowrank::{Accum, Argument, Backend, Error, Grads, MatMut, reference};

const SIZES: [(usize, usize); 3] = [(3, 5), (4, 3), (1, 4)];
/// Columns between two rows that belong to nobody.
const GAP: usize = 2;
const FOREIGN: f32 = 1e30;

/// `dA`, `dB`, `db` of a layer, with gaps between their rows, and which of them the layer has.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    data: [Vec<f32>; 3],
    has: [bool; 3],
}

impl Owned {
    fn new(layer: usize, has: [bool; 3]) -> Self {
        let value = |matrix: usize, i: usize| (i as f32 - 2.5) * [0.25, -1.5, 0.75][matrix] + layer as f32;
        let data = [0, 1, 2].map(|matrix| {
            let (rows, cols) = SIZES[matrix];
            let row = |r| (0..cols).map(move |c| value(matrix, r * cols + c)).chain([FOREIGN; GAP]);
            (0..rows).flat_map(row).collect()
        });
        Self { data, has }
    }

    fn grads(&mut self) -> Grads<'_> {
        let [a, b, bias] = &mut self.data;
        let view = |(rows, cols): (usize, usize), data| MatMut::with_stride(data, rows, cols, cols + GAP).unwrap();
        Grads {
            a: self.has[0].then_some(view(SIZES[0], a)),
            b: view(SIZES[1], b),
            bias: self.has[2].then_some(view(SIZES[2], bias)),
            accum: Accum::Replace,
        }
    }

    /// The gradients, dense.
    fn dense(&self) -> Vec<Vec<f32>> {
        let rows = |(data, (_, cols)): (&Vec<f32>, (usize, usize))| {
            data.chunks(cols + GAP).flat_map(|row| row[..cols].to_vec()).collect()
        };
        self.data.iter().zip(SIZES).map(rows).collect()
    }

    /// The sums of squares of the specification, in the documented order.
    fn square_sum(&self, backend: Backend) -> f32 {
        let dense = self.dense();
        let [a, b, bias] = [0, 1, 2].map(|matrix| {
            let (rows, cols) = SIZES[matrix];
            let sum = reference::square_sum(backend.arithmetic(), mat(&dense[matrix], rows, cols));
            if self.has[matrix] { sum } else { 0.0 }
        });
        a + b + bias
    }

    /// With every gradient that there is multiplied by `factor`.
    fn scaled(&self, factor: f32) -> Self {
        let mut scaled = self.clone();
        for (data, has) in scaled.data.iter_mut().zip(self.has) {
            let own = data.iter_mut().filter(|value| has && **value != FOREIGN);
            own.for_each(|value| *value *= factor);
        }
        scaled
    }
}

fn layers() -> Vec<Owned> {
    [[true, true, true], [false, true, false], [true, true, false], [false, true, true]]
        .into_iter()
        .enumerate()
        .map(|(layer, has)| Owned::new(layer, has))
        .collect()
}

/// The norm is that of all gradients together, is returned as it was before, and afterwards every gradient is the old one times
/// the same factor: with biases and without, with `A` frozen and trained.
#[test]
fn every_gradient_counts_and_is_scaled() {
    let mut count = 0;
    for backend in backends() {
        for (from, to) in (0..4).flat_map(|from| (from..=4).map(move |to| (from, to))) {
            for max_norm in [0.0, 0.001, 3.0, 1e6] {
                let before = layers()[from..to].to_vec();
                let sum = before.iter().fold(0.0, |sum, layer| sum + layer.square_sum(backend));
                let exact: f64 = before
                    .iter()
                    .flat_map(|layer| layer.dense().into_iter().zip(layer.has).filter(|it| it.1))
                    .flat_map(|(values, _)| values)
                    .map(|value| f64::from(value).powi(2))
                    .sum();
                let factor = clip::factor(sum, max_norm).unwrap();

                let mut after = before.clone();
                let mut views: Vec<_> = after.iter_mut().map(Owned::grads).collect();
                let mut views: Vec<_> = views.iter_mut().collect();
                let norm = clip::global_norm(backend, &mut views, max_norm).unwrap();
                assert_eq!(norm.to_bits(), sum.sqrt().to_bits());
                assert!((f64::from(norm) - exact.sqrt()).abs() <= 1e-6 * exact.sqrt());
                let expected: Vec<_> = before.iter().map(|layer| layer.scaled(factor)).collect();
                assert_eq!(after, expected, "{backend:?} {max_norm}");
                count += after.len() as u64;
            }
        }
        // One layer, by hand.
        let mut layer = Owned::new(1, [true; 3]);
        let expected = layer.scaled(-2.0);
        clip::scale(backend, &mut layer.grads(), -2.0);
        assert_eq!(layer, expected);
    }
    report("bits", "clipping", count, "layers clipped together", 100);
}

/// Below the limit nothing is scaled, above it the norm becomes the limit; what is no norm and no limit is refused.
#[test]
fn factors_are_known_answers() {
    let tiny = f32::from_bits(1);
    for (square_sum, max_norm, expected) in [
        (0.0, 0.0, 0.0),
        (-0.0, 1.0, 1.0),
        (0.0, 1.0, 1.0),
        (0.25, 1.0, 1.0),
        (0.25, 0.5, 0.5 / (0.5 + 1e-6)),
        (1.0, 1.0, 1.0 / (1.0 + 1e-6)),
        (4.0, 1.0, 1.0 / (2.0 + 1e-6)),
        (16.0, 1.0, 0.25),
        (16.0, 2.0, 0.5),
        (16.0, 0.0, 0.0),
        (tiny, 1.0, 1.0),
        (1.0, f32::MAX, 1.0),
        (f32::MAX, 1.0, 5.421_011e-20),
    ] {
        let got = clip::factor(square_sum, max_norm).unwrap();
        assert!((got - expected).abs() <= 3e-7 * expected, "{square_sum} {max_norm}: {got}, not {expected}");
    }
    for square_sum in [-tiny, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = Error::NonFinite { argument: Argument::GradNorm, index: 0 };
        assert_eq!(clip::factor(square_sum, 1.0), Err(error), "{square_sum}");
    }
}
