//! One optimizer step over all parameters of a layer. An optimizer is a [`Rule`] for one element; this is the loop.

use super::state::{Moments, State};
use crate::error::{Argument, Error};
use crate::kernel::tile::elements::Elements;
use crate::lora::{AdapterMut, Grads};
use crate::optimizer::Optimizer;
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, expect_shape};

/// The sequence of rounded operations that an optimizer applies to every parameter.
pub(super) trait Rule: Copy {
    /// Whose rule it is.
    const OPTIMIZER: Optimizer;

    /// Moments that the rule reads and writes.
    const MOMENTS: usize = Self::OPTIMIZER.moments();

    /// New parameter and moments from parameter, gradient and old moments.
    fn apply<S: Simd>(&self, simd: S, p: S::V, g: S::V, moments: [S::V; 2]) -> (S::V, [S::V; 2]);
}

/// Checks everything, then applies the rule of a learning rate to `A`, `B` and the bias, as far as there are gradients. `B` may
/// learn faster than `A` (S. Hayou et al., "LoRA+", 2024). No element knows of another, so `A` and `B` may be rows of those of a
/// layer. `fresh` moments are zero, whatever they hold.
pub(super) fn step<R: Rule>(
    backend: Backend,
    rule: impl Fn(f32) -> R,
    (lr, lr_b): (f32, f32),
    fresh: bool,
    adapter: &mut AdapterMut<'_>,
    grads: &Grads<'_>,
    state: &mut State<'_>,
) -> Result<(), Error> {
    let outputs = adapter.b.rows();
    let planned = planned(outputs, grads, state);
    let other = Error::OtherOptimizer { planned, used: R::OPTIMIZER };
    if planned == Optimizer::InPlace {
        return Err(other);
    }
    if grads.bias.is_some() {
        let Some(bias) = &adapter.bias else { return Err(Error::Missing { argument: Argument::Bias }) };
        expect_shape(Argument::Bias, (bias.rows(), bias.cols()), (1, outputs))?;
    }
    let mut parts = [
        (Some(&mut adapter.a), grads.a.as_ref(), &mut state.a, lr, Argument::DA),
        (Some(&mut adapter.b), Some(&grads.b), &mut state.b, lr_b, Argument::DB),
        (adapter.bias.as_mut(), grads.bias.as_ref(), &mut state.bias, lr, Argument::DBias),
    ];
    for (param, grad, moments, _, argument) in &parts {
        if let (Some(param), Some(grad)) = (param, grad) {
            let shape = (param.rows(), param.cols());
            expect_shape(*argument, (grad.rows(), grad.cols()), shape)?;
            moments
                .check(R::MOMENTS, shape)
                .map_err(|error| if planned.moments() < R::MOMENTS { other } else { error })?;
        }
    }
    grads.check_finite()?;
    for (param, grad, moments, lr, _) in &mut parts {
        if let (Some(param), Some(grad)) = (param, grad) {
            if fresh {
                moments.first.fill_zero();
                moments.second.fill_zero();
            }
            update(backend, &rule(*lr), param, &grad.as_ref(), moments);
        }
    }
    Ok(())
}

/// The optimizer that gradients and state were made for. In place there are no gradients of the outputs.
fn planned(outputs: usize, grads: &Grads<'_>, state: &State<'_>) -> Optimizer {
    if outputs > 0 && grads.b.rows() == 0 && grads.a.is_none() && grads.bias.is_none() {
        Optimizer::InPlace
    } else {
        state.planned()
    }
}

// Not inlined: a loop over three matrices may be unrolled.
#[inline(never)]
fn update<R: Rule>(backend: Backend, rule: &R, param: &mut MatMut<'_>, grad: &MatRef<'_>, moments: &mut Moments<'_>) {
    backend.run(Update { rule, param, grad, moments });
}

struct Update<'a, 'p, 'm, R> {
    rule: &'a R,
    param: &'a mut MatMut<'p>,
    grad: &'a MatRef<'a>,
    moments: &'a mut Moments<'m>,
}

impl<R: Rule> Kernel for Update<'_, '_, '_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (rule, grad, Moments { first, second }) = (*self.rule, self.grad, self.moments);
        if S::COMPACT {
            let each = move |p, g, moments| rule.apply(simd, p, g, moments);
            let elements = Elements { param: self.param, grad, first, second };
            return match R::MOMENTS {
                0 => elements.replace::<S, 0>(simd, each),
                1 => elements.replace::<S, 1>(simd, each),
                _ => elements.replace::<S, 2>(simd, each),
            };
        }
        let (mut param, mut grad, mut first, mut second) =
            (self.param.reborrow(), *grad, first.reborrow(), second.reborrow());
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
