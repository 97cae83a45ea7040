//! Promise: merging never harms the base. There is no unmerging to get wrong: the base still has its bits.

use crate::support::oracle::Exact;
use crate::support::tolerances::{Roundings, gamma};
use crate::support::{Data, Layer, Rng, backends, mat, mat_mut, report};
use lowrank::{Accum, Adapter, Backend, Base, MatRef, Packed, Saved, Shape, forward, merge, merge_finite};

const CYCLES: u64 = 1000;
/// Odd sizes, so that there are partly filled vectors and panels.
const SHAPES: [Shape; 4] = [Shape::new(19, 23, 4), Shape::new(50, 9, 17), Shape::new(3, 49, 1), Shape::new(1, 1, 8)];
const TOKENS: usize = 3;

/// FNV-1a over the bits.
fn fingerprint(data: &[f32]) -> u64 {
    let bytes = data.iter().flat_map(|value| value.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// `Y` of a base alone, by an adapter of rank 0.
fn base_alone(backend: Backend, base: &Base<'_>, x: MatRef<'_>) -> Vec<f32> {
    let (inputs, outputs) = (base.weights.inputs(), base.weights.outputs());
    let none = Adapter { a: mat(&[], 0, inputs), b: mat(&[], outputs, 0), bias: None, scale: 1.0 };
    let mut y = vec![f32::NAN; x.rows() * outputs];
    let mut saved = Saved::inference(&mut [], Shape::new(inputs, outputs, 0), x.rows()).unwrap();
    forward(backend, base, &none, x, mat_mut(&mut y, x.rows(), outputs), &mut saved).unwrap();
    y
}

/// Merges a fresh adapter, and compares the merged layer and the adapted one with the exact result.
fn cycle(backend: Backend, base: &Base<'_>, mut layer: Layer, seed: u64) {
    let Shape { inputs, outputs, .. } = layer.shape;
    let rng = &mut Rng(seed);
    layer.a = Data::Finite.fill(rng, layer.a.len());
    layer.b = Data::Finite.fill(rng, layer.b.len());
    let mut merged = vec![f32::NAN; layer.w.len()];
    let operation = if seed.is_multiple_of(2) { merge } else { merge_finite };
    operation(backend, base, &layer.adapter(), mat_mut(&mut merged, outputs, inputs)).unwrap();

    let mut adapted = layer.old_outputs(Data::Finite, seed);
    layer.run(backend, base, Accum::Replace, &mut adapted).unwrap();
    let merged = Base { weights: mat(&merged, outputs, inputs).into(), bias: base.bias };
    let y = base_alone(backend, &merged, mat(&layer.x, layer.tokens, inputs));
    let (exact, sums) = (Exact::<f64>::new(&layer), Exact::<f64>::absolute(&layer));
    let (exact, sums) = (exact.y(&exact.hs()), sums.y(&sums.hs()));
    let roundings = Roundings::new(layer.shape, layer.tokens, false);
    for (name, ours, roundings) in [("adapted", &adapted.y, roundings.y), ("merged", &y, roundings.merged_y)] {
        for ((ours, exact), sum) in ours.iter().zip(&exact).zip(&sums) {
            let error = (f64::from(*ours) - exact).abs();
            assert!(error <= gamma(roundings) * sum, "{backend:?} {name} Y: {ours}, not {exact}");
        }
    }
}

#[test]
fn a_thousand_merges_leave_the_base_as_it_was() {
    for backend in backends() {
        let mut cycles = 0;
        for (index, shape) in SHAPES.into_iter().enumerate() {
            let layer = Layer::new(shape, TOKENS, Data::Finite, index as u64 + 1);
            let (rows, mut buffer) = (layer.base(), Vec::new());
            layer.packed(backend, &mut buffer);
            let packed = Packed::new(&buffer, shape.outputs, shape.inputs, backend.panel_width()).unwrap();
            let packed = Base { weights: packed.into(), bias: rows.bias };
            let x = mat(&layer.x, TOKENS, shape.inputs);
            let state = || (fingerprint(&layer.w), fingerprint(&buffer), fingerprint(&base_alone(backend, &packed, x)));
            let before = state();
            for seed in 0..CYCLES / SHAPES.len() as u64 {
                cycle(backend, if seed % 4 < 2 { &rows } else { &packed }, layer.clone(), seed);
                cycles += 1;
            }
            assert_eq!(state(), before, "{backend:?} {shape:?}: W rows, W packed, Y of the base alone");
        }
        report("frozen_base", format!("{backend:?}"), cycles, "merges, 0 changed bits of W", CYCLES);
    }
}
