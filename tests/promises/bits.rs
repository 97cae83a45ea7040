//! Promise: every backend gives the bits of the executable specification, in both arithmetics.
//!
//! Each case is a layer of some shape. It runs replacing and accumulating, on dense memory and on strided memory between
//! guard bands, with weights in rows and in panels of its own and of another width.

use crate::support::placed::{Placed, Placement};
use crate::support::stage::{How, Layout, Stage, pack_by_hand};
use crate::support::{Data, Layer, Outputs, Rng, backends, first_difference, full, lanes, mat_mut, report};
use lowrank::{Accum, Arithmetic, Backend, Dropout, Error, Shape, reference, selftest};

/// Compared elements of each operation.
#[derive(Default)]
struct Counts([u64; OPERATIONS.len()]);

const OPERATIONS: [&str; 8] = ["Y", "hs", "dA", "dB", "db", "dX", "merge", "pack"];

/// Elements of each operation that are compared at least, on each backend in each arithmetic.
const PROMISED: u64 = 400_000;

const DATA: [Data; 3] = [Data::Finite, Data::Hostile, Data::NonFinite];
const RANKS: [usize; 22] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 32, 33, 64];

/// Lengths at which a block of some backend ends: panels of 16, 48, 64 and 96, blocks of 32 and 256.
const DEPTHS: [usize; 21] = [15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 96, 97, 255, 256, 257, 384, 511, 513];
/// Lengths at which a tile column of some backend ends, or an exchanged chunk.
const WIDTHS: [usize; 12] = [11, 12, 13, 15, 16, 17, 23, 24, 25, 47, 48, 49];

/// Outputs of one token: panels of 16, 32 and 48 side by side, with and without vectors of a narrower last one.
const ROWS: [usize; 9] = [80, 96, 103, 112, 160, 176, 240, 400, 464];
/// Depths that a copy of four lanes does not hold at once.
const LONG: [usize; 2] = [772, 1540];

impl Counts {
    fn compare(&mut self, operation: usize, got: &[f32], expected: &[f32], case: &dyn Fn() -> String) {
        if let Some(i) = first_difference(got, expected) {
            let (got, expected) = (got[i].to_bits(), expected[i].to_bits());
            panic!("{}[{i}]: {got:08x}, not {expected:08x}: {}", OPERATIONS[operation], case());
        }
        self.0[operation] += got.len() as u64;
    }
}

/// Sides of the cube of shapes, up to twice the lanes and one more: all of them, or those at which something changes.
fn sides(backend: Backend) -> Vec<usize> {
    let v = lanes(backend);
    if full() {
        return (0..=(2 * v + 1).max(17)).collect();
    }
    let mut sides = vec![0, 1, 2, 3, v - 1, v, v + 1, 2 * v - 1, 2 * v, 2 * v + 1];
    if v == 1 {
        sides.extend([4, 5, 7, 8, 9]);
    }
    sides.sort_unstable();
    sides.dedup();
    sides
}

fn layer(shape: Shape, tokens: usize, data: Data, dropped: bool, seed: u64) -> Layer {
    let rng = &mut Rng(seed);
    let mut layer = Layer::new(shape, tokens, data, rng.next());
    layer.scale = [0.7, -1.3, 16.1, 1e-20][rng.below(4)];
    let p = [0.0, 0.1, 0.4, 0.9][rng.below(4)];
    layer.dropout =
        dropped.then_some(Dropout { probability: p, seed, step: 3, layer_number: 1, first_token: rng.next() });
    layer
}

/// Both ways to accumulate × both placements × three layouts, or one of the layouts at random.
fn check(backend: Backend, layer: &Layer, data: Data, all_layouts: bool, counts: &mut Counts) {
    let Shape { inputs, outputs, rank } = layer.shape;
    let arithmetic = backend.arithmetic();
    let seed = (inputs * 31 + outputs * 37 + rank * 41 + layer.tokens) as u64;
    let rng = &mut Rng(seed);
    let strided = Placement { gap: 1 + rng.below(5), guard: 3 + rng.below(5), offset: rng.below(16) };
    let other_width = [1, 2, 3, 5, 8, 12, 16, 48, 100][rng.below(9)];
    let layouts = [Layout::Rows, Layout::Packed(backend.panel_width()), Layout::Packed(other_width)];
    let mut merged = vec![0.0; outputs * inputs];
    reference::merge(arithmetic, &layer.base(), &layer.adapter(), mat_mut(&mut merged, outputs, inputs)).unwrap();

    for accum in [Accum::Replace, Accum::Add] {
        let old = layer.old_outputs(data, seed);
        let mut expected = old.clone();
        layer.specify(arithmetic, accum, &mut expected);
        let status = if layer.is_dead() { Err(Error::DeadAdapter) } else { Ok(()) };
        if layer.is_dead() {
            let (y, hs) = (expected.y, expected.hs);
            expected = Outputs { y, hs, ..old.clone() };
        }
        for placement in [Placement::DENSE, strided] {
            let first = if all_layouts { 0 } else { rng.below(3) };
            for &layout in &layouts[first..if all_layouts { 3 } else { first + 1 }] {
                let how = How { backend, layout, accum, trained_bias: rng.below(3) == 0 };
                let case = || {
                    let (n, scale, dropout) = (layer.tokens, layer.scale, layer.dropout);
                    format!("{how:?}, n {n}, {:?}, scale {scale}, {dropout:?}, {data:?}, {placement:?}", layer.shape)
                };
                let mut stage = Stage::new(layer, &old, |v, rows, cols| Placed::new(v, rows, cols, placement));
                if let (Layout::Packed(width), packed) = (layout, stage.pack(how)) {
                    counts.compare(7, packed, &pack_by_hand(&layer.w, outputs, inputs, width), &case);
                }
                stage.merge(how).unwrap();
                counts.compare(6, &stage.merged(), &merged, &case);
                assert_eq!(stage.train(how), status, "{}", case());
                let got = stage.outputs();
                counts.compare(0, &got.y, &expected.y, &case);
                counts.compare(1, &got.hs, &expected.hs, &case);
                counts.compare(2, &got.da, &expected.da, &case);
                counts.compare(3, &got.db, &expected.db, &case);
                counts.compare(4, &got.dbias, &expected.dbias, &case);
                counts.compare(5, &got.dx, &expected.dx, &case);
                assert!(stage.is_intact(), "written beside a matrix: {}", case());
            }
        }
    }
}

/// Every shape of the cube, with every kind of data.
fn cube(backend: Backend, counts: &mut Counts) {
    let sides = sides(backend);
    let rng = &mut Rng(1);
    for &tokens in &sides {
        for &inputs in &sides {
            for &outputs in &sides {
                for data in DATA {
                    let shape = Shape::new(inputs, outputs, RANKS[rng.below(RANKS.len())]);
                    let layer = layer(shape, tokens, data, rng.below(4) == 0, rng.next());
                    check(backend, &layer, data, !full(), counts);
                }
            }
        }
    }
}

/// Every rank, and lengths where a block ends: as depth, as lanes and as rows of each operation.
fn edges(backend: Backend, counts: &mut Counts) {
    let mut shapes = vec![];
    shapes.extend(RANKS.map(|rank| (18, Shape::new(7, 19, rank))));
    for (at, depth) in DEPTHS.into_iter().enumerate() {
        let rank = [1, 3, 4, 8, 9][at % 5];
        shapes.push((5, Shape::new(depth, 7, rank)));
        shapes.push((5, Shape::new(6, depth, rank)));
        shapes.push((depth, Shape::new(9, 10, rank)));
    }
    for width in WIDTHS {
        shapes.push((width, Shape::new(10, 49, 5)));
        shapes.push((9, Shape::new(49, width, 2)));
        shapes.push((13, Shape::new(width, 33, 3)));
    }
    shapes.extend(ROWS.map(|outputs| (1, Shape::new(5, outputs, 2))));
    shapes.extend(LONG.into_iter().flat_map(|long| [(9, Shape::new(long, 5, 4)), (9, Shape::new(3, long, 4))]));
    for (at, (tokens, shape)) in shapes.into_iter().enumerate() {
        for data in DATA {
            for dropped in [false, true] {
                let all_layouts = full() || !dropped;
                check(backend, &layer(shape, tokens, data, dropped, at as u64), data, all_layouts, counts);
            }
        }
    }
}

fn every_backend_is_the_specification(arithmetic: Arithmetic) {
    for backend in backends().into_iter().filter(|backend| backend.arithmetic() == arithmetic) {
        let mut counts = Counts::default();
        cube(backend, &mut counts);
        edges(backend, &mut counts);
        for (operation, count) in OPERATIONS.into_iter().zip(counts.0) {
            report("bits", format!("{backend:?}"), count, &format!("equal elements of {operation}"), PROMISED);
        }
    }
}

#[test]
fn separate() {
    every_backend_is_the_specification(Arithmetic::Separate);
}

#[test]
fn fused() {
    every_backend_is_the_specification(Arithmetic::Fused);
}

/// With rank 0 or a scale of ±0 neither `A` nor `B` is read: they are NaN, and nothing else becomes NaN.
#[test]
fn absent_adapters() {
    for backend in backends() {
        let mut counts = Counts::default();
        for (at, (rank, scale)) in [(0, 0.5), (0, 0.0), (3, 0.0), (3, -0.0), (17, -0.0)].into_iter().enumerate() {
            for (tokens, inputs, outputs) in [(1, 1, 1), (5, 7, 3), (9, 18, 33), (0, 2, 2), (3, 0, 4), (2, 4, 0)] {
                for dropped in [false, true] {
                    let mut layer = layer(Shape::new(inputs, outputs, rank), tokens, Data::Finite, dropped, at as u64);
                    layer.scale = scale;
                    layer.a.fill(f32::NAN);
                    layer.b.fill(f32::NAN);
                    check(backend, &layer, Data::Finite, true, &mut counts);
                    let mut out = layer.old_outputs(Data::Finite, 0);
                    layer.specify(backend.arithmetic(), Accum::Replace, &mut out);
                    let all = [out.y, out.hs, out.da, out.db, out.dbias, out.dx];
                    assert!(all.iter().flatten().all(|value| value.is_finite()), "{backend:?}: A or B was read");
                }
            }
        }
        report(
            "bits",
            format!("{backend:?}"),
            counts.0.iter().sum(),
            "equal elements beside an absent adapter",
            10_000,
        );
    }
}

#[test]
fn selftests_pass() {
    for backend in backends() {
        assert_eq!(selftest(backend), Ok(()), "{backend:?}");
        report("bits", format!("{backend:?}"), 1, "selftest", 1);
    }
}
