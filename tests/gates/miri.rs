//! Gate 8: no undefined behaviour. A small set that reaches every variant of the register tile and every operation on
//! every backend, made for Miri, which is a thousand times slower; it is an ordinary test too.
//!
//! The two arithmetics of an instruction set differ in one step and share every load and store. Under Miri each tile runs
//! in one of them, in turn; everything else runs in both.
//!
//! Miri asks no CPU: a backend runs there only if the build guarantees its instructions.
//!
//! ```text
//! MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-env-forward=LOWRANK_EXPECT" RUSTFLAGS=-Ctarget-feature=+avx2,+fma \
//!     LOWRANK_EXPECT=scalar,avx2 cargo +nightly miri test --test gates miri
//! ```

use crate::support::files::{Lying, halves, two_layers};
use crate::support::placed::{Placed, Placement};
use crate::support::stage::{How, Layout, Stage};
use crate::support::{Data, Layer, Outputs, backends, first_difference, lanes, mat_mut, report};
use lowrank::{Accum, AdapterFile, Backend, Dropout, Dtype, Error, MatRef, Shape, reference, selftest};

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

/// The bits of the specification. They are the business of gate 1, so that Miri need not wait for the large ones.
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
    let dropout = Dropout { p: 0.25, seed: 1, step: 1, layer: 0, first_token: 0 };
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
        report(8, format!("{backend:?}"), count, "layers without undefined behaviour", 15);
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
    for contents in [two_layers(), halves()] {
        let bytes = contents.file();
        for remainder in [0, 1, 2, 4, 7, 12] {
            let lying = Lying::new(&bytes, remainder);
            let file = AdapterFile::parse(lying.bytes()).unwrap();
            for layer in file.layers() {
                let in_place = [layer.a.as_f32(), layer.b.as_f32()];
                let aligned = remainder % 4 == 0 && layer.a.dtype() == Dtype::F32;
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
    report(8, "files", count, "files without undefined behaviour", 12);
}
