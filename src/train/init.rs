//! Initialisation, as PEFT does it: `A` random, `B` zero, so that the adapter starts without effect and only `B` moves in
//! the first step.
//!
//! Element `(k, i)` of `A` takes the word at position `k·in + i` of the [`Rng`] with stream `2³¹ + layer` and step 0. A
//! trained bias is left alone: copy the base's into it.

use super::rng::{Rng, normal, uniform};
use crate::error::Error;
use crate::lora::{AdapterMut, check_layer};
use crate::simd::sqrt;

/// `A` uniform in `[-1/√in, 1/√in)`, `B` zero: the default of PEFT (Kaiming-uniform with `a = √5`).
///
/// # Errors
/// [`Error::TooMany`] unless `layer < 2³⁰`: no two layers have the same numbers. Nothing is written then.
pub fn kaiming_uniform(adapter: &mut AdapterMut<'_>, seed: u64, layer: u32) -> Result<(), Error> {
    // Without inputs there is nothing to bound.
    let bound = 1.0 / sqrt(adapter.a.cols().max(1) as f32);
    fill(adapter, seed, layer, |word| (2.0 * uniform(word) - 1.0) * bound)
}

/// `A` normal with a standard deviation of `1/r`, `B` zero: `init_lora_weights="gaussian"` in PEFT.
///
/// # Errors
/// As [`kaiming_uniform`].
pub fn gaussian(adapter: &mut AdapterMut<'_>, seed: u64, layer: u32) -> Result<(), Error> {
    let deviation = 1.0 / adapter.a.rows().max(1) as f32;
    fill(adapter, seed, layer, |word| normal(word) * deviation)
}

fn fill(adapter: &mut AdapterMut<'_>, seed: u64, layer: u32, value: impl Fn(u32) -> f32) -> Result<(), Error> {
    check_layer(layer)?;
    let rng = Rng { seed, stream: 0x8000_0000 | layer, step: 0 };
    let inputs = adapter.a.cols();
    for k in 0..adapter.a.rows() {
        let row = adapter.a.row_mut(k);
        rng.words((k as u64).wrapping_mul(inputs as u64), inputs, |i, word| {
            if let Some(to) = row.get_mut(i) {
                *to = value(word);
            }
        });
    }
    for o in 0..adapter.b.rows() {
        adapter.b.row_mut(o).fill(0.0);
    }
    Ok(())
}
