//! Whether an update survives the rounding of the weights that it is merged into.

use clap::ValueEnum;
use lowrank::{Backend, Dtype};
use serde::Serialize;

use crate::blocks::{Block, GROUP};
use crate::error::Failure;

/// How merged weights are stored.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Storage {
    F32,
    F16,
    Bf16,
    Int8,
    Int4,
}

impl Storage {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Storage::F32 => "f32",
            Storage::F16 => "f16",
            Storage::Bf16 => "bf16",
            Storage::Int8 => "int8",
            Storage::Int4 => "int4",
        }
    }

    /// Rounds rows of `cols` weights to what can be stored.
    pub(crate) fn round(self, weights: &mut [f32], cols: usize) {
        let float = |dtype: Dtype, weights: &mut [f32]| {
            weights.iter_mut().for_each(|weight| *weight = dtype.decode(dtype.encode(*weight)));
        };
        let groups = |largest, weights: &mut [f32]| {
            for row in weights.chunks_mut(cols.max(1)) {
                row.chunks_mut(GROUP).for_each(|group| round_group(group, largest));
            }
        };
        match self {
            Storage::F32 => {}
            Storage::F16 => float(Dtype::F16, weights),
            Storage::Bf16 => float(Dtype::Bf16, weights),
            Storage::Int8 => groups(127.0, weights),
            Storage::Int4 => groups(7.0, weights),
        }
    }
}

impl From<Dtype> for Storage {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Storage::F32,
            Dtype::F16 => Storage::F16,
            Dtype::Bf16 => Storage::Bf16,
        }
    }
}

/// Whole numbers from `-largest` to `largest` times one f32 per group: the largest magnitude over `largest`.
fn round_group(group: &mut [f32], largest: f32) {
    let step = group.iter().fold(0.0, |most: f32, weight| most.max(weight.abs())) / largest;
    if step > 0.0 {
        group
            .iter_mut()
            .for_each(|weight| *weight = (*weight / step).round_ties_even().clamp(-largest, largest) * step);
    }
}

/// What rounding does to an update Δ: with the base `W` as it is stored and `M` the rounded `W + Δ`.
#[derive(Copy, Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Advice {
    pub(crate) storage: Storage,
    /// `⟨M−W, Δ⟩/‖Δ‖²`, 1 where all of the update arrives. None where there is no update.
    pub(crate) kept: Option<f64>,
    /// `‖M−W−Δ‖/‖Δ‖`, 0 where nothing is added to it.
    pub(crate) noise: Option<f64>,
    pub(crate) verdict: Verdict,
}

/// What to think of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// At least 99 % arrive, with at most 10 % of noise.
    Survives,
    /// At least 90 % arrive, with at most as much noise as update.
    Noisy,
    /// Less arrives, or more noise.
    Lost,
    /// There is no update.
    Empty,
}

impl Verdict {
    const fn of(kept: f64, noise: f64) -> Self {
        // Written so that NaN is lost.
        if kept >= 0.99 && noise <= 0.1 {
            Verdict::Survives
        } else if kept >= 0.9 && noise <= 1.0 {
            Verdict::Noisy
        } else {
            Verdict::Lost
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Verdict::Survives => "survives",
            Verdict::Noisy => "noisy",
            Verdict::Lost => "lost",
            Verdict::Empty => "no update",
        }
    }
}

/// Sums over the elements of a layer, in one pass.
#[derive(Clone, Debug)]
struct Meter {
    storage: Storage,
    along: f64,
    update: f64,
    error: f64,
}

impl Meter {
    const fn new(storage: Storage) -> Self {
        Self { storage, along: 0.0, update: 0.0, error: 0.0 }
    }

    /// Adds elements: the base and the merged weights as they are stored, and the update.
    fn add(&mut self, base: &[f32], merged: &[f32], update: &[f32]) {
        for ((&base, &merged), &update) in base.iter().zip(merged).zip(update) {
            let (arrived, update) = (f64::from(merged) - f64::from(base), f64::from(update));
            self.along += arrived * update;
            self.update += update * update;
            self.error += (arrived - update).powi(2);
        }
    }

    fn advice(&self) -> Advice {
        let storage = self.storage;
        if self.update == 0.0 {
            return Advice { storage, kept: None, noise: None, verdict: Verdict::Empty };
        }
        let (kept, noise) = (self.along / self.update, (self.error / self.update).sqrt());
        Advice { storage, kept: Some(kept), noise: Some(noise), verdict: Verdict::of(kept, noise) }
    }
}

/// Measures blocks in several storages at once.
pub(crate) struct Advisor {
    meters: Vec<Meter>,
    backend: Backend,
    zero: Vec<f32>,
    update: Vec<f32>,
    base: Vec<f32>,
    merged: Vec<f32>,
}

impl Advisor {
    pub(crate) fn new(backend: Backend, storages: &[Storage]) -> Self {
        let meters = storages.iter().map(|&storage| Meter::new(storage)).collect();
        let (zero, update, base, merged) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { meters, backend, zero, update, base, merged }
    }

    /// Rounds the base, merges, and rounds again. A base that is stored so already is taken as it is. Returns the merged
    /// block in the last of the storages.
    pub(crate) fn add(&mut self, block: &Block<'_>) -> Result<&[f32], Failure> {
        let cols = block.inputs;
        self.zero.clear();
        self.zero.resize(block.base.len(), 0.0);
        block.merge_into(self.backend, &self.zero, &mut self.update)?;
        for meter in &mut self.meters {
            self.base.clear();
            self.base.extend(block.base);
            meter.storage.round(&mut self.base, cols);
            block.merge_into(self.backend, &self.base, &mut self.merged)?;
            meter.storage.round(&mut self.merged, cols);
            meter.add(&self.base, &self.merged, &self.update);
        }
        Ok(&self.merged)
    }

    pub(crate) fn advice(&self) -> Vec<Advice> {
        self.meters.iter().map(Meter::advice).collect()
    }

    /// `‖Δ‖`
    pub(crate) fn norm(&self) -> f64 {
        self.meters.first().map_or(0.0, |meter| meter.update.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_rounded_to_multiples_of_their_step() {
        let mut weights = [7.0, -3.4, 0.6, 0.4, -7.0, 3.5, 2.5, 0.0];
        Storage::Int4.round(&mut weights, 4);
        // Step 1 in both rows; ties go to even.
        assert_eq!(weights, [7.0, -3.0, 1.0, 0.0, -7.0, 4.0, 2.0, 0.0]);
        let mut weights = vec![0.0; 2 * GROUP];
        (weights[0], weights[1], weights[GROUP]) = (127.0, 0.4, 0.4);
        Storage::Int8.round(&mut weights, 2 * GROUP);
        assert_eq!((weights[0], weights[1]), (127.0, 0.0));
        // Another group has another step.
        assert!((weights[GROUP] - 0.4).abs() < 1e-7);
    }

    #[test]
    fn a_meter_says_what_its_formulas_say() {
        let mut meter = Meter::new(Storage::F16);
        // M − W = (1, 0), Δ = (1, 1): half is kept, and what is missing is as long as 1 in √2.
        meter.add(&[1.0, 1.0], &[2.0, 1.0], &[1.0, 1.0]);
        let advice = meter.advice();
        assert_eq!((advice.kept, advice.verdict), (Some(0.5), Verdict::Lost));
        assert_eq!(advice.noise, Some(0.5f64.sqrt()));
        assert_eq!(Meter::new(Storage::F16).advice().verdict, Verdict::Empty);
        assert_eq!(Verdict::of(f64::NAN, 0.0), Verdict::Lost);
        assert_eq!(Verdict::of(1.0, f64::NAN), Verdict::Lost);
    }
}
