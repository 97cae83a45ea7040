//! A number that tells one base from another.

use crate::weight::{Base, for_each_of};

/// A fingerprint of the frozen base, so that an adapter is not put on a base that it was not trained on: FNV-1a with 64 bits
/// (G. Fowler, L. Noll, K.-P. Vo, 1991). Two bases that differ in one byte never have the same. It is no protection against
/// somebody who wants two bases to agree.
///
/// How bytes and numbers are split over the calls makes no difference.
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
    /// Of nothing.
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Of one layer.
    pub fn of(base: &Base<'_>) -> u64 {
        let mut fingerprint = Self::new();
        fingerprint.base(base);
        fingerprint.finish()
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    }

    /// Adds numbers: their bytes, little-endian.
    pub fn numbers(&mut self, numbers: &[f32]) {
        numbers.iter().for_each(|number| self.bytes(&number.to_le_bytes()));
    }

    /// Adds a layer: outputs and inputs, 8 bytes each, little-endian; `W [out, in]` row by row, however it rests in memory;
    /// a byte 1 and the bias, or a byte 0.
    pub fn base(&mut self, base: &Base<'_>) {
        let (outputs, inputs) = (base.weights.outputs(), base.weights.inputs());
        self.bytes(&(outputs as u64).to_le_bytes());
        self.bytes(&(inputs as u64).to_le_bytes());
        for o in 0..outputs {
            for_each_of(&base.weights, o, &mut [], |number| self.numbers(&[number]));
        }
        self.bytes(&[u8::from(base.bias.is_some())]);
        self.numbers(base.bias.map_or(&[], |bias| bias.row(0)));
    }

    /// The fingerprint; never 0, which stands for a base that is not known.
    pub const fn finish(self) -> u64 {
        if self.0 == 0 { 1 } else { self.0 }
    }
}
