//! A layer in a state, a mistake that is made with it, and what all of its tables say.

use lowrank::train::{InPlace, Optimizer, Sgd, Trained};
use lowrank::{Adapter, Argument, Backend, Dropout, Error, Layer, MatMut, MatRef, Plan, Scale, Shape};

use super::errors::{Call, Case, Cut, Function, Outcome, SHAPE, TOKENS, case};
use super::{Data, Rng, mat, mat_mut};

pub(crate) const BACKEND: Backend = Backend::BASELINE;

// What may come before a mistake.

pub(crate) fn init(layer: &mut Layer<'_>) {
    layer.init(Scale::Alpha(2.0), 5, 0).unwrap();
}

pub(crate) fn adopt(layer: &mut Layer<'_>) {
    layer.adopt(Scale::Alpha(2.0)).unwrap();
}

pub(crate) fn forward<const N: usize>(layer: &mut Layer<'_>) {
    let Shape { inputs, outputs, .. } = layer.shape();
    let (x, mut y) = (Data::Finite.fill(&mut Rng(4), N * inputs), vec![0.0; N * outputs]);
    layer.forward(BACKEND, mat(&x, N, inputs), mat_mut(&mut y, N, outputs)).unwrap();
}

pub(crate) fn backward<const N: usize>(layer: &mut Layer<'_>) {
    let Shape { inputs, outputs, .. } = layer.shape();
    let fill = |len| Data::Finite.fill(&mut Rng(4), len);
    layer.backward(BACKEND, mat(&fill(N * inputs), N, inputs), mat(&fill(N * outputs), N, outputs), None).unwrap();
}

pub(crate) fn backward_of_nan(layer: &mut Layer<'_>) {
    let Shape { inputs, outputs, .. } = layer.shape();
    let (x, dy) = ([0.5; 2 * SHAPE.inputs], [f32::NAN; 2 * SHAPE.outputs]);
    layer.backward(BACKEND, mat(&x, 2, inputs), mat(&dy, 2, outputs), None).unwrap();
}

/// With the least of the optimizers.
pub(crate) fn step(layer: &mut Layer<'_>) {
    layer.step(BACKEND, &Sgd::DEFAULT).unwrap();
}

pub(crate) fn step_in_place(layer: &mut Layer<'_>) {
    let (x, dy) = ([0.5; 2 * SHAPE.inputs], [0.5; 2 * SHAPE.outputs]);
    let (x, dy) = (mat(&x, 2, SHAPE.inputs), mat(&dy, 2, SHAPE.outputs));
    layer.step_in_place(BACKEND, &InPlace::DEFAULT, x, dy, None).unwrap();
}

pub(crate) fn dropout(layer: &mut Layer<'_>) {
    layer.set_dropout(Some(Dropout { probability: 0.5, ..Dropout::default() })).unwrap();
}

pub(crate) fn no_dropout(layer: &mut Layer<'_>) {
    layer.set_dropout(None).unwrap();
}

pub(crate) fn accumulation(layer: &mut Layer<'_>) {
    layer.set_accumulation(true);
}

/// An element of `dA`, `dB` and the gradient of the bias that is not finite.
pub(crate) fn spoil_grads(layer: &mut Layer<'_>, which: Argument, index: usize) {
    let (_, mut grads) = layer.parts().unwrap();
    let matrix = match which {
        Argument::DA => grads.a.as_mut().unwrap(),
        Argument::DB => &mut grads.b,
        _ => grads.bias.as_mut().unwrap(),
    };
    let cols = matrix.cols();
    matrix.row_mut(index / cols)[index % cols] = f32::INFINITY;
}

pub(crate) type Before = fn(&mut Layer<'_>);

/// A layer after one forward pass, and after a whole step with another forward pass behind it.
pub(crate) const RUNNING: [&[Before]; 2] = [
    &[init, forward::<TOKENS>],
    &[init, dropout, accumulation, forward::<1>, backward::<1>, step, forward::<2>, backward::<2>, forward::<TOKENS>],
];

/// States with a borrowed adapter.
pub(crate) const LENT: [&[Before]; 3] = [&[], &[forward::<2>], &[dropout, forward::<1>]];

/// States without an adapter.
pub(crate) const EMPTY: [&[Before]; 3] = [&[], &[accumulation], &[dropout]];

/// What a call brings: `x`, `y`, `dy`, `dx`, and where a merge goes.
pub(crate) struct Brought<'m> {
    pub(crate) x: MatRef<'m>,
    pub(crate) y: MatMut<'m>,
    pub(crate) dy: MatRef<'m>,
    pub(crate) dx: Option<MatMut<'m>>,
    pub(crate) merged: MatMut<'m>,
}

/// A borrowed adapter, with gaps if the call says so.
pub(crate) fn adapter<'m>(cut: &mut Cut<'m, '_>, call: &Call) -> Adapter<'m> {
    let mut matrix = |argument, (rows, cols): (usize, usize), gap| {
        MatRef::with_stride(cut.memory(argument, rows * (cols + gap)), rows, cols, cols + gap).unwrap()
    };
    let (a, b) = (matrix(Argument::A, call.a, call.gaps[0]), matrix(Argument::B, call.b, call.gaps[1]));
    let bias = call.trained_bias.map(|size| matrix(Argument::Bias, size, 0));
    Adapter { a, b, bias, scale: call.scale }
}

/// Makes a layer with what came before, and lets `verb` make its mistake.
pub(crate) fn on_layer(
    call: &Call,
    arena: &mut [f32],
    act: bool,
    verb: impl FnOnce(&mut Layer<'_>, Brought<'_>) -> Result<(), Error>,
) -> Outcome {
    let cut = &mut Cut::new(arena, call);
    let (base, memory, adapter) = (cut.base(), cut.memory(Argument::Arena, call.plan.len()), adapter(cut, call));
    let (flow, y) = (cut.flow(), cut.write(Argument::Y, call.y));
    let merged = cut.write(Argument::Merged, call.merged);
    let opened = if call.inference { call.plan.adapted(base, adapter, memory) } else { call.plan.layer(base, memory) };
    let mut layer = opened.unwrap();
    call.before.iter().for_each(|before| before(&mut layer));
    let brought = Brought { x: flow.x.unwrap_or(mat(&[], 0, 0)), y, dy: flow.dy, dx: flow.dx, merged };
    let result = if act { verb(&mut layer, brought) } else { Ok(()) };
    (result, format!("{layer:?}"))
}

pub(crate) fn range(argument: Argument, at_least: f32, at_most: f32, got: f32) -> Error {
    Error::Range { argument, at_least, at_most, got }
}

pub(crate) fn bad_scale(got: f32) -> Error {
    range(Argument::Scale, f32::MIN, f32::MAX, got)
}

pub(crate) const NO_SCALE: Error = Error::Missing { argument: Argument::Scale };

/// The largest number below 1.
pub(crate) const BELOW_ONE: f32 = 0.999_999_94;

pub(crate) const BAD: [f32; 4] = [-1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// A case in a state.
pub(crate) fn after(
    before: &[Before],
    function: &'static Function,
    error: Error,
    spoil: impl Fn(&mut Call) + 'static,
) -> Case {
    let before = before.to_vec();
    case(function, error, move |c| {
        c.before.clone_from(&before);
        spoil(c);
    })
}

/// With a borrowed adapter.
pub(crate) fn lent(before: &[Before], function: &'static Function, error: Error) -> Case {
    after(before, function, error, |c| (c.inference, c.plan) = (true, Plan::inference(SHAPE, TOKENS)))
}

pub(crate) fn planned(call: &mut Call, optimizer: Optimizer, a: bool, bias: bool) {
    call.plan = Plan::training(SHAPE, TOKENS, optimizer).with(Trained { a, bias });
}
