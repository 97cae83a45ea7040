//! Dropout on the adapter branch, without a stored mask.

use crate::error::{Argument, BELOW_ONE, Error};
use crate::kernel::philox::Stream;
use crate::view::{MatMut, MatRef, part};

/// Dropout of the adapter's input: an element of `X` is dropped with probability `p`, or multiplied by `1/(1 - p)`.
///
/// The mask is a function of seed, step, layer number and position, computed again in the backward pass. Element `i` of token
/// `t` is kept when the random word at `(first_token + t)·in + i` of Philox4x32-10 (key: `seed`; counter words 2 and 3:
/// `step` and `layer_number`) is at least `⌊p·2³²⌋`. Kept elements are `rn(x · rn(1/rn(1 - p)))`, dropped ones +0, whatever they
/// were before.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Dropout {
    /// The probability of dropping is `p`, with `0 <= p < 1`.
    pub probability: f32,
    /// The seed belongs to the run.
    pub seed: u64,
    /// This is the number of the training step: each step has another mask.
    pub step: u32,
    /// This is the number of the layer, below 2³⁰: each layer has another mask.
    pub layer_number: u32,
    /// The first token has this position in the whole batch, so that micro-batches see the masks of the batch.
    pub first_token: u64,
}

/// The largest number of a layer: each has a stream of [`Rng`](crate::train::Rng) for dropout and one for initialisation.
const LAST_LAYER: u32 = (1 << 30) - 1;

/// # Errors
/// [`Error::TooMany`] when the streams of this layer are those of another, or free.
pub(crate) const fn check_layer_number(layer_number: u32) -> Result<(), Error> {
    if layer_number > LAST_LAYER {
        return Err(Error::TooMany {
            argument: Argument::LayerNumber,
            at_most: LAST_LAYER as usize,
            got: layer_number as usize,
        });
    }
    Ok(())
}

impl Dropout {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.probability >= 0.0 && self.probability < 1.0 {
            check_layer_number(self.layer_number)
        } else {
            Err(Error::Range { argument: Argument::Dropout, at_least: 0.0, at_most: BELOW_ONE, got: self.probability })
        }
    }

    /// `1/(1 - p)`, the factor of what is kept.
    pub fn keep_factor(&self) -> f32 {
        1.0 / (1.0 - self.probability)
    }

    /// `⌊p·2³²⌋`, from 0 to 2³² - 1: smaller words are dropped.
    ///
    /// In integers, since `as u32` raises the invalid flag from 2³¹ on where conversion is to signed numbers only, as on i686.
    const fn threshold(&self) -> u32 {
        if self.probability >= 1.0 {
            return u32::MAX;
        }
        if self.probability.is_nan() || self.probability <= 0.0 {
            return 0;
        }
        // p = significand · 2^(exponent - 150), with an exponent below 127. What is subnormal ends at 0.
        let (bits, exponent) = (self.probability.to_bits(), self.probability.to_bits() >> 23);
        let significand = bits & 0x007f_ffff | 0x0080_0000;
        if exponent >= 118 { significand << (exponent - 118) } else { significand.unbounded_shr(118 - exponent) }
    }

    /// Calls `each(j, kept)` for the elements `first..first + count` of token `token`, of a layer with `inputs` inputs.
    #[inline]
    pub(crate) fn mask(
        &self,
        inputs: usize,
        token: usize,
        first: usize,
        count: usize,
        mut each: impl FnMut(usize, bool),
    ) {
        let threshold = self.threshold();
        let position =
            self.first_token.wrapping_add(token as u64).wrapping_mul(inputs as u64).wrapping_add(first as u64);
        Stream { seed: self.seed, step: self.step, stream: self.layer_number }
            .words(position, count, |j, word| each(j, word >= threshold));
    }

    /// Whether element `i` of token `t` is kept, in a layer with `inputs` inputs.
    pub fn keeps(&self, inputs: usize, t: usize, i: usize) -> bool {
        let mut kept = false;
        self.mask(inputs, t, i, 1, |_, k| kept = k);
        kept
    }

    /// The block of `X̃` with first element `(token, i)`, as large as `out`.
    pub(crate) fn apply(&self, x: MatRef<'_>, token: usize, i: usize, out: &mut MatMut<'_>) {
        let factor = self.keep_factor();
        for t in 0..out.rows() {
            let from = part(x.row(token + t), i..);
            let to = out.row_mut(t);
            self.mask(x.cols(), token + t, i, to.len(), |j, kept| {
                if let (Some(to), Some(&value)) = (to.get_mut(j), from.get(j)) {
                    *to = if kept { value * factor } else { 0.0 };
                }
            });
        }
    }
}
