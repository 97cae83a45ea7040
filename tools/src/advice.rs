//! Whether an update survives the rounding of the weights that it is merged into.

use clap::ValueEnum;
use lowrank::{Backend, Dtype};
use serde::Serialize;

use crate::blocks::{Block, GROUP};
use crate::error::Failure;
use crate::report::percent;

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

/// What a storage does to an update Δ of a base W.
#[derive(Copy, Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Advice {
    pub(crate) storage: Storage,
    /// `‖Q(W)−W‖/‖Δ‖`: the noise that the base has in that storage without any update. None where there is no update.
    pub(crate) base_noise: Option<f64>,
    /// `M = Q(W+Δ)`, against `W`.
    pub(crate) merge_then_store: Arrival,
    /// `M = Q(Q(W)+Δ)`, against `Q(W)`.
    pub(crate) into_stored_base: Arrival,
}

/// What arrives of an update Δ when the weights go from `V` to `M`. None where there is no update, or no storage for it.
#[derive(Copy, Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Arrival {
    /// `⟨M−V, Δ⟩/‖Δ‖²`, 1 where all of the update arrives.
    pub(crate) kept: Option<f64>,
    /// `‖M−V−Δ‖/‖Δ‖`, 0 where nothing is added to it.
    pub(crate) noise: Option<f64>,
    pub(crate) verdict: Verdict,
}

impl Arrival {
    /// For a table.
    pub(crate) fn cells(&self, storage: Storage) -> [String; 3] {
        let verdict = match self.verdict {
            Verdict::DoesNotFit => format!("{} {}", self.verdict.name(), storage.name()),
            verdict => verdict.name().to_owned(),
        };
        [percent(self.kept), percent(self.noise), verdict]
    }
}

/// What to think of it, from the best to the worst.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// There is no update.
    Empty,
    /// 99 % to 101 % arrive, with at most 10 % of noise or 1.1 times that of the base alone.
    Survives,
    /// 90 % to 110 % arrive, with at most as much noise as update or twice that of the base alone.
    Noisy,
    /// Less arrives, or more, or more noise.
    Lost,
    /// The base or what it becomes is too large for the storage.
    DoesNotFit,
}

impl Verdict {
    /// Noise that does not depend on the update moves `kept` by about `noise/√elements`. Where that is more than `kept` may
    /// be off, the update drowns, and a `kept` near 1 is chance: then no noise of the base is an excuse.
    fn of(kept: f64, noise: f64, unavoidable: f64, elements: f64) -> Self {
        let excused = |times: f64, off: f64| noise <= (times * unavoidable).min(off * elements.sqrt());
        // Written so that NaN is lost.
        if (0.99..=1.01).contains(&kept) && (noise <= 0.1 || excused(1.1, 0.01)) {
            Verdict::Survives
        } else if (0.9..=1.1).contains(&kept) && (noise <= 1.0 || excused(2.0, 0.1)) {
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
            Verdict::DoesNotFit => "does not fit",
            Verdict::Empty => "no update",
        }
    }
}

/// Sums over the elements of a layer: what goes from `V` to `M`, along Δ and beside it.
#[derive(Copy, Clone, Debug, Default)]
struct Sums {
    along: f64,
    error: f64,
    elements: usize,
}

impl Sums {
    fn add(&mut self, from: &[f32], to: &[f32], update: &[f32]) {
        for ((&from, &to), &update) in from.iter().zip(to).zip(update) {
            let (arrived, update) = (f64::from(to) - f64::from(from), f64::from(update));
            self.along += arrived * update;
            self.error += (arrived - update).powi(2);
        }
        self.elements += update.len();
    }

    fn arrival(&self, square: f64, unavoidable: f64) -> Arrival {
        // Squares of f32 do not overflow f64: only weights that are not finite are no number here.
        let fits = self.error.is_finite();
        if square == 0.0 || !fits {
            let verdict = if fits { Verdict::Empty } else { Verdict::DoesNotFit };
            return Arrival { kept: None, noise: None, verdict };
        }
        let (kept, noise) = (self.along / square, (self.error / square).sqrt());
        let verdict = Verdict::of(kept, noise, unavoidable, self.elements as f64);
        Arrival { kept: Some(kept), noise: Some(noise), verdict }
    }
}

/// What one storage does to a layer.
#[derive(Clone, Debug)]
struct Meter {
    storage: Storage,
    /// `‖Q(W)−W‖²`
    base: f64,
    then: Sums,
    into: Sums,
}

impl Meter {
    const fn new(storage: Storage) -> Self {
        let zero = Sums { along: 0.0, error: 0.0, elements: 0 };
        Self { storage, base: 0.0, then: zero, into: zero }
    }

    fn advice(&self, square: f64) -> Advice {
        let base_noise = (square != 0.0).then(|| (self.base / square).sqrt());
        Advice {
            storage: self.storage,
            base_noise,
            merge_then_store: self.then.arrival(square, base_noise.unwrap_or(0.0)),
            into_stored_base: self.into.arrival(square, 0.0),
        }
    }
}

/// Measures blocks in several storages at once.
pub(crate) struct Advisor {
    meters: Vec<Meter>,
    backend: Backend,
    /// `‖Δ‖²`
    square: f64,
    update: Vec<f32>,
    base: Vec<f32>,
    merged: Vec<f32>,
    stored: Vec<f32>,
}

impl Advisor {
    pub(crate) fn new(backend: Backend, storages: &[Storage]) -> Self {
        let meters = storages.iter().map(|&storage| Meter::new(storage)).collect();
        let (update, base, merged, stored) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { meters, backend, square: 0.0, update, base, merged, stored }
    }

    /// Merges in both situations, and rounds. Returns the block merged into the last storage of the base.
    pub(crate) fn add(&mut self, block: &Block<'_>) -> Result<&[f32], Failure> {
        let Self { meters, backend, square, update, base, merged, stored } = self;
        base.clear();
        base.resize(block.base.len(), 0.0);
        block.merge_into(*backend, base, update)?;
        *square += update.iter().map(|&update| f64::from(update).powi(2)).sum::<f64>();
        block.merge_into(*backend, block.base, merged)?;
        for meter in meters {
            let round = |from: &[f32], to: &mut Vec<f32>| {
                to.clear();
                to.extend(from);
                meter.storage.round(to, block.inputs);
            };
            round(merged, stored);
            meter.then.add(block.base, stored, update);
            round(block.base, base);
            meter.base +=
                base.iter().zip(block.base).map(|(&q, &w)| (f64::from(q) - f64::from(w)).powi(2)).sum::<f64>();
            block.merge_into(*backend, base, stored)?;
            meter.storage.round(stored, block.inputs);
            meter.into.add(base, stored, update);
        }
        Ok(&self.stored)
    }

    pub(crate) fn advice(&self) -> Vec<Advice> {
        self.meters.iter().map(|meter| meter.advice(self.square)).collect()
    }

    /// `‖Δ‖`
    pub(crate) fn norm(&self) -> f64 {
        self.square.sqrt()
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
    fn sums_say_what_their_formulas_say() {
        let mut sums = Sums::default();
        // M − V = (1, 0), Δ = (1, 1): half is kept, and what is missing is as long as 1 in √2.
        sums.add(&[1.0, 1.0], &[2.0, 1.0], &[1.0, 1.0]);
        let arrival = sums.arrival(2.0, 0.0);
        assert_eq!((arrival.kept, arrival.verdict), (Some(0.5), Verdict::Lost));
        assert_eq!(arrival.noise, Some(0.5f64.sqrt()));
        assert_eq!(Meter::new(Storage::F16).advice(0.0).merge_then_store.verdict, Verdict::Empty);
    }

    #[test]
    fn noise_that_the_base_has_anyway_is_no_fault_of_the_update() {
        const MANY: f64 = 1e8;
        for (kept, noise, unavoidable, elements, expected) in [
            (0.99, 0.1, 0.0, 1.0, Verdict::Survives),
            (1.01, 0.1, 0.0, 1.0, Verdict::Survives),
            (0.99, 0.11, 0.0, MANY, Verdict::Noisy),
            (0.99, 55.0, 50.0, MANY, Verdict::Survives),
            (0.99, 56.0, 50.0, MANY, Verdict::Noisy),
            (0.989, 0.0, 0.0, 1.0, Verdict::Noisy),
            (1.011, 0.0, 0.0, 1.0, Verdict::Noisy),
            (0.9, 1.0, 0.0, 1.0, Verdict::Noisy),
            (1.1, 1.0, 0.0, 1.0, Verdict::Noisy),
            (0.9, 1.01, 0.0, MANY, Verdict::Lost),
            (0.9, 100.0, 50.0, MANY, Verdict::Noisy),
            (0.9, 101.0, 50.0, MANY, Verdict::Lost),
            (0.899, 0.0, 50.0, MANY, Verdict::Lost),
            (1.101, 0.0, 50.0, MANY, Verdict::Lost),
            (1.46, 53.7, 53.7, MANY, Verdict::Lost),
            // The noise of few elements moves `kept` as far as that: it is near 1 by chance.
            (1.0, 50.0, 50.0, 2.6e7, Verdict::Survives),
            (1.0, 50.0, 50.0, 2.4e7, Verdict::Noisy),
            (1.0, 50.0, 50.0, 2.6e5, Verdict::Noisy),
            (1.0, 50.0, 50.0, 2.4e5, Verdict::Lost),
            (f64::NAN, 0.0, 0.0, MANY, Verdict::Lost),
            (1.0, f64::NAN, 0.0, MANY, Verdict::Lost),
            (1.0, f64::INFINITY, 0.0, MANY, Verdict::Lost),
        ] {
            let verdict = Verdict::of(kept, noise, unavoidable, elements);
            assert_eq!(verdict, expected, "{kept} {noise} {unavoidable} {elements}");
        }
    }
}
