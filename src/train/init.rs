//! Initialisation as in PEFT. `A` is random and `B` is zero, so that the adapter has no effect at the start, and the first step moves
//! `B` alone.
//!
//! Element `(k, i)` of `A` takes the word at position `k·in + i` of the [`Rng`] with stream `2³¹ + layer_number` and step 0. These
//! functions leave a trained bias alone: the caller copies that of the base into it.

use super::rng::{Rng, normal, uniform};
use crate::error::Error;
use crate::lora::{AdapterMut, check_layer_number};
use crate::simd::sqrt;

/// Makes `A` uniform in `[-1/√in, 1/√in)` and `B` zero. This is the default of PEFT (Kaiming-uniform with `a = √5`).
///
/// # Errors
/// [`Error::TooMany`] unless `layer_number < 2³⁰`: no two layers have the same numbers. Nothing is written then.
pub fn kaiming_uniform(adapter: &mut AdapterMut<'_>, seed: u64, layer_number: u32) -> Result<(), Error> {
    // Without inputs there is nothing to bound.
    let bound = 1.0 / sqrt(adapter.a.cols().max(1) as f32);
    fill(adapter, seed, layer_number, |word| (2.0 * uniform(word) - 1.0) * bound)
}

/// Makes `A` normal with a standard deviation of `1/r` and `B` zero, as `init_lora_weights="gaussian"` does in PEFT.
///
/// # Errors
/// As [`kaiming_uniform`].
pub fn gaussian(adapter: &mut AdapterMut<'_>, seed: u64, layer_number: u32) -> Result<(), Error> {
    let deviation = 1.0 / adapter.a.rows().max(1) as f32;
    fill(adapter, seed, layer_number, |word| normal(word) * deviation)
}

fn fill(adapter: &mut AdapterMut<'_>, seed: u64, layer_number: u32, value: impl Fn(u32) -> f32) -> Result<(), Error> {
    check_layer_number(layer_number)?;
    let rng = Rng { seed, stream: 0x8000_0000 | layer_number, step: 0 };
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
