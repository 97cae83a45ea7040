//! A number that tells one base from another.

use crate::weight::Base;

/// A fingerprint of the frozen base. It keeps an adapter away from a base that it was not trained on. The function is FNV-1a with 64
/// bits (G. Fowler, L. Noll, K.-P. Vo, 1991), and two bases that differ in one byte never have the same fingerprint. It does not
/// protect against somebody who makes two bases agree on purpose.
///
/// The bytes and numbers may be split over the calls in any way.
///
/// ```
/// use lowrank::format::Fingerprint;
/// use lowrank::{Base, MatRef};
///
/// let rows = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
/// let base = Base { weights: MatRef::from_rows(&rows).into(), bias: Some(MatRef::from_row(&[0.0; 3])) };
/// let mut whole = Fingerprint::new();
/// whole.base(&base); // of a model, once per layer
/// assert_eq!(whole.finish(), Fingerprint::of(&base));
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self::new()
    }
}

impl Fingerprint {
    /// Starts a fingerprint, of nothing.
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Returns the fingerprint of one layer.
    pub fn of(base: &Base<'_>) -> u64 {
        let mut fingerprint = Self::new();
        fingerprint.base(base);
        fingerprint.finish()
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    }

    /// Adds the bytes of numbers, little-endian.
    pub fn numbers(&mut self, numbers: &[f32]) {
        numbers.iter().for_each(|number| self.bytes(&number.to_le_bytes()));
    }

    /// Adds a layer. First come outputs and inputs, 8 bytes each, little-endian, then `W [out, in]` row by row, whatever its layout in
    /// memory, then a byte 1 and the bias, or a byte 0.
    pub fn base(&mut self, base: &Base<'_>) {
        let (outputs, inputs) = (base.weights.outputs(), base.weights.inputs());
        self.bytes(&(outputs as u64).to_le_bytes());
        self.bytes(&(inputs as u64).to_le_bytes());
        for o in 0..outputs {
            base.weights.for_each_of(o, |numbers| self.numbers(numbers));
        }
        self.bytes(&[u8::from(base.bias.is_some())]);
        self.numbers(base.bias.map_or(&[], |bias| bias.row(0)));
    }

    /// Returns the fingerprint. It is never 0, which stands for a base that is not known.
    pub const fn finish(self) -> u64 {
        if self.0 == 0 { 1 } else { self.0 }
    }
}
