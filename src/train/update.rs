//! One optimizer step over all parameters of a layer. An optimizer is a [`Rule`] for one element; this is the loop.

use super::state::{Moments, State};
use crate::error::{Argument, Error};
use crate::kernel::product::replace;
use crate::kernel::raw::elements::Elements;
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
        let (rule, Moments { first, second }) = (*self.rule, self.moments);
        let elements = Elements { param: self.param, grad: self.grad, first, second };
        let each = move |p, g, moments| rule.apply(simd, p, g, moments);
        match R::MOMENTS {
            0 => replace::<S, 0>(simd, elements, each),
            1 => replace::<S, 1>(simd, elements, each),
            _ => replace::<S, 2>(simd, elements, each),
        }
    }
}
