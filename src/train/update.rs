//! One optimizer step over all parameters of a layer. An optimizer is a [`Rule`] for one element; this is the loop.

use super::state::{Moments, State};
use crate::error::{Argument, Error};
use crate::lora::{AdapterMut, Grads};
use crate::scratch::Piece;
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, expect_shape};

/// The sequence of rounded operations that an optimizer applies to every parameter.
pub(super) trait Rule: Copy {
    /// Moments that the rule reads and writes.
    const MOMENTS: usize;

    /// New parameter and moments from parameter, gradient and old moments.
    fn apply<S: Simd>(&self, simd: S, p: S::V, g: S::V, moments: [S::V; 2]) -> (S::V, [S::V; 2]);
}

/// Learning rates: `B` may learn faster than `A` (S. Hayou et al., "LoRA+", 2024).
#[derive(Copy, Clone)]
pub(super) struct Rates<R> {
    pub a: R,
    pub b: R,
}

/// Checks everything, then applies the rule to `A`, `B` and the bias, as far as there are gradients. No element knows of
/// another, so `A` and `B` may be rows of those of a layer.
pub(super) fn step<R: Rule>(
    backend: Backend,
    rates: Rates<R>,
    adapter: &mut AdapterMut<'_>,
    grads: &Grads<'_>,
    state: &mut State<'_>,
) -> Result<(), Error> {
    let (a, b) = ((adapter.a.rows(), adapter.a.cols()), (adapter.b.rows(), adapter.b.cols()));
    if let Some(grad) = &grads.a {
        expect_shape(Argument::DA, (grad.rows(), grad.cols()), a)?;
        state.a.check(R::MOMENTS, a)?;
    }
    expect_shape(Argument::DB, (grads.b.rows(), grads.b.cols()), b)?;
    state.b.check(R::MOMENTS, b)?;
    if let Some(grad) = &grads.bias {
        let Some(bias) = &adapter.bias else { return Err(Error::Missing { argument: Argument::Bias }) };
        let expected: Piece = (1, b.0);
        expect_shape(Argument::Bias, (bias.rows(), bias.cols()), expected)?;
        expect_shape(Argument::DBias, (grad.rows(), grad.cols()), expected)?;
        state.bias.check(R::MOMENTS, expected)?;
    }
    grads.check_finite()?;

    if let Some(grad) = &grads.a {
        update(backend, rates.a, &mut adapter.a, grad.as_ref(), &mut state.a);
    }
    update(backend, rates.b, &mut adapter.b, grads.b.as_ref(), &mut state.b);
    if let (Some(param), Some(grad)) = (&mut adapter.bias, &grads.bias) {
        update(backend, rates.a, param, grad.as_ref(), &mut state.bias);
    }
    Ok(())
}

fn update<R: Rule>(backend: Backend, rule: R, param: &mut MatMut<'_>, grad: MatRef<'_>, moments: &mut Moments<'_>) {
    let Moments { first, second } = moments;
    backend.run(Update { rule, param: param.reborrow(), grad, first: first.reborrow(), second: second.reborrow() });
}

struct Update<'a, R> {
    rule: R,
    param: MatMut<'a>,
    grad: MatRef<'a>,
    first: MatMut<'a>,
    second: MatMut<'a>,
}

impl<R: Rule> Kernel for Update<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rule, mut param, mut grad, mut first, mut second } = self;
        if [param.as_ref(), grad, first.as_ref(), second.as_ref()].iter().all(MatRef::is_dense) {
            (param, grad, first, second) = (param.flatten(), grad.flatten(), first.flatten(), second.flatten());
        }
        for i in 0..param.rows() {
            let (p, g) = (param.row_mut(i), grad.row(i));
            // Moments that the rule does not have are empty: read as zero, not written.
            let m = if R::MOMENTS >= 1 { first.row_mut(i) } else { &mut [] };
            let v = if R::MOMENTS >= 2 { second.row_mut(i) } else { &mut [] };
            row(simd, rule, (p, g), (m, v));
        }
    }
}

/// A row of parameters and gradients with its moments, vector by vector.
#[inline(always)]
fn row<S: Simd, R: Rule>(simd: S, rule: R, (p, g): (&mut [f32], &[f32]), (m, v): (&mut [f32], &mut [f32])) {
    if S::LANES == 1 {
        let put = |to: &mut f32, v| simd.write(core::slice::from_mut(to), v);
        let apply = |p: &mut f32, g: &f32, old: [f32; 2]| {
            let (new, moments) = rule.apply(simd, simd.splat(*p), simd.splat(*g), old.map(|old| simd.splat(old)));
            put(p, new);
            moments
        };
        return match R::MOMENTS {
            0 => p.iter_mut().zip(g).for_each(|(p, g)| {
                apply(p, g, [0.0; 2]);
            }),
            1 => p.iter_mut().zip(g).zip(m).for_each(|((p, g), m)| put(m, apply(p, g, [*m, 0.0])[0])),
            _ => p.iter_mut().zip(g).zip(m).zip(v).for_each(|(((p, g), m), v)| {
                let [first, second] = apply(p, g, [*m, *v]);
                put(m, first);
                put(v, second);
            }),
        };
    }
    for (block, p) in p.chunks_mut(S::LANES).enumerate() {
        let part = block * S::LANES..block * S::LANES + p.len();
        let g = g.get(part.clone()).unwrap_or(&[]);
        let m = if R::MOMENTS >= 1 { m.get_mut(part.clone()).unwrap_or(&mut []) } else { &mut [] };
        let v = if R::MOMENTS >= 2 { v.get_mut(part).unwrap_or(&mut []) } else { &mut [] };
        vector(simd, rule, (p, g), (m, v));
    }
}

/// At most a vector.
#[inline(always)]
fn vector<S: Simd, R: Rule>(simd: S, rule: R, (p, g): (&mut [f32], &[f32]), (m, v): (&mut [f32], &mut [f32])) {
    let (new, moments) = rule.apply(simd, simd.read(p), simd.read(g), [simd.read(m), simd.read(v)]);
    simd.write(p, new);
    simd.write(m, moments[0]);
    simd.write(v, moments[1]);
}
