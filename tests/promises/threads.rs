//! Gate 2, continued: the pieces that a caller can give to threads have the bits of the whole, cut anywhere and run in any
//! order: tokens, outputs, parameters, and the step of an optimizer. Every cut of small layers, random cuts of larger ones.

use std::ops::{Range, RangeInclusive};

use crate::support::random::{accums, for_all};
use crate::support::stage::{Layout, pack_by_hand};
use crate::support::{Data, Layer, Outputs, Rng, backends, first_difference, mat, mat_mut, report};
use lowrank::train::{AdamW, Clock, Optimizer, Plan, Sgd, State, Trained};
use lowrank::{
    Accum, Adapter, AdapterMut, Backend, Base, Cut, Dropout, Error, Grads, GradsPart, MatMut, MatRef, Packed, Saved,
    Shape, forward, input_grads, merge, parameter_grads,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Cuts one after the other: pieces as long as they say, and the rest.
fn pieces<T, A: Copy>(whole: T, lengths: &[A], split: impl Fn(T, A) -> (T, T)) -> Vec<T> {
    let mut all = vec![whole];
    for &length in lengths {
        let (piece, rest) = split(all.pop().unwrap(), length);
        all.extend([piece, rest]);
    }
    all
}

/// A layer with its weights in some layout, and a bias from either place.
struct Placed<'l> {
    layer: &'l Layer,
    layout: Layout,
    packed: Vec<f32>,
    trained_bias: bool,
    decoy: Vec<f32>,
}

impl<'l> Placed<'l> {
    fn new(layer: &'l Layer, layout: Layout, trained_bias: bool) -> Self {
        let Shape { inputs, outputs, .. } = layer.shape;
        let packed = match layout {
            Layout::Rows => vec![],
            Layout::Packed(width) => pack_by_hand(&layer.w, outputs, inputs, width),
        };
        Self { layer, layout, packed, trained_bias, decoy: vec![f32::NAN; outputs] }
    }

    fn base(&self) -> Base<'_> {
        let Shape { inputs, outputs, .. } = self.layer.shape;
        let weights = match self.layout {
            Layout::Rows => mat(&self.layer.w, outputs, inputs).into(),
            Layout::Packed(width) => Packed::new(&self.packed, outputs, inputs, width).unwrap().into(),
        };
        let bias = self.layer.bias.as_ref().map(|bias| if self.trained_bias { &self.decoy } else { bias });
        Base { weights, bias: bias.map(|bias| MatRef::from_row(bias)) }
    }

    fn adapter(&self) -> Adapter<'_> {
        let bias = self.layer.bias.as_ref().filter(|_| self.trained_bias);
        Adapter { bias: bias.map(|bias| mat(bias, 1, bias.len())), ..self.layer.adapter() }
    }
}

/// Panels of any width, and often as wide as a tile of one backend or another.
fn layouts() -> impl Strategy<Value = Layout> {
    let tiles = prop_oneof![Just(8), Just(12), Just(16), Just(48)];
    prop_oneof![Just(Layout::Rows), (1..=50usize).prop_map(Layout::Packed), tiles.prop_map(Layout::Packed)]
}

/// Where the adapter is not absent.
fn copy_hs(layer: &Layer, saved: &Saved<'_>, out: &mut Outputs) {
    if layer.shape.rank > 0 && layer.scale != 0.0 {
        out.hs = (0..layer.tokens).flat_map(|t| saved.hs().row(t).to_vec()).collect();
    }
}

/// Which pieces. Lengths of all but the last one, which has the rest.
#[derive(Clone, Debug)]
struct Pieces {
    forward: Vec<usize>,
    input_grads: Vec<usize>,
    parameters: Vec<Cut>,
}

/// Forward and backward in pieces, the last piece first.
fn run(placed: &Placed<'_>, backend: Backend, accum: Accum, how: &Pieces, out: &mut Outputs) -> Result<(), Error> {
    let (layer, base, adapter) = (placed.layer, placed.base(), placed.adapter());
    let (Shape { inputs, outputs, rank }, n) = (layer.shape, layer.tokens);
    let (x, dy) = (mat(&layer.x, n, inputs), mat(&layer.dy, n, outputs));
    // A few tokens more than there are.
    let mut memory = vec![f32::NAN; Saved::training_len(layer.shape, n + 2).unwrap()];
    let mut saved = Saved::training(&mut memory, layer.shape, n + 2)?;
    saved.set_dropout(layer.dropout)?;

    let (xs, ys) = (pieces(x, &how.forward, MatRef::split_rows), mat_mut(&mut out.y, n, outputs));
    let calls = xs.into_iter().zip(pieces(ys, &how.forward, MatMut::split_rows));
    let mut parts = pieces(saved.whole(), &how.forward, Saved::split_tokens);
    for ((x, y), saved) in calls.zip(&mut parts).rev() {
        forward(backend, &base, &adapter, x, y, saved)?;
    }
    let done: Vec<_> = parts.into_iter().map(Saved::done).collect();
    saved.join_tokens(done)?;
    copy_hs(layer, &saved, out);

    let (dys, dxs) = (pieces(dy, &how.input_grads, MatRef::split_rows), mat_mut(&mut out.dx, n, inputs));
    let calls = dys.into_iter().zip(pieces(dxs, &how.input_grads, MatMut::split_rows));
    let mut parts = pieces(saved.whole(), &how.input_grads, Saved::split_tokens);
    for ((dy, dx), saved) in calls.zip(&mut parts).rev() {
        input_grads(backend, &base, &adapter, dy, Some(dx), saved)?;
    }
    let done: Vec<_> = parts.into_iter().map(Saved::done).collect();
    saved.join_tokens(done)?;

    let mut grads = Grads {
        a: Some(mat_mut(&mut out.da, rank, inputs)),
        b: mat_mut(&mut out.db, outputs, rank),
        bias: Some(mat_mut(&mut out.dbias, 1, outputs)),
        accum,
    };
    for mut part in pieces(grads.whole(), &how.parameters, GradsPart::split).into_iter().rev() {
        parameter_grads(backend, Some(x), dy, &saved, &mut part)?;
    }
    Ok(())
}

fn whole(layer: &Layer, backend: Backend, accum: Accum, old: &Outputs) -> Outputs {
    let mut out = old.clone();
    layer.run(backend, &layer.base(), accum, &mut out).unwrap();
    out
}

/// A layer that is alive, or absent, with dropout if wanted.
fn layer(shape: Shape, tokens: usize, data: Data, seed: u64, dropout: bool) -> Layer {
    let mut layer = Layer::new(shape, tokens, data, seed);
    layer.scale = if seed % 8 == 7 { 0.0 } else { 0.7 };
    layer.a.first_mut().into_iter().for_each(|a| *a = 0.9);
    layer.b.first_mut().into_iter().for_each(|b| *b = -1.1);
    let first_token = seed >> 20;
    layer.dropout = dropout.then_some(Dropout { probability: 0.3, seed, step: 9, layer_number: 4, first_token });
    layer
}

fn layers(tokens: RangeInclusive<usize>, outputs: usize) -> impl Strategy<Value = Layer> {
    let shape = (1..=40usize, 1..=outputs, 0..=18usize, tokens);
    let kind = prop_oneof![Just(Data::Finite), Just(Data::Hostile)];
    (shape, kind, any::<u64>(), any::<bool>()).prop_map(|((inputs, outputs, rank, tokens), data, seed, dropout)| {
        layer(Shape::new(inputs, outputs, rank), tokens, data, seed, dropout)
    })
}

/// Writes the number of every element, counted in the whole matrix.
fn number(mut piece: MatMut<'_>, (row, col): (usize, usize), cols: usize) {
    for i in 0..piece.rows() {
        piece.row_mut(i).iter_mut().enumerate().for_each(|(j, to)| *to = ((row + i) * cols + col + j) as f32);
    }
}

#[test]
fn views_can_be_cut_anywhere() {
    let mut count = 0;
    let sizes = (0..5usize).flat_map(|rows| (0..5usize).flat_map(move |cols| (0..3).map(move |gap| (rows, cols, gap))));
    for ((rows, cols, gap), at) in sizes.flat_map(|size| (0..7).map(move |at| (size, at))) {
        let (stride, case) = (cols + gap, format!("[{rows}, {cols}] with gaps of {gap} at {at}"));
        let mut expected = vec![-1.0; (rows * stride).saturating_sub(gap)];
        number(MatMut::with_stride(&mut expected, rows, cols, stride).unwrap(), (0, 0), cols);
        let mut written = vec![-1.0; expected.len()];
        let (first, rest) = MatMut::with_stride(&mut written, rows, cols, stride).unwrap().split_rows(at);
        assert_eq!((first.rows(), rest.rows()), (at.min(rows), rows.saturating_sub(at)), "{case}");
        number(first, (0, 0), cols);
        number(rest, (at, 0), cols);
        assert_eq!(written, expected, "rows of {case}");

        if let Ok((first, rest)) = MatMut::with_stride(&mut written, rows, cols, stride).unwrap().split_cols(at) {
            assert!(rows <= 1 && first.cols() == at.min(cols) && rest.cols() == cols.saturating_sub(at), "{case}");
            number(first, (0, 0), cols);
            number(rest, (0, at), cols);
            assert_eq!(written, expected, "columns of {case}");
        }

        let whole = MatRef::with_stride(&expected, rows, cols, stride).unwrap();
        let ((above, below), (left, right)) = (whole.split_rows(at), whole.split_cols(at));
        for i in 0..rows {
            let (piece, row) = if i < at { (above, i) } else { (below, i - at) };
            assert_eq!(piece.row(row), whole.row(i), "{case}");
            assert_eq!([left.row(i), right.row(i)].concat(), whole.row(i), "{case}");
        }
        assert_eq!((above.row(at), left.cols() + right.cols()), (&[][..], cols), "{case}");
        count += 1;
    }
    report("split", "views", count, "cuts of rows and columns, all there are", 500);
}

/// Sizes with nothing in one dimension or another, and sizes that fill no vector, or one.
const SMALL: [(usize, Shape); 7] = [
    (5, Shape::new(3, 6, 2)),
    (4, Shape::new(9, 4, 3)),
    (3, Shape::new(2, 17, 1)),
    (1, Shape::new(4, 5, 2)),
    (0, Shape::new(3, 2, 1)),
    (3, Shape::new(3, 3, 0)),
    (2, Shape::new(0, 3, 2)),
];

#[test]
fn every_cut_of_small_layers() {
    for backend in backends() {
        let mut count = 0;
        for (at, (tokens, shape)) in SMALL.into_iter().enumerate() {
            for turn in 0..8 {
                let (dropout, trained_bias, accum) = (turn % 2 == 1, turn / 2 % 2 == 1, [Accum::Replace, Accum::Add]);
                let layer = layer(shape, tokens, Data::Finite, at as u64 + 1, dropout);
                let layout = [Layout::Rows, Layout::Packed(backend.panel_width()), Layout::Packed(4)][turn % 3];
                let placed = Placed::new(&layer, layout, trained_bias);
                let old = layer.old_outputs(Data::Finite, 1);
                let expected = whole(&layer, backend, accum[turn / 4], &old);
                let all_cuts = (0..=tokens + 2).flat_map(|t| {
                    let (ranks, outputs) = (0..=shape.rank + 1, 0..=shape.outputs + 1);
                    ranks.flat_map(move |rank| outputs.clone().map(move |output| (t, Cut { rank, output })))
                });
                for (t, cut) in all_cuts {
                    let forward = vec![tokens.saturating_sub(t)];
                    let how = Pieces { forward, input_grads: vec![t], parameters: vec![cut] };
                    let mut out = old.clone();
                    run(&placed, backend, accum[turn / 4], &how, &mut out).unwrap();
                    assert_eq!(out.difference(&expected), None, "{backend:?}, {shape:?}, {layout:?}, {how:?}");
                    count += 1;
                }
            }
        }
        report("split", format!("{backend:?}"), count, "cuts of tokens and parameters, all there are", 5_000);
    }
}

#[test]
fn tokens_and_parameters_can_be_cut_anywhere() {
    let lengths = || vec(0..20usize, 0..4);
    let cuts = vec((0..10usize, 0..40usize).prop_map(|(rank, output)| Cut { rank, output }), 0..4);
    let how = (lengths(), lengths(), cuts).prop_map(|(forward, input_grads, parameters)| Pieces {
        forward,
        input_grads,
        parameters,
    });
    let strategy = (layers(0..=40, 60), layouts(), accums(), any::<bool>(), how);
    for_all("layers in pieces", strategy, |backend, (layer, layout, accum, trained_bias, how)| {
        let old = layer.old_outputs(Data::Finite, 1);
        let mut out = old.clone();
        run(&Placed::new(layer, *layout, *trained_bias), backend, *accum, how, &mut out).unwrap();
        prop_assert_eq!(out.difference(&whole(layer, backend, *accum, &old)), None);
        Ok(())
    });
}

/// The layer whose outputs are a range of another's, made by hand.
fn outputs_by_hand(layer: &Layer, range: &Range<usize>) -> Layer {
    let Shape { inputs, outputs, rank } = layer.shape;
    let dy = (0..layer.tokens).flat_map(|t| &layer.dy[t * outputs..][range.clone()]);
    Layer {
        shape: Shape::new(inputs, range.len(), rank),
        w: layer.w[range.start * inputs..range.end * inputs].to_vec(),
        b: layer.b[range.start * rank..range.end * rank].to_vec(),
        bias: layer.bias.as_ref().map(|bias| bias[range.clone()].to_vec()),
        dy: dy.copied().collect(),
        ..layer.clone()
    }
}

/// The name of what differs between a range of outputs of a placed layer and the same by hand.
fn outputs_differ(placed: &Placed<'_>, backend: Backend, range: Range<usize>) -> Option<&'static str> {
    let part = outputs_by_hand(placed.layer, &range);
    let (Shape { inputs, outputs, rank }, n) = (part.shape, part.tokens);
    let (base, adapter) = (placed.base().outputs(range.clone()).unwrap(), placed.adapter().outputs(range).unwrap());
    let old = part.old_outputs(Data::Finite, 1);
    let (mut expected, mut out) = (old.clone(), old);
    // Without inputs A is empty; where B has no row either, the adapter is dead, and the forward pass is all there is.
    let alive = part.run(backend, &part.base(), Accum::Add, &mut expected).is_ok();

    let mut memory = vec![f32::NAN; Saved::training_len(part.shape, n).unwrap()];
    let mut saved = Saved::training(&mut memory, part.shape, n).unwrap();
    saved.set_dropout(part.dropout).unwrap();
    let (x, dy) = (mat(&part.x, n, inputs), mat(&part.dy, n, outputs));
    forward(backend, &base, &adapter, x, mat_mut(&mut out.y, n, outputs), &mut saved).unwrap();
    copy_hs(&part, &saved, &mut out);
    if alive {
        let dx = Some(mat_mut(&mut out.dx, n, inputs));
        let mut grads = Grads {
            a: Some(mat_mut(&mut out.da, rank, inputs)),
            b: mat_mut(&mut out.db, outputs, rank),
            bias: Some(mat_mut(&mut out.dbias, 1, outputs)),
            accum: Accum::Add,
        };
        input_grads(backend, &base, &adapter, dy, dx, &mut saved).unwrap();
        parameter_grads(backend, Some(x), dy, &saved, &mut grads.whole()).unwrap();
    }
    let (read, merged) = weights(backend, &base, &adapter);
    let (expected_read, expected_merged) = weights(backend, &part.base(), &part.adapter());
    let differ = read != expected_read || first_difference(&merged, &expected_merged).is_some();
    out.difference(&expected).map(|(name, _)| name).or(differ.then_some("weights"))
}

/// The frozen weights, read one by one, and the merged ones.
fn weights(backend: Backend, base: &Base<'_>, adapter: &Adapter<'_>) -> (Vec<Option<f32>>, Vec<f32>) {
    let (outputs, inputs) = (base.weights.outputs(), base.weights.inputs());
    let mut merged = vec![f32::NAN; outputs * inputs];
    merge(backend, base, adapter, mat_mut(&mut merged, outputs, inputs)).unwrap();
    let at = (0..=outputs).flat_map(|o| (0..=inputs).map(move |i| (o, i)));
    (at.map(|(o, i)| base.weights.get(o, i)).collect(), merged)
}

#[test]
fn every_range_of_outputs_is_a_layer() {
    for backend in backends() {
        let mut count = 0;
        let narrow: &[usize] = &[0, 1, 2, 3, 4, 8, 16, 48];
        for (tokens, shape, widths) in [
            (3, Shape::new(5, 11, 2), narrow),
            (1, Shape::new(3, 18, 1), narrow),
            (2, Shape::new(0, 3, 1), narrow),
            (1, Shape::new(2, 103, 1), &[16, 48]),
        ] {
            for &width in widths {
                let layout = if width == 0 { Layout::Rows } else { Layout::Packed(width) };
                let layer = layer(shape, tokens, Data::Finite, 1 + width as u64, width % 2 == 0);
                let placed = Placed::new(&layer, layout, width % 3 == 0);
                for start in 0..=shape.outputs {
                    for end in start..=shape.outputs {
                        let differ = outputs_differ(&placed, backend, start..end);
                        assert_eq!(differ, None, "{backend:?}, {shape:?}, {layout:?}, {start}..{end}");
                        count += 1;
                    }
                }
            }
        }
        report("split", format!("{backend:?}"), count, "ranges of outputs, all there are", 10_000);
    }
}

#[test]
fn ranges_of_ranges_of_outputs_are_layers() {
    let strategy = (layers(0..=12, 120), layouts(), any::<bool>(), vec(any::<prop::sample::Index>(), 4));
    for_all("ranges of outputs", strategy, |backend, (layer, layout, trained_bias, cuts)| {
        let outputs = layer.shape.outputs;
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(outputs + 1)).collect();
        at.sort_unstable();
        let placed = Placed::new(layer, *layout, *trained_bias);
        prop_assert_eq!(outputs_differ(&placed, backend, at[0]..at[2]), None);
        // A range of a range: rows of W and biases, read one by one.
        let outer = placed.base().outputs(at[0]..at[3]).unwrap();
        let inner = outer.outputs(at[1] - at[0]..at[2] - at[0]).unwrap();
        for o in at[1]..at[2] {
            for i in 0..layer.shape.inputs {
                prop_assert_eq!(inner.weights.get(o - at[1], i), placed.base().weights.get(o, i));
            }
        }
        prop_assert_eq!(inner.weights.get(at[2] - at[1], 0), None);
        prop_assert_eq!(inner.bias.map(|bias| bias.cols()), placed.base().bias.map(|_| at[2] - at[1]));
        Ok(())
    });
}

#[test]
fn one_token_can_be_cut_by_outputs() {
    fn split_cols(y: MatMut<'_>, at: usize) -> (MatMut<'_>, MatMut<'_>) {
        y.split_cols(at).unwrap()
    }
    let strategy = (layers(1..=1, 200), layouts(), any::<bool>(), vec(0..100usize, 1..4));
    for_all("one token's outputs", strategy, |backend, (layer, layout, trained_bias, lengths)| {
        let placed = Placed::new(layer, *layout, *trained_bias);
        let (base, adapter, Shape { inputs, outputs, rank }) = (placed.base(), placed.adapter(), layer.shape);
        let expected = whole(layer, backend, Accum::Replace, &layer.old_outputs(Data::Finite, 1));
        let (mut y, mut start) = (vec![f32::NAN; outputs], 0);
        for y in pieces(mat_mut(&mut y, 1, outputs), lengths, split_cols) {
            let range = start..start + y.cols();
            start = range.end;
            let (base, adapter) = (base.outputs(range.clone()).unwrap(), adapter.outputs(range).unwrap());
            let mut memory = vec![f32::NAN; rank];
            let mut saved = Saved::inference(&mut memory, adapter.shape(), 1).unwrap();
            saved.set_dropout(layer.dropout).unwrap();
            forward(backend, &base, &adapter, mat(&layer.x, 1, inputs), y, &mut saved).unwrap();
        }
        prop_assert_eq!(first_difference(&y, &expected.y), None);
        Ok(())
    });
}

/// Everything that three steps leave in the arena, in pieces or, without cuts, in one.
fn optimized(backend: Backend, plan: Plan, momentum: bool, seed: u64, cuts: &[Cut]) -> (Vec<f32>, Clock) {
    let rng = &mut Rng(seed);
    let mut arena = Data::Finite.fill(rng, plan.len());
    let mut work = plan.split(&mut arena).unwrap();
    for _ in 0..3 {
        let Grads { a, b, bias, .. } = &mut work.grads;
        for matrix in a.iter_mut().chain([b]).chain(bias) {
            (0..matrix.rows()).for_each(|i| matrix.row_mut(i).fill_with(|| Data::Finite.value(rng)));
        }
        let grads = pieces(work.grads.whole(), cuts, GradsPart::split);
        let mut states = pieces(work.state.whole(), cuts, State::split);
        let adapters = pieces(work.adapter.whole(), cuts, AdapterMut::split);
        for ((mut adapter, grads), state) in adapters.into_iter().zip(&grads).zip(&mut states).rev() {
            if momentum {
                let sgd = Sgd { momentum: 0.9, weight_decay: 0.1, b_rate: 4.0, ..Sgd::DEFAULT };
                sgd.step(backend, &mut adapter, grads.grads(), state).unwrap();
            } else {
                let adamw = AdamW { b_rate: 4.0, ..AdamW::DEFAULT };
                adamw.step(backend, &mut adapter, grads.grads(), state).unwrap();
            }
        }
        work.state.clock = states[0].clock;
    }
    let clock = work.state.clock;
    (arena, clock)
}

#[test]
fn steps_can_be_cut_anywhere() {
    let shape = (1..=40usize, 1..=60usize, 0..=18usize).prop_map(|(i, o, rank)| Shape::new(i, o, rank));
    let cuts = vec((0..20usize, 0..60usize).prop_map(|(rank, output)| Cut { rank, output }), 1..4);
    let strategy = (shape, any::<[bool; 3]>(), any::<u64>(), cuts);
    for_all("steps in pieces", strategy, |backend, (shape, [momentum, a, bias], seed, cuts)| {
        let optimizer = if *momentum { Optimizer::Momentum } else { Optimizer::AdamW };
        let plan = Plan::training(*shape, 0, optimizer).with(Trained { a: *a, bias: *bias });
        let (arena, clock) = optimized(backend, plan, *momentum, *seed, cuts);
        let (expected, expected_clock) = optimized(backend, plan, *momentum, *seed, &[]);
        prop_assert_eq!(first_difference(&arena, &expected), None);
        prop_assert_eq!(clock, expected_clock);
        Ok(())
    });
}
