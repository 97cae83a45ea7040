//! Promise: no undefined behaviour. A small set that reaches every variant of the register tile and every operation on
//! every backend, made for Miri, which is a thousand times slower; it is an ordinary test too.
//!
//! The two arithmetics of an instruction set differ in one step and share every load and store. Under Miri each tile runs
//! in one of them, in turn; everything else runs in both.
//!
//! Miri asks no CPU: a backend runs there only if the build guarantees its instructions.
//!
//! ```text
//! MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-env-forward=LOWRANK_EXPECT" RUSTFLAGS=-Ctarget-feature=+avx2,+fma \
//!     LOWRANK_EXPECT=scalar,avx2 cargo +nightly miri test --test promises miri
//! ```

use crate::support::files::{Lying, halves, two_entries};
use crate::support::placed::{Placed, Placement};
use crate::support::stage::{How, Layout, Stage};
use crate::support::{Data, Layer, Outputs, backends, first_difference, lanes, mat, mat_mut, report};
use lowrank::train::{AdamW, InPlace, Optimizer, Plan, Sgd, Trained, clip};
use lowrank::{Accum, AdapterFile, Backend, Dropout, Dtype, Error, MatRef, Scale, Shape, reference, selftest};

/// Tokens whose tiles have 8, 6 and 1 rows, 4 rows, and 2 rows.
const TOKENS: [usize; 3] = [15, 4, 2];

/// One to three vectors: full ones, and with a tail.
fn widths(backend: Backend) -> Vec<usize> {
    let v = lanes(backend);
    let mut widths = vec![v, 2 * v, 3 * v, v.div_ceil(2), 2 * v - 1, 3 * v - 1];
    widths.sort_unstable();
    widths.dedup();
    widths
}

/// Wide outputs start chains at the bias and continue them; wide inputs start them at zero and continue them.
fn tiles(backend: Backend) -> impl Iterator<Item = (usize, Shape)> {
    widths(backend).into_iter().flat_map(|width| {
        TOKENS
            .into_iter()
            .flat_map(move |tokens| [(tokens, Shape::new(2, width, 1)), (tokens, Shape::new(width, 2, 1))])
    })
}

/// Exchanged rows and lanes, blocks of the depth and of the rank, nothing at all.
fn others(backend: Backend) -> [(usize, Shape); 7] {
    let v = lanes(backend);
    [
        (v + 1, Shape::new(3, v + 2, 2)),
        (v + 1, Shape::new(3, 2, v / 2 + 1)),
        (2, Shape::new(2 * v + 17, v + 1, 1)),
        (1, Shape::new(257, 1, 1)),
        (5, Shape::new(35, 1, 2)),
        (1, Shape::new(1, 2, 33)),
        (0, Shape::new(2, 3, 0)),
    ]
}

/// Every operation.
fn run<'l>(layer: &'l Layer, old: &Outputs, how: How, placement: Placement) -> Stage<'l, Vec<f32>> {
    let mut stage = Stage::new(layer, old, |values, rows, cols| Placed::new(values, rows, cols, placement));
    stage.pack(how);
    stage.merge_finite(how).unwrap();
    stage.train(how).unwrap();
    stage
}

/// The bits of the specification. They are the business of `bits`, so that Miri need not wait for the large ones.
fn check(layer: &Layer, old: Outputs, how: How, stage: &Stage<'_, Vec<f32>>) {
    let Shape { inputs, outputs, .. } = layer.shape;
    let mut expected = old;
    layer.specify(how.backend.arithmetic(), how.accum, &mut expected);
    assert_eq!(stage.outputs().difference(&expected), None, "{how:?}, n {}, {:?}", layer.tokens, layer.shape);

    let mut merged = vec![0.0; outputs * inputs];
    let to = mat_mut(&mut merged, outputs, inputs);
    reference::merge(how.backend.arithmetic(), &layer.base(), &layer.adapter(), to).unwrap();
    assert_eq!(first_difference(&stage.merged(), &merged), None, "{how:?}, {:?}", layer.shape);
    assert!(stage.is_intact());
}

/// Layer number `at` of the set, and how it runs.
fn case(backend: Backend, at: usize, tokens: usize, shape: Shape) -> (Layer, How, Placement) {
    let mut layer = Layer::new(shape, tokens, Data::Finite, at as u64);
    // The wide outputs want a bias to start from.
    layer.bias = (at % 7 != 1).then(|| vec![0.5; shape.outputs]);
    let dropout = Dropout { probability: 0.25, seed: 1, step: 1, layer_number: 0, first_token: 0 };
    layer.dropout = (at % 5 == 4).then_some(dropout);
    let layout = [Layout::Rows, Layout::Packed(backend.panel_width()), Layout::Packed(3)][at % 3];
    let accum = [Accum::Replace, Accum::Add][at / 4 % 2];
    let strided = Placement { gap: 1, guard: 1, offset: 1 };
    let placement = if at.is_multiple_of(4) { strided } else { Placement::DENSE };
    (layer, How { backend, layout, accum, trained_bias: at.is_multiple_of(2) }, placement)
}

#[test]
fn every_tile_and_every_operation_is_defined() {
    for backend in backends() {
        assert_eq!(selftest(backend), Ok(()));
        let turn = backend.arithmetic() as usize;
        let tiles = tiles(backend).enumerate().filter(|(at, _)| !cfg!(miri) || at / 2 % 2 == turn);
        let mut count = 0;
        for (at, (tokens, shape)) in tiles.chain(others(backend).into_iter().enumerate()) {
            let (layer, how, placement) = case(backend, at, tokens, shape);
            let old = layer.old_outputs(Data::Integers, 1);
            let stage = run(&layer, &old, how, placement);
            if !cfg!(miri) || tokens * shape.inputs * shape.outputs < 100 {
                check(&layer, old, how, &stage);
            }
            count += 1;
        }
        report("miri", format!("{backend:?}"), count, "layers without undefined behaviour", 15);
    }
}

/// A layer whose matrices lie in one table: every verb, with the places filled from its own buffer, by the base, and by the call.
fn train_in_table(backend: Backend, layer: &Layer, optimizer: Optimizer, at: usize) {
    let (tokens, shape) = (layer.tokens, layer.shape);
    let plan = Plan::training(shape, tokens, optimizer).with(Trained { a: true, bias: at.is_multiple_of(2) });
    let (mut arena, mut buffer) = (vec![0.25; plan.len()], Vec::new());
    let base = if at.is_multiple_of(2) { layer.base() } else { layer.packed(backend, &mut buffer) };
    let mut trained = plan.layer(base, &mut arena).unwrap();
    trained.adopt(Scale::Direct(0.5)).unwrap();
    trained.set_dropout((at == 2).then_some(Dropout { probability: 0.5, ..Dropout::default() })).unwrap();
    trained.set_accumulation(at % 2 == 1);
    let (x, dy) = (mat(&layer.x, tokens, shape.inputs), mat(&layer.dy, tokens, shape.outputs));
    let (mut y, mut dx) = (vec![0.0; tokens * shape.outputs], vec![0.0; tokens * shape.inputs]);
    let mut merged = vec![0.0; shape.outputs * shape.inputs];
    for step in 0..2 {
        trained.forward(backend, x, mat_mut(&mut y, tokens, shape.outputs)).unwrap();
        let dx = (step == 0).then(|| mat_mut(&mut dx, tokens, shape.inputs));
        if optimizer == Optimizer::InPlace {
            trained.step_in_place(backend, &InPlace::DEFAULT, x, dy, dx).unwrap();
            continue;
        }
        trained.backward(backend, x, dy, dx).unwrap();
        let (mut adapter, mut grads) = trained.parts().unwrap();
        clip::global_norm(backend, &mut [&mut grads], 1.0).unwrap();
        adapter.b.row_mut(0).fill(0.125);
        if optimizer == Optimizer::AdamW {
            trained.step(backend, &AdamW::DEFAULT).unwrap();
        } else {
            trained.step(backend, &Sgd::DEFAULT).unwrap();
        }
    }
    trained.merge(backend, mat_mut(&mut merged, shape.outputs, shape.inputs)).unwrap();
    let sums = trained.moments().map(|moment| (0..moment.rows()).flat_map(|i| moment.row(i)).sum::<f32>());
    assert!(y.iter().chain(&dx).chain(&merged).chain(&sums).all(|number| number.is_finite()));
    assert_eq!(trained.adapter().unwrap().shape(), shape);
}

#[test]
fn layers_are_defined() {
    for backend in backends() {
        let mut count = 0;
        for (at, optimizer) in
            [Optimizer::AdamW, Optimizer::Sgd, Optimizer::Momentum, Optimizer::InPlace].into_iter().enumerate()
        {
            let layer = Layer::new(Shape::new(lanes(backend) + 1, 3, 2), 2, Data::Integers, at as u64);
            train_in_table(backend, &layer, optimizer, at);
            count += 1;
        }
        report("miri", format!("layers {backend:?}"), count, "layers in a table without undefined behaviour", 4);
    }
}

/// The ways out: an error before anything is touched.
#[test]
fn errors_are_defined() {
    for backend in backends() {
        let mut layer = Layer::new(Shape::new(2, 3, 1), 2, Data::Finite, 1);
        layer.a.fill(0.0);
        layer.b.fill(0.0);
        let mut out = layer.old_outputs(Data::Finite, 1);
        assert_eq!(layer.run(backend, &layer.base(), Accum::Replace, &mut out), Err(Error::DeadAdapter));
    }
}

/// Files at every address modulo 16, whole and cut short.
#[test]
fn files_are_defined() {
    let mut count = 0;
    for contents in [two_entries(), halves()] {
        let bytes = contents.file();
        for remainder in [0, 1, 2, 4, 7, 12] {
            let lying = Lying::new(&bytes, remainder);
            let file = AdapterFile::parse(lying.bytes()).unwrap();
            for entry in file.entries() {
                let in_place = [entry.a.as_f32(), entry.b.as_f32()];
                let aligned = remainder % 4 == 0 && entry.a.dtype() == Dtype::F32;
                assert_eq!(in_place.map(|matrix| matrix.is_some()), [aligned; 2]);
                let sum = |matrix: MatRef<'_>| (0..matrix.rows()).flat_map(|i| matrix.row(i)).sum::<f32>();
                std::hint::black_box(in_place.map(|matrix| matrix.map(sum)));
            }
            count += 1;
        }
        for length in [0, 63, 64, 200, bytes.len() - 1] {
            assert!(AdapterFile::parse(Lying::new(&bytes[..length], 3).bytes()).is_err());
        }
    }
    report("miri", "files", count, "files without undefined behaviour", 12);
}
