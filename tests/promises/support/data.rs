//! Seeded numbers. Without heap and `std`: firmware fills its buffers with them too.

/// SplitMix64 (S. Vigna): small, and good enough to fill buffers.
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Uniform in [-1, 1).
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 8_388_608.0 - 1.0
    }
}

/// Kinds of data that find different faults.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// Uniform in [-1, 1).
    Finite,
    /// Magnitudes over the whole exponent range, with subnormals and signed zeros; sums and products may overflow.
    Hostile,
    /// Hostile data with infinities and NaN among them.
    NonFinite,
    /// Integers from -4 to 4: every chain is exact.
    Integers,
}

impl Data {
    pub(crate) fn value(self, rng: &mut Rng) -> f32 {
        match self {
            Data::Finite => rng.unit(),
            Data::Integers => rng.below(9) as f32 - 4.0,
            Data::Hostile => match rng.below(8) {
                0 => 0.0,
                1 => -0.0,
                2 => f32::from_bits(rng.next() as u32 & 0x807f_ffff),
                3 => rng.unit() * 1e-30,
                4 => rng.unit() * 1e30,
                _ => rng.unit(),
            },
            Data::NonFinite => match rng.below(24) {
                0 => f32::NAN,
                1 => f32::INFINITY,
                2 => f32::NEG_INFINITY,
                _ => Data::Hostile.value(rng),
            },
        }
    }
}
