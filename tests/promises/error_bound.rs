//! Promise: every output lies within its componentwise error bound, and errs no more than random roundings would.

use crate::support;
use crate::support::oracle::{Exact, Values};
use crate::support::tolerances::{Roundings, alarm, gamma};
use crate::support::{Data, Layer, Outputs, Rng, backends, full, mat_mut, report};
use lowrank::{Accum, Dropout, Shape, merge};

/// The largest errors seen of one output, in units of the bound and of the alarm.
#[derive(Copy, Clone, Default)]
struct Worst {
    of_bound: f64,
    of_alarm: f64,
    elements: u64,
}

impl Worst {
    /// `sums`: Σ|terms| of each element.
    fn see(&mut self, ours: &[f32], exact: &[f64], sums: &[f64], roundings: usize) {
        for ((&ours, exact), sum) in ours.iter().zip(exact).zip(sums) {
            let error = (f64::from(ours) - exact).abs();
            let (bound, alarm) = (gamma(roundings) * sum, alarm(roundings) * sum);
            // Where no term is different from zero, zero is expected. NaN is not within anything.
            let ratio = |limit: f64| if error == 0.0 { 0.0 } else { error / limit };
            assert!(error == 0.0 || error <= bound, "{ours} instead of {exact}: off by {error:e}, bound {bound:e}");
            self.of_bound = self.of_bound.max(ratio(bound));
            self.of_alarm = self.of_alarm.max(ratio(alarm));
            self.elements += 1;
        }
    }
}

const NAMES: [&str; 7] = ["Y", "hs", "dA", "dB", "db", "dX", "W'"];

/// The layers of this test: many small shapes, then long chains of each kind.
fn layers() -> Vec<Layer> {
    let rng = &mut Rng(3);
    let mut shapes = Vec::new();
    for _ in 0..if full() { 2000 } else { 200 } {
        let shape = Shape::new(rng.below(40), rng.below(40), rng.below(20));
        shapes.push((shape, rng.below(12)));
    }
    for depth in if full() { vec![100, 257, 1000, 3000] } else { vec![100, 257] } {
        shapes.push((Shape::new(depth, 9, 4), 3));
        shapes.push((Shape::new(7, depth, 4), 3));
        shapes.push((Shape::new(7, 9, depth), 3));
        shapes.push((Shape::new(7, 9, 4), depth));
    }
    let mut layers = Vec::new();
    for (index, (shape, tokens)) in shapes.into_iter().enumerate() {
        let mut layer = Layer::new(shape, tokens, Data::Finite, index as u64);
        if index % 3 == 1 {
            let seed = rng.next();
            layer.dropout =
                Some(Dropout { probability: 0.3, seed, step: index as u32, layer_number: 5, first_token: 11 });
        }
        // Numbers of one sign: partial sums grow, and a bias of the roundings adds up.
        if index % 2 == 1 {
            for buffer in [&mut layer.w, &mut layer.a, &mut layer.b, &mut layer.x, &mut layer.dy] {
                buffer.iter_mut().for_each(|value| *value = value.abs());
            }
        }
        if !layer.is_dead() {
            layers.push(layer);
        }
    }
    layers
}

fn see_all(
    worst: &mut [Worst; 7],
    outputs: &Outputs,
    merged: &[f32],
    exact: &Values<f64>,
    sums: &Values<f64>,
    r: Roundings,
) {
    let [y, hs, da, db, dbias, dx, w] = worst;
    y.see(&outputs.y, &exact.y, &sums.y, r.y);
    hs.see(&outputs.hs, &exact.hs, &sums.hs, r.hs);
    da.see(&outputs.da, &exact.da, &sums.da, r.da);
    db.see(&outputs.db, &exact.db, &sums.db, r.db);
    dbias.see(&outputs.dbias, &exact.dbias, &sums.dbias, r.dbias);
    dx.see(&outputs.dx, &exact.dx, &sums.dx, r.dx);
    w.see(merged, &exact.merged, &sums.merged, r.merged);
}

/// What the gradients start from when they accumulate; it is a term like any other.
fn add_old(values: &mut Values<f64>, old: &Outputs, number: impl Fn(f32) -> f64) {
    for (values, old) in [(&mut values.da, &old.da), (&mut values.db, &old.db), (&mut values.dbias, &old.dbias)] {
        values.iter_mut().zip(old).for_each(|(to, &old)| *to += number(old));
    }
}

#[test]
fn every_output_is_within_its_bound() {
    let layers: Vec<_> = layers()
        .into_iter()
        .zip([Accum::Replace, Accum::Replace, Accum::Add, Accum::Add].into_iter().cycle())
        .collect();
    let expected = layers.iter().map(|(layer, accum)| {
        let (mut exact, mut sums) = (Exact::new(layer).values(), Exact::absolute(layer).values());
        if *accum == Accum::Add {
            let old = layer.old_outputs(Data::Finite, 1);
            add_old(&mut exact, &old, f64::from);
            add_old(&mut sums, &old, |old| f64::from(old.abs()));
        }
        (exact, sums)
    });
    let expected: Vec<_> = expected.collect();
    for backend in backends() {
        let mut worst = [Worst::default(); 7];
        let mut packed = Vec::new();
        for (index, ((layer, accum), (exact, sums))) in layers.iter().zip(&expected).enumerate() {
            let Shape { inputs, outputs, .. } = layer.shape;
            let base = if index % 8 < 4 { layer.base() } else { layer.packed(backend, &mut packed) };
            let mut out = layer.old_outputs(Data::Finite, 1);
            layer.run(backend, &base, *accum, &mut out).unwrap();
            let mut merged = vec![f32::NAN; outputs * inputs];
            merge(backend, &base, &layer.adapter(), mat_mut(&mut merged, outputs, inputs)).unwrap();
            let roundings = Roundings::new(layer.shape, layer.tokens, layer.dropout.is_some());
            see_all(&mut worst, &out, &merged, exact, sums, roundings);
        }
        let ratios: Vec<_> =
            NAMES.iter().zip(&worst).map(|(n, w)| format!("{n} {:.2}/{:.2}", w.of_bound, w.of_alarm)).collect();
        let what = format!("elements, worst error / bound and / alarm: {}", ratios.join(", "));
        report("error_bound", format!("{backend:?}"), worst.iter().map(|w| w.elements).sum(), &what, 50_000);
        for (name, worst) in NAMES.iter().zip(&worst) {
            let ratio = worst.of_alarm;
            assert!(ratio <= 1.0, "{backend:?} {name}: {ratio} times as far off as random roundings would be");
        }
    }
}

/// The alarm rings where the bound alone would be content: on chains whose roundings all go one way.
#[test]
fn the_alarm_notices_truncation() {
    let depth = 1000;
    let (rng, mut truncated, mut exact) = (&mut Rng(4), 0f32, 0f64);
    for _ in 0..depth {
        let (a, b) = (rng.unit().abs(), rng.unit().abs());
        let product = f64::from(a) * f64::from(b);
        exact += product;
        truncated = toward_zero(f64::from(truncated) + f64::from(toward_zero(product)));
    }
    let error = (f64::from(truncated) - exact).abs();
    assert!(error <= gamma(depth + 1) * exact, "the bound was expected to hold");
    assert!(error > alarm(depth + 1) * exact, "the alarm was expected to ring");
}

fn toward_zero(x: f64) -> f32 {
    let nearest = x as f32;
    if f64::from(nearest).abs() > x.abs() { f32::from_bits(nearest.to_bits() - 1) } else { nearest }
}

/// The oracle's mask is the crate's mask: two implementations of one page of documentation.
#[test]
fn the_mask_is_as_documented() {
    let rng = &mut Rng(5);
    for index in 0..200u32 {
        let (tokens, inputs) = (rng.below(9), rng.below(40));
        let first_token = if index % 4 == 0 { 0x1_0000_0000 } else { 7 };
        let dropout =
            Dropout { probability: index as f32 / 200.0, seed: rng.next(), step: index, layer_number: 3, first_token };
        let multipliers = support::oracle::multipliers(Some(dropout), tokens, inputs);
        for (at, &multiplier) in multipliers.iter().enumerate() {
            assert_eq!(multiplier != 0.0, dropout.keeps(inputs, at / inputs, at % inputs), "{dropout:?} at {at}");
            assert!(multiplier == 0.0 || multiplier == dropout.keep_factor());
        }
    }
}
