//! Random numbers that are a function of seed and position.

use crate::kernel::elementary::ln;
use crate::kernel::philox::Stream;
use crate::simd::sqrt;

/// A sequence of random numbers that can be read at any position, in any order, on any target, with the same bits.
///
/// The generator is Philox4x32-10 (J. Salmon et al., SC 2011): the words `4i..4i + 4` are
/// `philox([i low, i high, step, stream], seed)`. It has no state to save, because seed, stream, step and position give the number.
///
/// ```
/// use lowrank::train::Rng;
/// let rng = Rng::new(42);
/// assert_eq!(rng.word(7), rng.word(7));
/// assert!((0.0..1.0).contains(&rng.uniform(3)));
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rng {
    /// The seed belongs to the run.
    pub seed: u64,
    /// Streams are independent sequences of one seed. Layer `l < 2³⁰` takes stream `l` for dropout and `2³¹ + l` for initialisation, and
    /// the streams from `2³¹ + 2³⁰` on are free. Every number is a stream.
    pub stream: u32,
    /// Steps are independent sequences of one stream, for example one for each epoch.
    pub step: u32,
}

impl Rng {
    /// Makes the sequence of stream 0 and step 0.
    pub const fn new(seed: u64) -> Self {
        Self { seed, stream: 0, step: 0 }
    }

    /// Returns 32 random bits.
    pub fn word(&self, position: u64) -> u32 {
        let mut word = 0;
        self.words(position, 1, |_, w| word = w);
        word
    }

    /// Calls `each(j, word)` for the positions `first..first + count`, `j` counting from 0. Four words cost as much as one.
    pub fn words(&self, first: u64, count: usize, each: impl FnMut(usize, u32)) {
        Stream { seed: self.seed, step: self.step, stream: self.stream }.words(first, count, each);
    }

    /// Returns a uniform number in [0, 1), a multiple of 2⁻²⁴.
    pub fn uniform(&self, position: u64) -> f32 {
        uniform(self.word(position))
    }

    /// Returns a standard normal number, made of one word. Its tails end at 5.4.
    pub fn normal(&self, position: u64) -> f32 {
        normal(self.word(position))
    }

    /// Returns a uniform number in `0..bound`, and 0 when `bound` is 0. The bias is at most `bound/2³²`.
    pub fn below(&self, position: u64, bound: u32) -> u32 {
        ((u64::from(self.word(position)) * u64::from(bound)) >> 32) as u32
    }

    /// Puts the items into a random order (Fisher and Yates), from the words `1..items.len()`.
    pub fn shuffle<T>(&self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let bound = u32::try_from(i + 1).unwrap_or(u32::MAX);
            // An index twice is no error: the item stays.
            if let Ok([a, b]) = items.get_disjoint_mut([i, self.below(i as u64, bound) as usize]) {
                core::mem::swap(a, b);
            }
        }
    }
}

pub(super) fn uniform(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// The inverse of the normal distribution function: M. Wichura, "Algorithm AS 241", Applied Statistics 37, 1988, in its
/// single-precision form (about 7 digits).
pub(super) fn normal(word: u32) -> f32 {
    // The middle of one of 2^23 equal parts of (0, 1).
    let p = ((word >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0);
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        let top = ((59.109_375 * r + 159.291_13) * r + 50.434_27) * r + 3.387_132_7;
        let bottom = ((67.187_56 * r + 78.757_76) * r + 17.895_17) * r + 1.0;
        return q * top / bottom;
    }
    let r = sqrt(-ln(if q < 0.0 { p } else { 1.0 - p }));
    // AS 241 has a third piece for r above 5, that is p below 1.4e-11, which cannot come here.
    let r = r - 1.6;
    let top = ((0.170_238_21 * r + 1.306_728_5) * r + 2.756_815_4) * r + 1.423_437_3;
    let bottom = (0.120_211_33 * r + 0.737_001_64) * r + 1.0;
    let value = top / bottom;
    if q < 0.0 { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn normal_has_the_moments_and_quantiles_of_the_normal() {
        let rng = Rng { stream: 5, ..Rng::new(1) };
        let mut values: Vec<f64> = (0..100_000).map(|i| f64::from(rng.normal(i))).collect();
        values.sort_by(f64::total_cmp);
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        // Five standard errors of each estimate at this n.
        assert!(mean.abs() < 5.0 / n.sqrt(), "mean {mean}");
        assert!((variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "variance {variance}");
        for (p, z) in [(0.001, -3.0902), (0.025, -1.9600), (0.5, 0.0), (0.84134, 1.0), (0.975, 1.9600), (0.999, 3.0902)]
        {
            let share = values.iter().filter(|&&v| v < z).count() as f64 / n;
            assert!((share - p).abs() < 5.0 * (p * (1.0 - p) / n).sqrt(), "{z}: {share}, not {p}");
        }
    }

    #[test]
    fn normal_is_the_inverse_of_the_distribution_function() {
        // Known quantiles, to the seven digits that the algorithm promises: p = 0.975, 0.025, 0.999, 0.75.
        for (p, z) in [(0.975, 1.959_963_98), (0.025, -1.959_963_98), (0.999, 3.090_232_31), (0.75, 0.674_489_75)] {
            let word = ((p * 8_388_608.0f64) as u32) << 9;
            let step = 1.0 / 8_388_608.0 / (-z * z / 2.0f64).exp() * 2.506_628;
            assert!((f64::from(normal(word)) - z).abs() < step + 1e-6 * z.abs(), "{p}: {}", normal(word));
        }
    }

    #[test]
    fn shuffle_is_a_permutation() {
        let mut items: Vec<u32> = (0..100).collect();
        Rng::new(3).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
