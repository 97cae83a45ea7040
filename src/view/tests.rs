//! Parts of matrices beside the indices of their elements.

use super::*;
use std::vec::Vec;

/// Numbers of rows and columns, and how far apart rows are.
const SHAPES: [(usize, usize, usize); 8] =
    [(0, 0, 0), (0, 3, 3), (3, 0, 0), (1, 4, 4), (3, 1, 1), (3, 2, 2), (3, 2, 5), (2, 3, 7)];

/// Where a part starts, and how long it is asked to be.
fn ranges() -> impl Iterator<Item = (usize, usize)> {
    let sizes = [0, 1, 3, usize::MAX];
    sizes.into_iter().flat_map(move |first| sizes.map(|count| (first, count)))
}

fn check(part: MatRef<'_>, (rows, first, count): (usize, usize, usize), columns: &[f32], stride: usize) {
    assert_eq!((part.rows(), part.cols()), (count.min(rows.saturating_sub(first)), columns.len()));
    for i in 0..part.rows() {
        let row: Vec<f32> = columns.iter().map(|x| x + ((first + i) * stride) as f32).collect();
        assert_eq!(part.row(i), row);
    }
}

/// Whatever part is asked for, it is what there is of it.
#[test]
fn parts_are_what_there_is_of_them() {
    for (rows, cols, stride) in SHAPES {
        let mut data: Vec<f32> = (0..rows * stride).map(|n| n as f32).collect();
        for ((first, count), (col, width)) in ranges().flat_map(|r| ranges().map(move |c| (r, c))) {
            let columns: Vec<f32> = (0..cols).skip(col).take(width).map(|n| n as f32).collect();
            let asked = (rows, first, count);
            let view = MatRef::with_stride(&data, rows, cols, stride).unwrap();
            check(view.block(first, count, col, width), asked, &columns, stride);
            if (count, width) == (usize::MAX, usize::MAX) {
                check(view.from(first, col), asked, &columns, stride);
            }
            let mut view = MatMut::with_stride(&mut data, rows, cols, stride).unwrap();
            check(view.block(first, count, col, width).as_ref(), asked, &columns, stride);
            if (first, col) == (0, 0) {
                check(view.within(count, width).as_ref(), asked, &columns, stride);
            }
            if (count, width) == (usize::MAX, usize::MAX) {
                check(view.from(first, col).as_ref(), asked, &columns, stride);
            }
        }
    }
}

/// The elements, row by row.
fn elements(matrix: MatRef<'_>) -> Vec<f32> {
    (0..matrix.rows()).flat_map(|i| matrix.row(i).to_vec()).collect()
}

/// Rows without gaps become one, others stay as they are: the elements are the same.
#[test]
fn rows_without_gaps_are_one_row() {
    for (rows, cols, stride) in SHAPES {
        let mut data: Vec<f32> = (0..rows * stride).map(|n| n as f32).collect();
        let view = MatRef::with_stride(&data, rows, cols, stride).unwrap();
        let dense = rows <= 1 || cols == 0 || stride == cols;
        let (expected, shape) = (elements(view), if dense { (1, rows * cols) } else { (rows, cols) });
        assert_eq!(view.is_dense(), dense);
        let flat = view.flatten();
        assert_eq!((flat.rows(), flat.cols(), elements(flat)), (shape.0, shape.1, expected.clone()));
        let flat = MatMut::with_stride(&mut data, rows, cols, stride).unwrap().flatten();
        assert_eq!((flat.rows(), flat.cols(), elements(flat.as_ref())), (shape.0, shape.1, expected));
    }
}
