//! Random numbers are a function of seed, stream, step and position: initialisation, sequences and orders as they are documented.

use crate::support::oracle::word;
use crate::support::{mat_mut, report};
use lowrank::train::{Rng, init};
use lowrank::{AdapterMut, Shape};

const SEED: u64 = 0x1234_5678_9abc_def0;

/// The word of the documentation, by an implementation that is not the crate's.
fn expected(rng: Rng, position: u64) -> u32 {
    word(rng.seed, [rng.step, rng.stream], u128::from(position)) as u32
}

#[test]
fn words_are_those_of_the_documentation() {
    let streams = [(0, 0), (7, 0), (0, 9), (u32::MAX, 1 << 31)];
    let positions = [0, 5, 1 << 33, u64::MAX - 9];
    let mut count = 0;
    for (stream, step) in streams {
        for seed in [0, 1, SEED, u64::MAX] {
            let rng = Rng { seed, stream, step };
            for first in positions {
                for len in 0..10 {
                    let mut seen = Vec::new();
                    rng.words(first, len, |j, word| seen.push((j, word)));
                    let all: Vec<_> = (0..len).map(|j| (j, expected(rng, first + j as u64))).collect();
                    assert_eq!(seen, all);
                    count += len as u64;
                }
                assert_eq!(rng.word(first), expected(rng, first));
            }
        }
    }
    assert_eq!(Rng::new(5), Rng { seed: 5, stream: 0, step: 0 });
    report("bits", "random", count, "words", 1000);
}

/// `⌊word/2⁸⌋·2⁻²⁴`, and `⌊word·bound/2³²⌋`.
#[test]
fn numbers_are_made_of_words() {
    let rng = Rng { seed: SEED, stream: 3, step: 4 };
    for position in 0..2000 {
        let word = expected(rng, position);
        assert_eq!(rng.uniform(position), (word / 256) as f32 / 16_777_216.0);
        for bound in [0, 1, 2, 3, 1000, 1 << 31, u32::MAX] {
            let below = rng.below(position, bound);
            assert_eq!(u128::from(below), (u128::from(word) * u128::from(bound)) >> 32);
            assert!(below < bound.max(1));
        }
    }
}

/// The distribution function of the normal at `rng.normal` is the middle of the part that the word stands for: an integral of
/// the density in small steps, in binary64.
#[test]
fn normals_are_the_inverse_of_the_distribution_function() {
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let distribution = |x: f64| {
        let steps = 2000;
        let h = x / f64::from(steps);
        // Simpson's rule.
        let sum: f64 = (0..=steps)
            .map(|i| match i {
                0 => density(0.0),
                i if i == steps => density(x),
                i if i % 2 == 1 => 4.0 * density(f64::from(i) * h),
                i => 2.0 * density(f64::from(i) * h),
            })
            .sum();
        0.5 + sum * h / 3.0
    };
    let rng = Rng { seed: SEED, stream: 1, step: 2 };
    let (mut tails, mut middles) = (0, 0);
    for position in 0..3000 {
        let (value, word) = (f64::from(rng.normal(position)), expected(rng, position));
        let p = (f64::from(word / 512) + 0.5) / 8_388_608.0;
        let error = (distribution(value) - p) / density(value);
        // Seven digits, as the algorithm promises, and the rounding of p to binary32.
        assert!(error.abs() <= 1e-6 * value.abs().max(0.1) + 6e-8 / density(value), "{value} for {p}: off by {error}");
        if (p - 0.5).abs() > 0.425 { tails += 1 } else { middles += 1 }
    }
    report("error_bound", "random", tails, "normals in the tails", 300);
    report("error_bound", "random", middles, "normals in the middle", 2000);
}

/// Fisher and Yates from the words `1..len`, the last item first.
#[test]
fn orders_are_those_of_fisher_and_yates() {
    let rng = Rng { seed: SEED, stream: 8, step: 1 };
    for len in 0..40_usize {
        let mut items: Vec<usize> = (0..len).collect();
        let mut expected_items = items.clone();
        for i in (1..len).rev() {
            let other = (u64::from(expected(rng, i as u64)) * (i as u64 + 1)) >> 32;
            expected_items.swap(i, other as usize);
        }
        rng.shuffle(&mut items);
        assert_eq!(items, expected_items);
    }
}

/// `A` from the words `k·in + i` of stream `2³¹ + layer` and step 0, `B` zero, the bias and the scale left alone.
#[test]
fn adapters_are_initialised_as_documented() {
    let Shape { inputs, outputs, rank } = Shape::new(7, 4, 3);
    for (layer, gaussian) in [(0, false), (5, true), ((1 << 30) - 1, false), (1, true)] {
        let (mut a, mut b, mut bias) = (vec![9.0; rank * inputs], vec![9.0; outputs * rank], vec![9.0; outputs]);
        let mut adapter = AdapterMut {
            a: mat_mut(&mut a, rank, inputs),
            b: mat_mut(&mut b, outputs, rank),
            bias: Some(mat_mut(&mut bias, 1, outputs)),
            scale: 0.25,
        };
        if gaussian {
            init::gaussian(&mut adapter, SEED, layer).unwrap();
        } else {
            init::kaiming_uniform(&mut adapter, SEED, layer).unwrap();
        }
        assert_eq!(adapter.scale, 0.25);
        let rng = Rng { seed: SEED, stream: (1 << 31) + layer, step: 0 };
        for (position, &value) in (0..).zip(&a) {
            if gaussian {
                assert_eq!(value, rng.normal(position) * (1.0 / 3.0));
            } else {
                assert_eq!(value, (2.0 * rng.uniform(position) - 1.0) * (1.0 / 7f32.sqrt()));
                assert!(value.abs() <= 1.0 / 7f32.sqrt());
            }
        }
        assert!(b.iter().all(|value| value.to_bits() == 0) && bias.iter().all(|&value| value == 9.0));
    }
}
