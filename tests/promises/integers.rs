//! Promise: on integers every operation is exact, so every backend gives what integer arithmetic gives.

use crate::support::oracle::{Exact, Values};
use crate::support::{Data, Layer, Outputs, Rng, backends, full, mat, mat_mut, report};
use lowrank::{Accum, Adapter, Backend, Base, Dropout, Saved, Shape, forward, merge};

/// Binary32 holds every integer up to here; sums and products of integers below it are not rounded.
const EXACT: i64 = 1 << 24;

/// A layer of integers, its exact outputs, and what the accumulating outputs held before.
struct Case {
    layer: Layer,
    accum: Accum,
    old: Outputs,
    exact: Values<i64>,
}

impl Case {
    /// `None` for the rare layer that the backward pass refuses: `A` and `B` all zero.
    fn new(index: u64) -> Option<Self> {
        let rng = &mut Rng(index);
        let most = if index.is_multiple_of(50) { 70 } else { 20 };
        let shape = Shape::new(rng.below(most), rng.below(most), rng.below(18));
        let mut layer = Layer::new(shape, rng.below(9), Data::Integers, rng.next());
        layer.scale = [1.0, 2.0, -1.0, -3.0, 0.0][rng.below(5)];
        if index % 3 == 2 {
            // What is kept is doubled, which is exact.
            let (step, number) = (index as u32, rng.below(3) as u32);
            layer.dropout =
                Some(Dropout { probability: 0.5, seed: rng.next(), step, layer_number: number, first_token: index });
        }
        let accum = if rng.below(2) == 0 { Accum::Add } else { Accum::Replace };
        let old = layer.old_outputs(Data::Integers, rng.next());
        let mut exact = Exact::<i64>::new(&layer).values();
        assert!(largest(&Exact::<i64>::absolute(&layer).values()) + 4 < EXACT, "{shape:?}: too large to be exact");
        if accum == Accum::Add {
            add(&mut exact.da, &old.da);
            add(&mut exact.db, &old.db);
            add(&mut exact.dbias, &old.dbias);
        }
        (!layer.is_dead()).then_some(Self { layer, accum, old, exact })
    }

    fn check(&self, backend: Backend, index: u64) {
        let Case { layer, accum, old, exact } = self;
        let Shape { inputs, outputs, .. } = layer.shape;
        let mut buffer = Vec::new();
        let base = if index.is_multiple_of(2) { layer.base() } else { layer.packed(backend, &mut buffer) };
        let mut out = old.clone();
        layer.run(backend, &base, *accum, &mut out).unwrap();
        let mut merged = vec![f32::NAN; outputs * inputs];
        merge(backend, &base, &layer.adapter(), mat_mut(&mut merged, outputs, inputs)).unwrap();
        let (biased, exact_biased) = self.trained_bias(backend, &base);
        let pairs = [
            ("Y", &out.y, &exact.y),
            ("hs", &out.hs, &exact.hs),
            ("dA", &out.da, &exact.da),
            ("dB", &out.db, &exact.db),
            ("db", &out.dbias, &exact.dbias),
            ("dX", &out.dx, &exact.dx),
            ("W'", &merged, &exact.merged),
            ("Y with a trained bias", &biased, &exact_biased),
        ];
        for (name, ours, exact) in pairs {
            assert_eq!(ours.len(), exact.len());
            for (at, (&ours, &exact)) in ours.iter().zip(exact).enumerate() {
                assert!(ours == exact as f32, "{backend:?} case {index} {name}[{at}]: {ours}, not {exact}; {layer:?}");
            }
        }
    }

    /// Forward with a trained bias, which takes the place of the base's: any integers will do.
    fn trained_bias(&self, backend: Backend, base: &Base<'_>) -> (Vec<f32>, Vec<i64>) {
        let (layer, n, Shape { inputs, outputs, .. }) = (&self.layer, self.layer.tokens, self.layer.shape);
        let adapter = Adapter { bias: Some(mat(&self.old.dbias, 1, outputs)), ..layer.adapter() };
        let mut memory = vec![f32::NAN; Saved::inference_len(layer.shape, n).unwrap()];
        let mut saved = Saved::inference(&mut memory, layer.shape, n).unwrap();
        saved.set_dropout(layer.dropout).unwrap();
        let mut y = vec![f32::NAN; n * outputs];
        forward(backend, base, &adapter, mat(&layer.x, n, inputs), mat_mut(&mut y, n, outputs), &mut saved).unwrap();
        let mut exact = self.exact.y.clone();
        for (at, exact) in exact.iter_mut().enumerate() {
            let of = |bias: &[f32]| bias[at % outputs] as i64;
            *exact += of(&self.old.dbias) - layer.bias.as_deref().map_or(0, of);
        }
        (y, exact)
    }
}

fn add(exact: &mut [i64], old: &[f32]) {
    exact.iter_mut().zip(old).for_each(|(to, &old)| *to += old as i64);
}

/// The largest sum of absolute values, and with it the largest number that any chain can meet.
fn largest(sums: &Values<i64>) -> i64 {
    let all = [&sums.y, &sums.hs, &sums.gs, &sums.da, &sums.db, &sums.dbias, &sums.dx, &sums.merged];
    all.into_iter().flatten().copied().max().unwrap_or(0)
}

#[test]
fn integers_are_exact() {
    // An emulator takes its time: a part of it, unless all is asked for.
    let promised = if full() || !cfg!(target_arch = "aarch64") { 20_000 } else { 4_000 };
    let backends = backends();
    let mut cases = 0;
    for index in 0.. {
        if cases == promised {
            break;
        }
        let Some(case) = Case::new(index) else { continue };
        backends.iter().for_each(|&backend| case.check(backend, index));
        cases += 1;
    }
    for backend in backends {
        report(
            "integers",
            format!("{backend:?}"),
            cases,
            "layers, forward, gradients and merge equal to the integers",
            promised,
        );
    }
}
