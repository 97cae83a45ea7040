//! A fingerprint of numbers, down to the last bit.

use core::fmt;

/// FNV-1a with 64 bits (G. Fowler, L. Noll, K. Vo) over the little-endian bytes of numbers. Prints as 16 hex digits.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct Digest(pub u64);

impl Digest {
    /// Of no numbers.
    pub const EMPTY: Digest = Digest(0xcbf2_9ce4_8422_2325);

    /// The digest continued by one more number.
    #[must_use]
    pub fn with(self, value: f32) -> Self {
        let byte = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Digest(value.to_le_bytes().into_iter().fold(self.0, byte))
    }

    /// The digest continued by more numbers.
    #[must_use]
    pub fn with_all(self, values: &[f32]) -> Self {
        values.iter().fold(self, |digest, &value| digest.with(value))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
