//! The products beside their definition, on every backend: matrices with and without gaps, of sizes on both sides of those at
//! which another order of the loops, another tile or another block begins. What lies between the rows of the output and behind
//! them has to stay as it was.

use std::vec;
use std::vec::Vec;

use super::blocked::{Product, pieces_product};
use super::operand::{Factor, Operand};
use super::pack::Pack;
use super::philox::Stream;
use super::product::{product, thin_product};
use super::raw::Start;
use super::raw::row::RowProduct;
use super::swapped::Swapped;
use super::thin::thin;
use crate::simd::{Arithmetic, Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, span};

/// Draws numbers, sizes and matrices: the same ones everywhere.
struct Draw(u64);

impl Draw {
    fn word(&mut self) -> u32 {
        let mut drawn = 0;
        Stream { seed: 5, step: 0, stream: 0 }.words(self.0, 1, |_, word| drawn = word);
        self.0 += 1;
        drawn
    }

    fn below(&mut self, limit: usize) -> usize {
        self.word() as usize % limit
    }

    fn of(&mut self, sizes: &[usize]) -> usize {
        sizes[self.below(sizes.len())]
    }

    /// Within ±1, with all bits of a mantissa: every order of a sum gives another one.
    fn number(&mut self) -> f32 {
        self.word() as i32 as f32 * (1.0 / 2_147_483_648.0)
    }

    fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.number()).collect()
    }

    /// In memory that ends where the matrix ends.
    fn matrix(&mut self, rows: usize, cols: usize) -> Matrix {
        let stride = cols + self.of(&[0, 0, 1, 5]);
        Matrix { data: self.numbers(span(rows, cols, stride).unwrap()), rows, cols, stride }
    }

    /// A matrix that is, or whose transpose is, the operand `[rows, cols]`.
    fn side(&mut self, rows: usize, cols: usize) -> Side {
        match self.below(2) {
            0 => (self.matrix(rows, cols), false),
            _ => (self.matrix(cols, rows), true),
        }
    }
}

#[derive(Clone)]
struct Matrix {
    data: Vec<f32>,
    rows: usize,
    cols: usize,
    stride: usize,
}

impl Matrix {
    fn view(&self) -> MatRef<'_> {
        MatRef::with_stride(&self.data, self.rows, self.cols, self.stride).unwrap()
    }

    fn view_mut(&mut self) -> MatMut<'_> {
        MatMut::with_stride(&mut self.data, self.rows, self.cols, self.stride).unwrap()
    }

    /// The first rows and columns become what the specification says of the products of these operands, the right one of each
    /// from this depth of the left one on.
    fn define(
        &mut self,
        arithmetic: Arithmetic,
        (rows, cols): (usize, usize),
        start: Start<'_>,
        terms: &[(&Side, usize, &Side)],
    ) {
        for (i, j) in (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))) {
            let to = &mut self.data[i * self.stride + j];
            let mut chain = match start {
                Start::Zero => 0.0,
                Start::Bias(bias) => bias[j],
                Start::Existing => *to,
            };
            for &(left, first, right) in terms {
                let depth = operand(right).rows().min(operand(left).cols() - first);
                chain =
                    (0..depth).fold(chain, |chain, d| arithmetic.step(chain, at(left, i, first + d), at(right, d, j)));
            }
            *to = chain;
        }
    }

    fn bits(&self) -> Vec<u32> {
        self.data.iter().map(|value| value.to_bits()).collect()
    }
}

/// A matrix, and whether its transpose is meant.
type Side = (Matrix, bool);

fn operand((matrix, transposed): &Side) -> Operand<'_> {
    let operand = Operand::new(matrix.view());
    if *transposed { operand.t() } else { operand }
}

fn at((matrix, transposed): &Side, i: usize, j: usize) -> f32 {
    matrix.data[if *transposed { j * matrix.stride + i } else { i * matrix.stride + j }]
}

/// Which product: the blocked one, that for few lanes, or that whose right operand is in so many pieces.
#[derive(Copy, Clone, Debug)]
enum Which {
    Product,
    Thin,
    Pieces(usize),
}

#[derive(Copy, Clone, Debug)]
struct Sizes {
    which: Which,
    rows: usize,
    lanes: usize,
    depth: usize,
    more: Option<usize>,
    start: usize,
}

/// The sizes at which something changes, and those beside them.
fn around(sizes: &[usize]) -> Vec<usize> {
    sizes.iter().flat_map(|&size| [size - 1, size, size + 1]).collect()
}

fn draw_sizes<S: Simd>(draw: &mut Draw) -> Sizes {
    let (lane, tile) = (S::LANES, S::LANES * S::TILE_VECTORS);
    let large = draw.below(6);
    let mut rows = around(&[1, 3, S::TILE_ROWS / 2 + 1, S::TILE_ROWS + 1, lane + 1]);
    let mut lanes = around(&[1, lane / 2 + 1, lane + 1, 2 * lane, tile, tile + lane]);
    let mut depth = around(&[1, 4, 16, 20, 33]);
    match large {
        0 => rows = around(&[2 * lane, 3 * tile, 300]),
        1 => lanes = around(&[3 * tile, 5 * tile, 200, 800]),
        2 => depth = around(&[3072 / tile, 2 * 3072 / tile, 256, 512]),
        _ => {}
    }
    let which = [Which::Product, Which::Product, Which::Thin, Which::Pieces(draw.below(4) + 1)][draw.below(4)];
    if matches!(which, Which::Thin) && large > 2 {
        // So few lanes that rows and lanes are swapped; more rows or depths than there is room for at once.
        (rows, lanes) = (around(&[lane, 2 * lane]), (1..=S::Narrow::LANES.div_ceil(2)).collect());
        match large {
            3 => rows = vec![300, 2101],
            4 => depth = vec![64, 800, 1600],
            _ => depth = vec![16, 17, 20, 64],
        }
    }
    let more = [None, Some(draw.of(&[0, 1, 2, 7, 63, 64, 65, 191, 192, 193]))][draw.below(2)];
    let more = more.filter(|_| !matches!(which, Which::Thin));
    Sizes { which, rows: draw.of(&rows), lanes: draw.of(&lanes), depth: draw.of(&depth), more, start: draw.below(3) }
}

/// A product as it is and as it should be.
struct Products {
    arithmetic: Arithmetic,
    backend: Backend,
    count: u64,
}

impl Kernel for Products {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        for case in 0..self.count {
            let mut draw = Draw(case << 24);
            let sizes = draw_sizes::<S>(&mut draw);
            let Sizes { which, rows, lanes, depth, more, start } = sizes;
            // No more is read of a left operand that is larger.
            let beyond = draw.of(&[0, 0, 3]);
            let left = draw.side(rows + beyond, depth + beyond);
            let cuts = match which {
                Which::Pieces(count) => (0..=count).map(|i| i * depth / count).collect(),
                _ => vec![0, depth],
            };
            let transposed = draw.below(2) == 1;
            let pieces: Vec<_> = cuts
                .windows(2)
                .map(|cut| match transposed || cuts.len() > 2 {
                    true => (cut[0], (draw.matrix(lanes, cut[1] - cut[0]), true)),
                    false => (cut[0], (draw.matrix(cut[1] - cut[0], lanes), false)),
                })
                .collect();
            let more = more.map(|depth| (draw.side(rows + beyond, depth), draw.side(depth, lanes)));
            let (mut out, bias) = (draw.matrix(rows, lanes), draw.numbers(lanes));
            let start = [Start::Zero, Start::Bias(&bias), Start::Existing][start];

            let mut expected = out.clone();
            let first = pieces.iter().map(|(first, right)| (&left, *first, right));
            let terms: Vec<_> = first.chain(more.iter().map(|(left, right)| (left, 0, right))).collect();
            expected.define(self.arithmetic, (rows, lanes), start, &terms);

            let more = more.as_ref().map(|(left, right)| (operand(left), operand(right)));
            let (left, to) = (operand(&left), out.view_mut());
            let right = operand(&pieces[0].1);
            match which {
                Which::Product => simd.call(Product { left, right, more, out: to, start }),
                Which::Thin => thin(simd, left, right, to, start),
                Which::Pieces(_) => {
                    let pieces = pieces.iter().map(|(first, right)| (*first, operand(right)));
                    pieces_product(simd, Swapped { left, pieces, more, out: to, start });
                }
            }
            assert_eq!(out.bits(), expected.bits(), "{:?}, number {case}: {sizes:?}", self.backend);
        }
    }
}

/// The products that the passes call, of matrices that need not agree about a size.
struct Factors {
    arithmetic: Arithmetic,
    backend: Backend,
    count: u64,
}

impl Kernel for Factors {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        for case in 0..self.count {
            let mut draw = Draw((1 << 48) + (case << 24));
            let sizes = draw_sizes::<S>(&mut draw);
            let Sizes { rows, lanes, depth, start, .. } = sizes;
            let mut size = |size: usize| size + draw.of(&[0, 0, 1, 4]);
            let (left, right, out) = ((size(rows), size(depth)), (size(depth), size(lanes)), (size(rows), size(lanes)));
            let transposed = [(false, false), (true, false), (false, true), (true, true)][draw.below(4)];
            let thin = draw.below(2) == 1;
            let agreed = (left.0.min(out.0), right.1.min(out.1));
            let (mut out, bias) = (draw.matrix(out.0, out.1), draw.numbers(out.1));
            let mut matrix = |(rows, cols), turned| match turned {
                true => (draw.matrix(cols, rows), true),
                false => (draw.matrix(rows, cols), false),
            };
            let (left, right) = (matrix(left, transposed.0), matrix(right, transposed.1));
            let start = [Start::Zero, Start::Bias(&bias), Start::Existing][start];

            let mut expected = out.clone();
            expected.define(self.arithmetic, agreed, start, &[(&left, 0, &right)]);

            let (left, right) = (left.0.view(), right.0.view());
            let left = Factor { matrix: &left, transposed: transposed.0 };
            let right = Factor { matrix: &right, transposed: transposed.1 };
            if thin {
                thin_product(simd, left, right, &mut out.view_mut(), start);
            } else {
                product(simd, left, right, &mut out.view_mut(), start);
            }
            assert_eq!(out.bits(), expected.bits(), "{:?}, number {case}: {transposed:?}, {sizes:?}", self.backend);
        }
    }
}

/// One row over packed weights.
struct Rows {
    arithmetic: Arithmetic,
    backend: Backend,
    /// Numbers behind the panels that are not theirs.
    behind: usize,
}

impl Kernel for Rows {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let tile = S::LANES * S::TILE_VECTORS;
        for (case, count) in [0, 1, 2, 3, 4, 7, 8, 15].into_iter().enumerate() {
            for tail in around(&[1, S::LANES + 1, 2 * S::LANES + 1]) {
                let mut draw = Draw((1 << 49) + ((case as u64) << 32) + ((tail as u64) << 20));
                let (lanes, depth) = (count * tile + tail % tile, draw.below(6));
                let width = draw.of(&[tile, tile, tile, tile, S::LANES]);
                let weights = (draw.matrix(lanes, depth), true);
                let mut panels = vec![f32::NAN; lanes * depth + self.behind];
                simd.call(Pack { matrix: weights.0.view(), width, panels: &mut panels[..lanes * depth] });
                let left = (draw.matrix(1, depth), false);
                let (mut out, bias) = (draw.matrix(1, lanes), draw.numbers(lanes));
                let start = match draw.below(3) {
                    0 => Start::Zero,
                    1 => Start::Bias(&bias),
                    _ => Start::Existing,
                };
                // Lanes that no whole vector holds are left to others.
                let full = if tail % S::LANES == 0 { lanes } else { count * tile };
                let refused = S::LANES == 1 || width != tile || depth == 0;
                let expected_len = if refused || count == 0 { 0 } else { full };
                let mut expected = out.clone();
                expected.define(self.arithmetic, (1, expected_len), start, &[(&left, 0, &weights)]);

                let row = &mut out.data[..lanes];
                let product = RowProduct { left: &left.0.data[..depth], panels: &panels, width, out: row, start };
                let case = std::format!("{:?}: {count} panels and {tail} lanes of {depth}", self.backend);
                assert_eq!(product.run(simd), expected_len, "{case}");
                assert_eq!(out.bits(), expected.bits(), "{case}");
                if lanes * depth > 0 {
                    let short = &panels[..lanes * depth - 1];
                    for (panels, start, what) in
                        [(short, Start::Zero, "panels"), (&panels, Start::Bias(&bias[1..]), "a bias")]
                    {
                        let (left, out) = (&left.0.data[..depth], &mut out.data[..lanes]);
                        let written = RowProduct { left, panels, width, out, start }.run(simd);
                        assert_eq!(written, 0, "{case}, {what} too short");
                        assert_eq!(out, &expected.data[..lanes], "{case}, {what} too short");
                    }
                }
            }
        }
    }
}

#[test]
fn products_are_their_definition() {
    for backend in Backend::available() {
        let arithmetic = backend.arithmetic();
        // One number at a time takes another way.
        if backend.name() != "scalar" {
            backend.run(Products { arithmetic, backend, count: 1500 });
        }
    }
}

#[test]
fn products_of_factors_are_their_definition() {
    for backend in Backend::available() {
        backend.run(Factors { arithmetic: backend.arithmetic(), backend, count: 400 });
    }
}

#[test]
fn a_row_over_panels_is_its_definition() {
    for backend in Backend::available() {
        backend.run(Rows { arithmetic: backend.arithmetic(), backend, behind: 0 });
        backend.run(Rows { arithmetic: backend.arithmetic(), backend, behind: 7 });
    }
}
