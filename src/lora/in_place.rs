//! The backward pass that changes the parameters while it forms their gradients: what
//! [`InPlace`](crate::train::InPlace) is made of.

use super::adapter::{Adapter, AdapterMut};
use super::equations::{DA, DB, G};
use super::saved::{Batch, Progress, Saved};
use super::shape::Shape;
use crate::kernel::product::scale;
use crate::kernel::raw::Start;
use crate::kernel::vector::{AddSquares, PARTS, SquareSum};
use crate::simd::Backend;
use crate::view::{MatMut, MatRef, part};

/// `gs = s·(dY·B)`, as the backward pass does, whatever `gs` was before.
pub(crate) fn inner_grad(backend: Backend, adapter: &Adapter<'_>, dy: &MatRef<'_>, saved: &mut Saved<'_>) {
    // `gs` will be that of this `dY`, not of an earlier `input_grads`.
    saved.batch = saved.batch.map(|batch| Batch { progress: Progress::Forward, ..batch });
    G.run(backend, (dy, &adapter.b), &mut saved.gs, Start::Zero, Some((dy.rows(), adapter.scale)));
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
    let of_a = x.map_or(0.0, |x| {
        sum_pieces(backend, shape.rank, shape.inputs, |k, i, mut out| {
            let gs = gs.block(0, tokens, k, 1);
            match &saved.dropping {
                Some(dropping) => dropping.gradient_a(backend, [&gs, &x], (&mut out, i), Start::Zero),
                None => DA.run(backend, (&gs, &x.from(0, i)), &mut out, Start::Zero, None),
            }
        })
    });
    let of_b = sum_pieces(backend, shape.outputs, shape.rank, |o, k, mut out| {
        DB.run(backend, (&dy.block(0, tokens, o, 1), &hs.from(0, k)), &mut out, Start::Zero, None);
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
    let (AdapterMut { a, b, .. }, tokens) = (adapter, dy.rows());
    scale(backend, &mut saved.hs, tokens, rates.1);
    DB.run(backend, (dy, &saved.hs.as_ref()), b, Start::Existing, None);
    if let Some(x) = x {
        scale(backend, &mut saved.gs, tokens, rates.0);
        let sides = (&saved.gs.as_ref(), x);
        match &saved.dropping {
            Some(dropping) => dropping.gradient_a(backend, [sides.0, sides.1], (a, 0), Start::Existing),
            None => DA.run(backend, sides, a, Start::Existing, None),
        }
    }
}
