//! A merge that would not be finite says which element, wherever it is.

use crate::support::placed::{Placed, Placement};
use crate::support::stage::{How, Layout, Stage};
use crate::support::{Data, Layer, backends, first_difference, mat, mat_mut, report};
use lowrank::{Accum, Argument, Error, Shape, merge_finite, reference};

/// Wider than a block that is computed at once, on every target, and with more rows.
const SHAPE: Shape = Shape::new(300, 9, 3);

/// Every element of a row, and every row.
fn places(rows: usize, cols: usize) -> impl Iterator<Item = (usize, usize)> {
    let along_a_row = (0..cols).map(move |col| (rows / 2, col));
    let in_every_row = (0..rows).flat_map(move |row| [0, cols / 2, cols - 1].map(|col| (row, col)));
    along_a_row.chain(in_every_row)
}

/// The index is row-major, and of two bad elements that of the first; nothing is written.
#[test]
fn the_first_bad_element_is_named() {
    let Shape { inputs, outputs, rank } = SHAPE;
    let mut count = 0;
    for backend in backends() {
        let layer = Layer::new(SHAPE, 1, Data::Finite, 5);
        let mut refuse = |layer: &Layer, argument, index| {
            let mut merged = vec![7.0; outputs * inputs];
            let view = mat_mut(&mut merged, outputs, inputs);
            let got = merge_finite(backend, &layer.base(), &layer.adapter(), view);
            assert_eq!(got, Err(Error::NonFinite { argument, index }), "{backend:?}");
            assert!(merged.iter().all(|&value| value == 7.0));
            count += 1;
        };
        for (row, col) in places(outputs, inputs) {
            let mut bad = layer.clone();
            let index = row * inputs + col;
            bad.w[index] = f32::NEG_INFINITY;
            refuse(&bad, Argument::Merged, index);
            *bad.w.last_mut().unwrap() = f32::NAN;
            refuse(&bad, Argument::Merged, index);
        }
        for (row, col) in places(rank, inputs) {
            let mut bad = layer.clone();
            (bad.a[row * inputs + col], bad.b[0], bad.w[0]) = (f32::NAN, f32::NAN, f32::NAN);
            refuse(&bad, Argument::A, row * inputs + col);
        }
        for (row, col) in places(outputs, rank) {
            let mut bad = layer.clone();
            (bad.b[row * rank + col], bad.w[0]) = (f32::INFINITY, f32::NAN);
            refuse(&bad, Argument::B, row * rank + col);
        }
        // Finite operands whose sum is not.
        for (row, col) in places(outputs, inputs) {
            let mut bad = layer.clone();
            bad.b.iter_mut().for_each(|value| *value = 0.0);
            (bad.b[row * rank], bad.a[col], bad.scale) = (3e38, 3e38, 1.0);
            let first = (0..inputs).find(|&i| (bad.a[i] * 3e38).is_infinite()).unwrap();
            refuse(&bad, Argument::Merged, row * inputs + first);
        }
    }
    report("errors", "merge_finite", count, "elements that are not finite, each named", 2000);
}

/// An adapter that is absent is not read, so nothing of it can be wrong; the base still can.
#[test]
fn an_absent_adapter_has_no_bad_element() {
    let Shape { inputs, outputs, .. } = SHAPE;
    for backend in backends() {
        let mut layer = Layer::new(SHAPE, 1, Data::Finite, 6);
        (layer.a[1], layer.b[2], layer.scale) = (f32::NAN, f32::INFINITY, 0.0);
        let mut merged = vec![7.0; outputs * inputs];
        let merge = |layer: &Layer, merged: &mut Vec<f32>| {
            merge_finite(backend, &layer.base(), &layer.adapter(), mat_mut(merged, outputs, inputs))
        };
        assert_eq!(merge(&layer, &mut merged), Ok(()));
        assert_eq!(mat(&merged, outputs, inputs).row(3), mat(&layer.w, outputs, inputs).row(3));
        layer.w[inputs + 200] = f32::NAN;
        let error = Error::NonFinite { argument: Argument::Merged, index: inputs + 200 };
        assert_eq!(merge(&layer, &mut merged), Err(error));
    }
}

/// What lies between the rows of a matrix is none of its elements, and may be NaN: also where a row ends within a block that is
/// computed at once.
#[test]
fn what_lies_between_the_rows_is_not_read() {
    let gaps = Placement { gap: 3, guard: 2, offset: 1 };
    let mut count = 0;
    for (at, inputs) in [1, 15, 16, 17, 31, 33, 127, 128, 129, 200, 256, 257, 300].into_iter().enumerate() {
        let layer = Layer::new(Shape::new(inputs, 5, 2), 0, Data::Finite, at as u64);
        let old = layer.old_outputs(Data::Finite, 1);
        for backend in backends() {
            let mut expected = vec![0.0; 5 * inputs];
            let to = mat_mut(&mut expected, 5, inputs);
            reference::merge(backend.arithmetic(), &layer.base(), &layer.adapter(), to).unwrap();
            for layout in [Layout::Rows, Layout::Packed(backend.panel_width()), Layout::Packed(3)] {
                let mut stage = Stage::new(&layer, &old, |values, rows, cols| Placed::new(values, rows, cols, gaps));
                let how = How { backend, layout, accum: Accum::Replace, trained_bias: false };
                stage.pack(how);
                assert_eq!(stage.merge_finite(how), Ok(()), "{how:?} {inputs}");
                assert_eq!(first_difference(&stage.merged(), &expected), None, "{how:?} {inputs}");
                assert!(stage.is_intact(), "{how:?} {inputs}");
                count += 1;
            }
        }
    }
    report("bounds", "merge_finite", count, "merges of rows with gaps", 39);
}
