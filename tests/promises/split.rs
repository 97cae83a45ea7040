//! Promise: no bit depends on how the work is cut or where it lies: micro-batches, ranges of outputs or inputs, offsets,
//! strides, rows or panels. Random cases, each on every backend.

use std::ops::Range;

use crate::support::placed::{Placed, Placement};
use crate::support::random::{accums, for_all};
use crate::support::stage::{How, Layout, Stage};
use crate::support::{Data, Layer, Outputs, Rng, backends, first_difference, mat, mat_mut, report};
use lowrank::{
    Accum, Adapter, Backend, Backprop, Base, Dropout, Grads, MatMut, MatRef, Saved, Shape, backward, forward, merge,
    pack,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// A layer that is alive in each of its parts.
fn layers(dropout: bool) -> impl Strategy<Value = Layer> {
    let shape = (1..=40usize, 1..=40usize, 0..=18usize, 0..=24usize);
    let kind = prop_oneof![Just(Data::Finite), Just(Data::Hostile)];
    (shape, kind, any::<u64>(), any::<bool>()).prop_map(
        move |((inputs, outputs, rank, tokens), data, seed, dropped)| {
            let mut layer = Layer::new(Shape::new(inputs, outputs, rank), tokens, data, seed);
            layer.scale = 0.7;
            if rank > 0 {
                (layer.a[0], layer.b[0]) = (0.9, -1.1);
            }
            let first_token = seed >> 20;
            layer.dropout = (dropout && dropped).then_some(Dropout {
                probability: 0.3,
                seed,
                step: 9,
                layer_number: 4,
                first_token,
            });
            layer
        },
    )
}

fn equal(what: &str, got: &[f32], expected: &[f32]) -> Result<(), TestCaseError> {
    prop_assert_eq!(first_difference(got, expected), None, "{}", what);
    Ok(())
}

/// Ranges between 0, sorted cuts, and the end; some are empty.
fn ranges(cuts: &[prop::sample::Index], end: usize) -> Vec<Range<usize>> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(end + 1)).collect();
    at.extend([0, end]);
    at.sort_unstable();
    at.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

/// Columns `range` of a matrix with rows of `cols`.
fn columns<'d>(data: &'d [f32], rows: usize, cols: usize, range: &Range<usize>) -> MatRef<'d> {
    MatRef::with_stride(data.get(range.start..).unwrap_or(&[]), rows, range.len(), cols).unwrap()
}

fn columns_mut<'d>(data: &'d mut [f32], rows: usize, cols: usize, range: &Range<usize>) -> MatMut<'d> {
    MatMut::with_stride(data.get_mut(range.start..).unwrap_or(&mut []), rows, range.len(), cols).unwrap()
}

fn whole(layer: &Layer, backend: Backend, accum: Accum, old: &Outputs) -> Outputs {
    let mut out = old.clone();
    layer.run(backend, &layer.base(), accum, &mut out).unwrap();
    out
}

#[test]
fn micro_batches_accumulate_to_the_batch() {
    let strategy = (layers(true), accums(), vec(any::<prop::sample::Index>(), 1..5));
    for_all("batch splits", strategy, |backend, (layer, accum, cuts)| {
        let old = layer.old_outputs(Data::Finite, 1);
        let expected = whole(layer, backend, *accum, &old);
        let Shape { inputs, outputs, rank } = layer.shape;
        let Outputs { mut da, mut db, mut dbias, .. } = old.clone();
        for (at, tokens) in ranges(cuts, layer.tokens).into_iter().enumerate() {
            let mut part = layer.clone();
            part.tokens = tokens.len();
            part.x = layer.x[tokens.start * inputs..tokens.end * inputs].to_vec();
            part.dy = layer.dy[tokens.start * outputs..tokens.end * outputs].to_vec();
            if let Some(dropout) = &mut part.dropout {
                dropout.first_token += tokens.start as u64;
            }
            let mut out = Outputs { da, db, dbias, ..part.old_outputs(Data::Finite, 2) };
            let accum = if at == 0 { *accum } else { Accum::Add };
            part.run(backend, &part.base(), accum, &mut out).unwrap();
            equal("Y", &out.y, &expected.y[tokens.start * outputs..tokens.end * outputs])?;
            equal("hs", &out.hs, &expected.hs[tokens.start * rank..tokens.end * rank])?;
            equal("dX", &out.dx, &expected.dx[tokens.start * inputs..tokens.end * inputs])?;
            (da, db, dbias) = (out.da, out.db, out.dbias);
        }
        equal("dA", &da, &expected.da)?;
        equal("dB", &db, &expected.db)?;
        equal("db", &dbias, &expected.dbias)
    });
}

/// The part of `Y`, of `dB`, of `db` and of the merged weights that belongs to a range of outputs, written in place.
fn run_outputs(layer: &Layer, backend: Backend, accum: Accum, o: &Range<usize>, out: &mut Outputs, merged: &mut [f32]) {
    let Shape { inputs, outputs, rank } = layer.shape;
    let (n, width) = (layer.tokens, o.len());
    let w = mat(&layer.w[o.start * inputs..o.end * inputs], width, inputs);
    let base = Base { weights: w.into(), bias: layer.bias.as_ref().map(|bias| MatRef::from_row(&bias[o.clone()])) };
    let b = mat(&layer.b[o.start * rank..o.end * rank], width, rank);
    let adapter = Adapter { b, ..layer.adapter() };
    let shape = Shape::new(inputs, width, rank);
    let x = mat(&layer.x, n, inputs);

    let mut memory = vec![f32::NAN; Saved::training_len(shape, n).unwrap()];
    let mut saved = Saved::training(&mut memory, shape, n).unwrap();
    saved.set_dropout(layer.dropout).unwrap();
    forward(backend, &base, &adapter, x, columns_mut(&mut out.y, n, outputs, o), &mut saved).unwrap();
    let flow = Backprop { x: None, dy: columns(&layer.dy, n, outputs, o), dx: None };
    let mut grads = Grads {
        a: None,
        b: mat_mut(&mut out.db[o.start * rank..o.end * rank], width, rank),
        bias: Some(mat_mut(&mut out.dbias[o.clone()], 1, width)),
        accum,
    };
    backward(backend, &base, &adapter, flow, &mut saved, &mut grads).unwrap();
    merge(backend, &base, &adapter, mat_mut(&mut merged[o.start * inputs..o.end * inputs], width, inputs)).unwrap();
}

fn merged(layer: &Layer, backend: Backend) -> Vec<f32> {
    let Shape { inputs, outputs, .. } = layer.shape;
    let mut merged = vec![f32::NAN; outputs * inputs];
    merge(backend, &layer.base(), &layer.adapter(), mat_mut(&mut merged, outputs, inputs)).unwrap();
    merged
}

#[test]
fn outputs_can_be_split_anywhere() {
    let strategy = (layers(true), accums(), vec(any::<prop::sample::Index>(), 1..4));
    for_all("output splits", strategy, |backend, (layer, accum, cuts)| {
        let old = layer.old_outputs(Data::Finite, 1);
        let expected = whole(layer, backend, *accum, &old);
        let mut out = Outputs { hs: expected.hs.clone(), da: expected.da.clone(), dx: expected.dx.clone(), ..old };
        let mut parts = vec![f32::NAN; layer.w.len()];
        for range in ranges(cuts, layer.shape.outputs) {
            run_outputs(layer, backend, *accum, &range, &mut out, &mut parts);
        }
        prop_assert_eq!(out.difference(&expected), None);
        equal("merge", &parts, &merged(layer, backend))
    });
}

/// The columns of `dA`, of `dX` and of the merged weights that belong to a range of inputs, written in place.
fn run_inputs(layer: &Layer, backend: Backend, accum: Accum, i: &Range<usize>, out: &mut Outputs, merged: &mut [f32]) {
    let Shape { inputs, outputs, rank } = layer.shape;
    let (n, width) = (layer.tokens, i.len());
    let base = Base { weights: columns(&layer.w, outputs, inputs, i).into(), bias: None };
    let adapter = Adapter { a: columns(&layer.a, rank, inputs, i), ..layer.adapter() };
    let x = columns(&layer.x, n, inputs, i);
    let shape = Shape::new(width, outputs, rank);

    let mut memory = vec![f32::NAN; Saved::training_len(shape, n).unwrap()];
    let mut saved = Saved::training(&mut memory, shape, n).unwrap();
    let mut partial = vec![0.0; n * outputs];
    forward(backend, &base, &adapter, x, mat_mut(&mut partial, n, outputs), &mut saved).unwrap();
    let dx = Some(columns_mut(&mut out.dx, n, inputs, i));
    let flow = Backprop { x: Some(x), dy: mat(&layer.dy, n, outputs), dx };
    // dB needs hs, which goes over all inputs.
    let mut unused = vec![0.0; outputs * rank];
    let b = mat_mut(&mut unused, outputs, rank);
    let mut grads = Grads { a: Some(columns_mut(&mut out.da, rank, inputs, i)), b, bias: None, accum };
    backward(backend, &base, &adapter, flow, &mut saved, &mut grads).unwrap();
    merge(backend, &base, &adapter, columns_mut(merged, outputs, inputs, i)).unwrap();
}

#[test]
fn inputs_of_gradients_can_be_split_anywhere() {
    let strategy = (layers(false), accums(), vec(any::<prop::sample::Index>(), 1..4));
    for_all("input splits", strategy, |backend, (layer, accum, cuts)| {
        let old = layer.old_outputs(Data::Finite, 1);
        let expected = whole(layer, backend, *accum, &old);
        let mut out = Outputs { da: old.da, dx: old.dx, ..expected.clone() };
        let mut parts = vec![f32::NAN; layer.w.len()];
        for range in ranges(cuts, layer.shape.inputs) {
            run_inputs(layer, backend, *accum, &range, &mut out, &mut parts);
        }
        prop_assert_eq!(out.difference(&expected), None);
        equal("merge", &parts, &merged(layer, backend))
    });
}

#[test]
fn memory_does_not_matter() {
    let layouts = prop_oneof![Just(Layout::Rows), (1..=50usize).prop_map(Layout::Packed)];
    let strategy = (layers(true), accums(), layouts, any::<u64>());
    for_all("offsets, strides and layouts", strategy, |backend, (layer, accum, layout, seed)| {
        let old = layer.old_outputs(Data::Finite, 1);
        let expected = whole(layer, backend, *accum, &old);
        let rng = &mut Rng(*seed);
        let mut stage = Stage::new(layer, &old, |values, rows, cols| {
            let placement = Placement { gap: rng.below(6), guard: rng.below(4), offset: rng.below(16) };
            Placed::new(values, rows, cols, placement)
        });
        let how = How { backend, layout: *layout, accum: *accum, trained_bias: seed & 1 == 1 };
        stage.pack(how);
        stage.merge(how).unwrap();
        stage.train(how).unwrap();
        prop_assert_eq!(stage.outputs().difference(&expected), None);
        prop_assert!(stage.is_intact());
        equal("merge", &stage.merged(), &merged(layer, backend))
    });
}

/// A matrix that no cache holds is read in another way than its pieces.
#[test]
fn a_large_matrix_is_its_pieces() {
    let (outputs, inputs) = (4120, 2048);
    assert!(outputs * inputs >= 1 << 23);
    let rng = &mut Rng(5);
    let (w, x) = (Data::Finite.fill(rng, outputs * inputs), Data::Finite.fill(rng, inputs));
    let adapter = Adapter { a: mat(&[], 0, inputs), b: mat(&[], outputs, 0), bias: None, scale: 0.0 };
    for backend in backends() {
        let mut panels = vec![0.0; w.len()];
        let base = Base { weights: pack(backend, mat(&w, outputs, inputs), &mut panels).unwrap().into(), bias: None };
        let run = |range: Range<usize>, y: &mut [f32]| {
            let (base, adapter) = (base.outputs(range.clone()).unwrap(), adapter.outputs(range.clone()).unwrap());
            let mut saved = Saved::inference(&mut [], adapter.shape(), 1).unwrap();
            forward(backend, &base, &adapter, mat(&x, 1, inputs), mat_mut(y, 1, range.len()), &mut saved).unwrap();
        };
        let (mut whole, mut pieces) = (vec![f32::NAN; outputs], vec![f32::NAN; outputs]);
        run(0..outputs, &mut whole);
        for (at, piece) in pieces.chunks_mut(480).enumerate() {
            run(480 * at..480 * at + piece.len(), piece);
        }
        assert_eq!(first_difference(&whole, &pieces), None, "{backend:?}");
        report("split", format!("{backend:?}"), whole.len() as u64, "outputs of a large matrix", outputs as u64);
    }
}
