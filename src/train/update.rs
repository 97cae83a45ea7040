//! One optimizer step over all parameters of a layer. An optimizer is a [`Rule`] for one element; this is the loop.

use super::state::{Clock, Moments, State};
use crate::error::{Argument, Error};
use crate::kernel::product::replace;
use crate::kernel::raw::elements::Elements;
use crate::lora::{AdapterMut, Grads};
use crate::optimizer::Optimizer;
use crate::simd::{Backend, Kernel, Simd};
use crate::view::{MatMut, MatRef, expect_shape};

/// The sequence of rounded operations that an optimizer applies to every parameter.
pub(super) trait Rule: Copy {
    /// Moments that the rule reads and writes.
    const MOMENTS: usize;

    /// New parameter and moments from parameter, gradient and old moments.
    fn apply<S: Simd>(&self, simd: S, p: S::V, g: S::V, moments: [S::V; 2]) -> (S::V, [S::V; 2]);
}

/// An optimizer that keeps gradients: [`AdamW`](super::AdamW) or [`Sgd`](super::Sgd). [`Layer::step`](super::Layer::step) takes it.
pub trait Optimize: Steps {}

/// The questions of a step to its optimizer.
pub trait Steps {
    /// Names the optimizer.
    fn optimizer(&self) -> Optimizer;

    /// Returns the learning rate, and that of `B`, which may learn faster (S. Hayou et al., "LoRA+", 2024).
    fn rates(&self) -> (f32, f32);

    /// Checks the hyper-parameters.
    fn check(&self) -> Result<(), Error>;

    /// Returns the clock after one more step.
    fn advance(&self, clock: Clock) -> Clock;

    /// Applies the rule of a learning rate and of the clock after this step to parameters and their two moments, of which those that
    /// the optimizer does not have are empty.
    fn update(&self, backend: Backend, at: (f32, &Clock), grad: &[f32], changed: [&mut [f32]; 3]);
}

/// Checks everything, then makes a step of `A`, `B` and the bias, as far as there are gradients. No element depends on another one, so
/// `A` and `B` may be rows of those of a layer. In the first step moments count as zero, whatever they hold.
pub(super) fn step<O: Steps>(
    optimizer: &O,
    backend: Backend,
    adapter: &mut AdapterMut<'_>,
    grads: &Grads<'_>,
    state: &mut State<'_>,
) -> Result<(), Error> {
    optimizer.check()?;
    let (outputs, used) = (adapter.b.rows(), optimizer.optimizer());
    let planned = planned(outputs, grads, state);
    let other = Error::OtherOptimizer { planned, used };
    if planned == Optimizer::InPlace {
        return Err(other);
    }
    if grads.bias.is_some() {
        let Some(bias) = &adapter.bias else { return Err(Error::Missing { argument: Argument::Bias }) };
        expect_shape(Argument::Bias, (bias.rows(), bias.cols()), (1, outputs))?;
    }
    let (lr, lr_b) = optimizer.rates();
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
                .check(used.moments(), shape)
                .map_err(|error| if planned.moments() < used.moments() { other } else { error })?;
        }
    }
    grads.check_finite()?;
    let clock = optimizer.advance(state.clock);
    clock.check()?;
    for (param, grad, moments, lr, _) in &mut parts {
        if let (Some(param), Some(grad)) = (param, grad) {
            moments.begin(&clock);
            update_matrix(optimizer, backend, (*lr, &clock), &grad.as_ref(), param, moments);
        }
    }
    state.clock = clock;
    Ok(())
}

/// Returns the optimizer that gradients and state were made for. In place there are no gradients of the outputs.
fn planned(outputs: usize, grads: &Grads<'_>, state: &State<'_>) -> Optimizer {
    if outputs > 0 && grads.b.rows() == 0 && grads.a.is_none() && grads.bias.is_none() {
        Optimizer::InPlace
    } else {
        state.planned()
    }
}

/// Updates a matrix row by row; without gaps, its rows are one long row.
#[inline(never)]
fn update_matrix<O: Steps>(
    optimizer: &O,
    backend: Backend,
    at: (f32, &Clock),
    grad: &MatRef<'_>,
    param: &mut MatMut<'_>,
    Moments { first, second }: &mut Moments<'_>,
) {
    let is_line = grad.is_dense() && [&*param, first, second].into_iter().all(|matrix| matrix.as_ref().is_dense());
    for i in 0..if is_line { 1 } else { grad.rows() } {
        let changed = [param.line_mut(i, is_line), first.line_mut(i, is_line), second.line_mut(i, is_line)];
        optimizer.update(backend, at, grad.line(i, is_line), changed);
    }
}

#[inline(always)]
pub(super) fn update<R: Rule>(backend: Backend, rule: &R, grad: &[f32], [param, first, second]: [&mut [f32]; 3]) {
    backend.run(Update { rule, elements: Elements { param, grad, first, second } });
}

struct Update<'a, R> {
    rule: &'a R,
    elements: Elements<'a>,
}

impl<R: Rule> Kernel for Update<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (rule, elements) = (*self.rule, self.elements);
        let each = move |p, g, moments| rule.apply(simd, p, g, moments);
        match R::MOMENTS {
            0 => replace::<S, 0>(simd, elements, each),
            1 => replace::<S, 1>(simd, elements, each),
            _ => replace::<S, 2>(simd, elements, each),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lora::{Cut, Shape};
    use crate::train::{Plan, Sgd, Trained};

    /// It has no gradients, as a plan without gradients has none.
    #[test]
    fn a_piece_without_outputs_makes_a_step() {
        let trained = Trained { a: false, bias: false };
        let step = |adapter: &mut AdapterMut<'_>, grads: &Grads<'_>, state: &mut State<'_>| {
            Sgd::DEFAULT.step(Backend::BASELINE, adapter, grads, state)
        };
        let plan = Plan::training(Shape::new(2, 3, 1), 1, Optimizer::Sgd).with(trained);
        let mut arena = [0.0; 64];
        let mut work = plan.split(&mut arena[..plan.len()]).unwrap();
        let cut = Cut { rank: 1, output: 0 };
        let ((mut adapter, _), (grads, _)) = (work.adapter.whole().split(cut), work.grads.whole().split(cut));
        let (mut state, _) = work.state.whole().split(cut);
        assert_eq!(step(&mut adapter, grads.grads(), &mut state), Ok(()));

        let plan = Plan::training(Shape::new(2, 3, 1), 1, Optimizer::InPlace).with(trained);
        let mut work = plan.split(&mut arena[..plan.len()]).unwrap();
        let refused = Error::OtherOptimizer { planned: Optimizer::InPlace, used: Optimizer::Sgd };
        assert_eq!(step(&mut work.adapter, &work.grads, &mut work.state), Err(refused));
    }

    /// The rows of a parameter or of its gradient may lie apart; then every row is updated, and nothing between them.
    #[test]
    fn rows_that_lie_apart_are_updated() {
        let plan = Plan::training(Shape::new(2, 3, 2), 1, Optimizer::Sgd);
        for (param_stride, grad_stride) in [(2, 2), (3, 2), (2, 3), (3, 3)] {
            let (mut arena, mut params, mut ones) = ([0.0; 64], [7.0; 6], [1.0; 6]);
            let mut work = plan.split(&mut arena[..plan.len()]).unwrap();
            work.adapter.a = MatMut::with_stride(&mut params, 2, 2, param_stride).unwrap();
            work.grads.a = Some(MatMut::with_stride(&mut ones, 2, 2, grad_stride).unwrap());
            Sgd::DEFAULT.step(Backend::BASELINE, &mut work.adapter, &work.grads, &mut work.state).unwrap();
            let (new, case) = (params[0], (param_stride, grad_stride));
            let expected =
                if param_stride == 2 { [new, new, new, new, 7.0, 7.0] } else { [new, new, 7.0, new, new, 7.0] };
            assert!(new != 7.0 && params == expected, "{case:?}: {params:?}");
        }
    }
}
