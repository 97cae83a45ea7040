//! Products of matrices as they lie in memory, and the other operations on whole matrices: the only door to the kernels from
//! above, and the only place that chooses between size and speed.

use super::blocked::{Product, pieces_product};
use super::operand::{Factor, More, Operand, Piece, plain, transposed};
use super::places::{Chains, Product as TableProduct};
use super::raw::elements::Elements;
use super::raw::row::RowProduct;
pub(crate) use super::raw::scaled::ScaledProduct;
use super::raw::table::Call;
use super::raw::{Compact, Start, compact};
use super::swapped::{Swapped, product_of_blocks};
use super::thin::thin;
use super::vector::{Scale, add_rows, copy_rows, replace_vectors, scale_compact};
use crate::simd::target::BLOCK;
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef};

/// `out[row, lane] = start` continued by `chain_d left[row, d]·right[d, lane]`.
///
/// Where the factors and the output disagree about a size, it is the smallest: so a matrix may have more rows than are in use.
#[inline(always)]
pub(crate) fn product<S: Simd>(simd: S, left: Factor<'_>, right: Factor<'_>, out: &mut MatMut<'_>, start: Start<'_>) {
    product_and_more(simd, left, right, (None, 0), out, start);
}

/// As [`product`], then continued by the same over `more`, whose right factor counts from `lane` on.
#[inline(always)]
pub(crate) fn product_and_more<S: Simd>(
    simd: S,
    left: Factor<'_>,
    right: Factor<'_>,
    (more, lane): (More<Factor<'_>>, usize),
    out: &mut MatMut<'_>,
    start: Start<'_>,
) {
    if S::COMPACT {
        compact(simd, left, right, out, &start);
        if let Some((left, right)) = more {
            debug_assert!(lane == 0, "where size counts, panels are multiplied one by one");
            compact(simd, left, right, out, &Start::Existing);
        }
        return;
    }
    let (left, right, out) = fit(left, right, out);
    let more = more.map(|(left, right)| (Operand::of(left), Operand::of(right).block(0, usize::MAX, lane, out.cols())));
    simd.call(Product { left, right, more, out, start });
}

/// The product of a backend where size counts; `None` where speed does. Code behind a pointer takes it instead of the backend, so that it
/// does not link the products of all backends.
#[inline(always)]
pub(crate) fn compact_product(backend: Backend) -> Option<Compact> {
    struct Choose;
    impl Kernel for Choose {
        type Output = Option<Compact>;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            // Not by a closure, with which the product would be compiled where it is never taken, too.
            if S::COMPACT { Some(Compact::of(simd)) } else { None }
        }
    }
    // Vectors pay no dispatch for the answer.
    if backend.is_compact() { backend.run(Choose) } else { None }
}

/// Products of matrices of a table, each of which continues the one before, up to the first without its matrices; where size counts.
/// Returns whether that is the case.
#[inline(always)]
pub(crate) fn in_table<'p, S: Simd>(
    simd: S,
    call: &mut Call<'_, '_, '_>,
    mut products: impl FnMut() -> Option<(&'p TableProduct, Chains)>,
) -> bool {
    if S::COMPACT {
        while let Some((product, chains)) = products()
            && call.product(simd, product, chains)
        {}
    }
    S::COMPACT
}

/// As [`product`], for few lanes.
#[inline(always)]
pub(crate) fn thin_product<S: Simd>(
    simd: S,
    left: Factor<'_>,
    right: Factor<'_>,
    out: &mut MatMut<'_>,
    start: Start<'_>,
) {
    if S::COMPACT {
        return compact(simd, left, right, out, &start);
    }
    let (left, right, out) = fit(left, right, out);
    thin(simd, left, right, out, start);
}

/// Which product suits an equation.
#[derive(Copy, Clone)]
pub(crate) enum Kind {
    /// [`product`]
    Plain,
    /// [`thin_product`]
    Thin,
    /// [`sum_rows`] of the right factor; the left one is ones.
    Sum,
}

/// The product that suits.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(
    simd: S,
    kind: Kind,
    (left, right): (Factor<'_>, Factor<'_>),
    out: &mut MatMut<'_>,
    start: Start<'_>,
) {
    match kind {
        Kind::Plain => product(simd, left, right, out, start),
        Kind::Thin => thin_product(simd, left, right, out, start),
        Kind::Sum => sum_rows(simd, right.matrix, out, start),
    }
}

/// A product of views. A function of its own for all of them, compiled for the instruction set.
pub(crate) struct Multiply<'a, 'o> {
    pub kind: Kind,
    pub factors: (Factor<'a>, Factor<'a>),
    pub out: &'a mut MatMut<'o>,
    // Behind a reference: the other fields stay in registers where the product wants the address of the start.
    pub start: &'a Start<'static>,
    /// Rows of `out` that are multiplied by a factor, and the factor.
    pub scaled: Option<(usize, f32)>,
}

impl Kernel for Multiply<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { kind, factors, out, start, scaled } = self;
        multiply(simd, kind, factors, out, *start);
        if let Some((rows, factor)) = scaled {
            scale_rows(simd, out, rows, factor);
        }
    }
}

impl ScaledProduct<'_, '_> {
    #[inline(always)]
    pub(crate) fn run(&mut self, backend: Backend) {
        if let Some(compact) = compact_product(backend) {
            return self.compact(compact);
        }
        let ScaledProduct { factor, left, right, depth, ref mut out, start } = *self;
        if let Some(start) = start {
            copy_rows(start, (0, 0), out);
        }
        let mut row = 0;
        while row < out.rows() {
            let mut d = 0;
            while d < depth {
                let mut scaled = [[0.0; BLOCK.1]; BLOCK.0];
                for (more, to) in scaled.iter_mut().enumerate() {
                    let from = left.row(row + more).get(d..).unwrap_or(&[]);
                    to.iter_mut().zip(from).for_each(|(to, &number)| *to = factor * number);
                }
                let (left, right) = (MatRef::from_rows(&scaled), right.from(d, 0));
                let (factors, start) = ((plain(&left), plain(&right)), &Start::Existing);
                let out = &mut out.from(row, 0);
                backend.run(Multiply { kind: Kind::Plain, factors, out, start, scaled: None });
                d += BLOCK.1;
            }
            row += BLOCK.0;
        }
    }
}

/// `out = start` continued by the product of `left` and the transpose of a matrix in pieces, then by the product of `more`. The
/// matrix has `depth` columns, and `piece` gives some of them, from a column on.
#[inline(always)]
pub(crate) fn product_of_transposed<'a, S: Simd>(
    simd: S,
    left: &'a MatRef<'a>,
    (depth, piece): (usize, impl Fn(usize) -> Piece<'a> + Clone),
    more: More<Factor<'a>>,
    out: &mut MatMut<'_>,
    start: Start<'_>,
) {
    debug_assert!(!S::COMPACT, "where size counts, panels are multiplied one by one");
    let whole = piece(0);
    let right = whole.factor().t();
    if !right.transposed && right.rows() >= depth {
        product_and_more(simd, plain(left), right, (more, 0), out, start);
        return;
    }
    let mut next = Some(0);
    let pieces = core::iter::from_fn(move || {
        let first = next?;
        let right = piece(first).operand().t();
        let end = first + right.rows();
        next = (end < depth).then_some(end);
        Some((first, right))
    });
    let left = Operand::of(plain(left));
    let more = more.map(|(left, right)| (Operand::of(left), Operand::of(right)));
    let out = out.within(left.rows(), usize::MAX);
    pieces_product(simd, Swapped { left, pieces, more, out, start });
}

/// `out = start` continued by the product of `left` and the transpose of a matrix `[lanes, depth]` that `block` writes in blocks of
/// rows and columns, from a row and a column on, one after the other.
#[inline(always)]
pub(crate) fn product_of_written<S: Simd>(
    simd: S,
    left: &MatRef<'_>,
    (lanes, depth): (usize, usize),
    block: &mut impl FnMut((usize, usize), (usize, usize), &mut [f32]),
    out: &mut MatMut<'_>,
    start: Start<'_>,
) {
    debug_assert!(!S::COMPACT, "where size counts, panels are multiplied one by one");
    product_of_blocks(simd, Operand::of(plain(left)), depth, block, &mut out.within(left.rows(), lanes), start);
}

/// One row, `left · right`, over panels `[depth, width]` that lie one after the other. Returns the lanes that were written: all of
/// `out`, those of the whole panels, or none.
#[inline(always)]
pub(crate) fn row_product<S: Simd>(
    simd: S,
    left: &[f32],
    (panels, width): (&[f32], usize),
    out: &mut [f32],
    start: Start<'_>,
) -> usize {
    if S::COMPACT { 0 } else { RowProduct { left, panels, width, out, start }.run(simd) }
}

/// `data = factor · data` in the first rows, as many as are in use.
pub(crate) fn scale(backend: Backend, data: &mut MatMut<'_>, rows: usize, factor: f32) {
    if backend.is_compact() {
        return scale_compact(data, rows, factor);
    }
    let cols = data.cols();
    backend.run(Scale { data: data.block(0, rows, 0, cols), factor });
}

/// As [`scale`], in a kernel.
#[inline(always)]
pub(crate) fn scale_rows<S: Simd>(simd: S, data: &mut MatMut<'_>, rows: usize, factor: f32) {
    if S::COMPACT {
        return scale_compact(data, rows, factor);
    }
    let cols = data.cols();
    simd.call(Scale { data: data.block(0, rows, 0, cols), factor });
}

/// `out[0, j] = start` continued by adding `rows[0, j]`, `rows[1, j]`, …
#[inline(always)]
pub(crate) fn sum_rows<S: Simd>(simd: S, rows: &MatRef<'_>, out: &mut MatMut<'_>, start: Start<'_>) {
    if S::COMPACT {
        // Multiplied by one and added, each number is what it was.
        let ones = MatRef::repeat(&1.0, rows.rows());
        return compact(simd, transposed(&ones), plain(rows), out, &start);
    }
    add_rows(simd, rows, out.row_mut(0), start);
}

/// Replaces every parameter and its moments by what `each` makes of parameter, gradient and moments. Of the moments, the first
/// `MOMENTS` are read and written, the others are zero.
#[inline(always)]
pub(crate) fn replace<S: Simd, const MOMENTS: usize>(
    simd: S,
    elements: Elements<'_>,
    each: impl Fn(S::V, S::V, [S::V; 2]) -> (S::V, [S::V; 2]),
) {
    if S::COMPACT {
        elements.replace::<S, MOMENTS>(simd, each)
    } else {
        replace_vectors::<S, MOMENTS>(simd, elements, each)
    }
}

/// Operands and output, of sizes that agree, but for the left operand, of which no more is read.
#[inline(always)]
fn fit<'a, 'b, 'o>(
    left: Factor<'a>,
    right: Factor<'b>,
    out: &'o mut MatMut<'_>,
) -> (Operand<'a>, Operand<'b>, MatMut<'o>) {
    let (left, right) = (Operand::of(left), Operand::of(right));
    let out = out.within(left.rows(), right.cols());
    (left, right.within(left.cols(), out.cols()), out)
}
