//! `h = X̃·Aᵀ`, `hs = s·h`, `Y = X·Wᵀ + b + hs·Bᵀ`.

use super::{Adapter, Batch, Dropout, Progress, Saved};
use crate::error::{Argument, Error};
use crate::kernel::gemm::Product;
use crate::kernel::pack::Operand;
use crate::kernel::thin::ThinProduct;
use crate::kernel::tile::Start;
use crate::kernel::tile::row::RowProduct;
use crate::kernel::vector::Scale;
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, expect_shape};
use crate::weight::{Base, Weights};

/// Tokens and inputs of a block of `X̃` on the stack: half a kibibyte where there are vectors, 64 bytes elsewhere.
pub(super) const BLOCK: (usize, usize) =
    if cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "wasm32")) { (4, 32) } else { (2, 8) };
pub(super) const BLOCK_LEN: usize = BLOCK.0 * BLOCK.1;

/// Forward pass: `Y[t,o] = chain_i W[o,i]·X[t,i]` from the bias, continued by `chain_k B[o,k]·hs[t,k]`, where
/// `hs = rn(s·h)` and `h[t,k] = chain_i A[k,i]·X̃[t,i]`.
///
/// - `x [n, in]`, `y [n, out]`, row-major, one token a row. `n` may be any number up to that of `saved`.
/// - `saved` receives `hs`, which the backward pass needs.
///
/// A token's result does not depend on the tokens beside it.
///
/// # Errors
/// When a shape does not fit: [`Error::Rows`], [`Error::Cols`], [`Error::Length`]; [`Error::TooMany`] for more tokens than
/// `saved` was made for; [`Error::Range`] for a scale that is not finite. Nothing is written then.
///
/// ```
/// use lowrank::{Adapter, Backend, Base, MatMut, MatRef, Saved, Shape, forward};
///
/// let base = Base { weights: MatRef::new(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 3, 2)?.into(), bias: None };
/// let adapter = Adapter {
///     a: MatRef::new(&[1.0, 1.0], 1, 2)?,
///     b: MatRef::new(&[0.0, 0.0, 1.0], 3, 1)?,
///     bias: None,
///     scale: 2.0,
/// };
/// let (mut y, mut memory) = ([0.0; 3], [0.0; 1]);
/// let mut saved = Saved::inference(&mut memory, Shape::new(2, 3, 1), 1)?;
/// let x = MatRef::new(&[3.0, 4.0], 1, 2)?;
/// forward(Backend::BASELINE, &base, &adapter, x, MatMut::new(&mut y, 1, 3)?, &mut saved)?;
/// assert_eq!(y, [3.0, 4.0, 7.0 + 2.0 * 7.0]);
/// # Ok::<(), lowrank::Error>(())
/// ```
pub fn forward(
    backend: Backend,
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    x: MatRef<'_>,
    y: MatMut<'_>,
    saved: &mut Saved<'_>,
) -> Result<(), Error> {
    adapter.check(base)?;
    let (tokens, shape) = (x.rows(), adapter.shape());
    expect_shape(Argument::X, (tokens, x.cols()), (tokens, shape.inputs))?;
    expect_shape(Argument::Y, (y.rows(), y.cols()), (tokens, shape.outputs))?;
    saved.check(shape, tokens)?;
    saved.batch = Some(Batch { tokens, progress: Progress::Forward });
    let dropout = saved.dropout();
    let hs = saved.hs.block(0, tokens, 0, shape.rank);
    backend.run(Forward { base, adapter, x, y, hs, dropout });
    Ok(())
}

struct Forward<'a> {
    base: &'a Base<'a>,
    adapter: &'a Adapter<'a>,
    x: MatRef<'a>,
    y: MatMut<'a>,
    hs: MatMut<'a>,
    dropout: Option<Dropout>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let bias = self.adapter.bias.map(|bias| bias.row(0)).or(self.base.bias);
        let start = bias.map_or(Start::Zero, Start::Bias);
        let present = !self.adapter.is_absent();
        if present {
            inner_activations(simd, self.adapter.a, self.x, self.dropout, &mut self.hs);
            simd.call(Scale { data: self.hs.reborrow(), factor: self.adapter.scale });
        }
        let more = present.then(|| (Operand::plain(self.hs.as_ref()), Operand::transposed(self.adapter.b)));
        base_product(simd, self.base.weights, self.x, more, &mut self.y, start);
    }
}

/// `Y = start ⊕ X·Wᵀ ⊕ more`
#[inline(always)]
fn base_product<S: Simd>(
    simd: S,
    w: Weights<'_>,
    x: MatRef<'_>,
    more: Option<(Operand<'_>, Operand<'_>)>,
    y: &mut MatMut<'_>,
    start: Start<'_>,
) {
    let (left, rows) = (Operand::plain(x), x.rows());
    match w {
        Weights::Rows(w) => {
            simd.call(Product { left, right: Operand::transposed(w), more, out: y.reborrow(), start });
        }
        Weights::Packed(w) if w.inputs() == 0 => {
            // No panel: what is left are the start and the adapter.
            if let Ok(nothing) = MatRef::new(&[], 0, w.outputs()) {
                simd.call(Product { left, right: Operand::plain(nothing), more, out: y.reborrow(), start });
            }
        }
        Weights::Packed(w) => {
            let (uncut, panels) = w.uncut();
            let done = match rows {
                1 => simd.call(RowProduct {
                    left: x.row(0),
                    panels,
                    width: w.width(),
                    out: y.row_mut(0).get_mut(uncut.clone()).unwrap_or(&mut []),
                    start: start.lanes_from(uncut.start),
                }),
                _ => 0,
            };
            let done = uncut.start..uncut.start + done;
            if let Some((left, right)) = more.filter(|_| !done.is_empty()) {
                let right = right.block(0, right.rows(), done.start, done.len());
                let out = y.block(0, 1, done.start, done.len());
                simd.call(Product { left, right, more: None, out, start: Start::Existing });
            }
            for rest in [0..done.start, done.end..w.outputs()] {
                for (first, panel) in w.range(&rest).panels() {
                    let (first, lanes) = (rest.start + first, panel.cols());
                    let more = more.map(|(left, right)| (left, right.block(0, right.rows(), first, lanes)));
                    let out = y.block(0, rows, first, lanes);
                    let start = start.lanes_from(first);
                    simd.call(Product { left, right: Operand::plain(panel), more, out, start });
                }
            }
        }
    }
}

/// `h = X̃·Aᵀ`
#[inline(always)]
fn inner_activations<S: Simd>(simd: S, a: MatRef<'_>, x: MatRef<'_>, dropout: Option<Dropout>, h: &mut MatMut<'_>) {
    let Some(dropout) = dropout else {
        let (left, right) = (Operand::plain(x), Operand::transposed(a));
        return simd.call(ThinProduct { left, right, out: h.reborrow(), start: Start::Zero });
    };
    let (tokens, inputs, rank) = (x.rows(), x.cols(), a.rows());
    for token in (0..tokens).step_by(BLOCK.0) {
        let rows = BLOCK.0.min(tokens - token);
        let mut start = Start::Zero;
        let mut i = 0;
        loop {
            let cols = BLOCK.1.min(inputs - i);
            let mut memory = [0.0; BLOCK_LEN];
            let Ok(mut block) = MatMut::with_stride(&mut memory, rows, cols, BLOCK.1) else { return };
            dropout.apply(x, token, i, &mut block);
            simd.call(ThinProduct {
                left: Operand::plain(block.as_ref()),
                right: Operand::transposed(a.block(0, rank, i, cols)),
                out: h.block(token, rows, 0, rank),
                start,
            });
            start = Start::Existing;
            i += cols;
            if i >= inputs {
                break;
            }
        }
    }
}
