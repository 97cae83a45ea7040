//! The backward pass that changes the parameters while it forms their gradients: what
//! [`InPlace`](crate::train::InPlace) is made of.

use super::adapter::{Adapter, AdapterMut};
use super::equations::{DA, DB, G};
use super::saved::{Batch, Progress, Saved};
use super::shape::Shape;
use crate::kernel::equation::{Equation, Row};
use crate::kernel::product::scale_rows;
use crate::kernel::raw::Start;
use crate::kernel::vector::{AddSquares, PARTS, SquareSum};
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, part};

/// `gs = s·(dY·B)`, as the backward pass does, whatever `gs` was before.
pub(crate) fn inner_grad(backend: Backend, adapter: &Adapter<'_>, dy: &MatRef<'_>, saved: &mut Saved<'_>) {
    // `gs` will be that of this `dY`, not of an earlier `input_grads`.
    saved.batch = saved.batch.map(|batch| Batch { progress: Progress::Forward, ..batch });
    let sides = (dy, &adapter.b);
    let (out, rows, start, scale) = (&mut saved.gs, dy.rows(), Start::Zero, adapter.scale);
    backend.run(Row { equation: &G, sides, out, rows, start, scale });
}

/// `‖dA‖² + ‖dB‖²`, the bits that [`clip::square_sum`](crate::train::clip::square_sum) gives for stored gradients: both are
/// formed piece by piece on the stack.
pub(crate) fn square_sum(
    backend: Backend,
    shape: Shape,
    saved: &Saved<'_>,
    (x, dy): (&Option<MatRef<'_>>, &MatRef<'_>),
) -> f32 {
    let (hs, gs, tokens) = (saved.hs.as_ref(), saved.gs.as_ref(), dy.rows());
    let row = |equation: &'static Equation, left: &MatRef<'_>, right: &MatRef<'_>, out: &mut MatMut<'_>| {
        backend.run(Row { equation, sides: (left, right), out, rows: 1, start: Start::Zero, scale: 1.0 });
    };
    let of_a = x.map_or(0.0, |x| {
        sum_pieces(backend, shape.rank, shape.inputs, |k, i, mut out| {
            let gs = gs.block(0, tokens, k, 1);
            match &saved.dropping {
                Some(dropping) => dropping.gradient_a(backend, [&gs, &x], (&mut out, i), Start::Zero),
                None => row(&DA, &gs, &x.from(0, i), &mut out),
            }
        })
    });
    let of_b = sum_pieces(backend, shape.outputs, shape.rank, |o, k, mut out| {
        row(&DB, &dy.block(0, tokens, o, 1), &hs.from(0, k), &mut out);
    });
    // The sum over a missing bias, as in `clip::square_sum`.
    of_a + of_b + 0.0
}

/// The sum of squares of a matrix `[rows, cols]` that `piece(row, col, out)` gives in pieces of a row.
fn sum_pieces(backend: Backend, rows: usize, cols: usize, piece: impl for<'o> Fn(usize, usize, MatMut<'o>)) -> f32 {
    let mut sum = SquareSum::default();
    for row in 0..rows {
        for col in (0..cols).step_by(PARTS) {
            let mut memory = [[0.0; PARTS]; 1];
            let width = PARTS.min(cols - col);
            piece(row, col, MatMut::from_rows(&mut memory).within(1, width));
            backend.run(AddSquares { piece: part(memory.as_flattened(), ..width), sum: &mut sum });
        }
        sum.end_row();
    }
    sum.total()
}

/// `B` continued by `dYᵀ·rn(-η_B·hs)`, `A` by `rn(-η·gs)ᵀ·X̃`, with the two rates `-η` and `-η_B`.
pub(crate) fn descend(
    backend: Backend,
    saved: &mut Saved<'_>,
    (x, dy): (&Option<MatRef<'_>>, &MatRef<'_>),
    rates: (f32, f32),
    adapter: &mut AdapterMut<'_>,
) {
    let AdapterMut { a, b, .. } = adapter;
    backend.run(Descend { saved: &mut *saved, dy, x: x.as_ref(), rates, a: &mut *a, b });
    if let (Some(dropping), Some(x)) = (&saved.dropping, x) {
        dropping.gradient_a(backend, [&saved.gs.as_ref(), x], (a, 0), Start::Existing);
    }
}

struct Descend<'a, 's, 'p> {
    saved: &'a mut Saved<'s>,
    dy: &'a MatRef<'a>,
    x: Option<&'a MatRef<'a>>,
    rates: (f32, f32),
    a: &'a mut MatMut<'p>,
    b: &'a mut MatMut<'p>,
}

impl Kernel for Descend<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { saved, dy, x, rates, a, b } = self;
        scale_rows(simd, &mut saved.hs, dy.rows(), rates.1);
        DB.product(simd, (dy, &saved.hs.as_ref()), b, Start::Existing);
        if let Some(x) = x {
            scale_rows(simd, &mut saved.gs, dy.rows(), rates.0);
            // With dropout this is for its code to do.
            if saved.dropping.is_none() {
                DA.product(simd, (&saved.gs.as_ref(), x), a, Start::Existing);
            }
        }
    }
}
