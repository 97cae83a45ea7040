//! A plan cuts its buffer into what it says: every part has the shape of the layer where it is trained, and none where it is not.

use crate::support::report;
use lowrank::train::{Clock, Moments, Optimizer, Plan, Trained, Work};
use lowrank::{Accum, Argument, Base, Error, MatMut, MatRef, Saved, Shape};

const SHAPE: Shape = Shape::new(7, 5, 3);
const TOKENS: usize = 4;

/// Optimizers, and the moments that they keep.
const OPTIMIZERS: [(Optimizer, usize); 4] =
    [(Optimizer::InPlace, 0), (Optimizer::Sgd, 0), (Optimizer::Momentum, 1), (Optimizer::AdamW, 2)];

/// Whether `A` and the bias are trained.
const TRAINED: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

type Size = (usize, usize);

fn size(matrix: &MatMut<'_>) -> Size {
    (matrix.rows(), matrix.cols())
}

/// A moment, without rows where there is none.
fn moments(Moments { first, second }: &Moments<'_>) -> [Size; 2] {
    [size(first), size(second)]
}

#[test]
fn every_part_has_its_shape() {
    let Shape { inputs, outputs, rank } = SHAPE;
    let mut count = 0;
    for (optimizer, kept) in OPTIMIZERS {
        assert_eq!(optimizer.moments(), kept);
        for (a, bias) in TRAINED {
            let plan = Plan::training(SHAPE, TOKENS, optimizer).with(Trained { a, bias });
            assert_eq!(plan.shape(), SHAPE);
            let mut arena: Vec<f32> = (0..plan.len()).map(|i| i as f32).collect();
            let Work { adapter, grads, saved, state } = plan.split(&mut arena).unwrap();
            let at = format!("{optimizer:?}, A {a}, bias {bias}");

            assert_eq!((size(&adapter.a), size(&adapter.b)), ((rank, inputs), (outputs, rank)), "{at}");
            assert_eq!(adapter.bias.as_ref().map(size), bias.then_some((1, outputs)), "{at}");
            assert_eq!(adapter.scale, 1.0, "{at}");

            let stored = optimizer != Optimizer::InPlace;
            assert_eq!(grads.a.as_ref().map(size), (stored && a).then_some((rank, inputs)), "{at}");
            assert_eq!(size(&grads.b), (if stored { outputs } else { 0 }, rank), "{at}");
            assert_eq!(grads.bias.as_ref().map(size), (stored && bias).then_some((1, outputs)), "{at}");
            assert_eq!(grads.accum, Accum::Replace, "{at}");

            assert_eq!((saved.batch(), saved.hs().rows()), (None, 0), "{at}");

            let rows = |trained: bool, rows: usize| [1, 2].map(|nth| if trained && nth <= kept { rows } else { 0 });
            assert_eq!(moments(&state.a), rows(a, rank).map(|rows| (rows, inputs)), "{at}");
            assert_eq!(moments(&state.b), rows(true, outputs).map(|rows| (rows, rank)), "{at}");
            assert_eq!(moments(&state.bias), rows(bias, 1).map(|rows| (rows, outputs)), "{at}");
            assert_eq!(state.clock, Clock::default(), "{at}");

            // The parts lie one behind the other, in the documented order, and nothing was written.
            let first = |matrix: &MatMut<'_>| matrix.as_ref().row(0).first().copied();
            let lengths = [plan.adapter_len(), plan.grads_len(), plan.saved_len()].map(Option::unwrap);
            assert_eq!(first(&adapter.a), Some(0.0), "{at}");
            assert_eq!(first(&adapter.b), Some((rank * inputs) as f32), "{at}");
            if stored {
                assert_eq!(first(grads.a.as_ref().unwrap_or(&grads.b)), Some(lengths[0] as f32), "{at}");
            }
            if kept > 0 {
                let state_first = if a { &state.a.first } else { &state.b.first };
                assert_eq!(first(state_first), Some(lengths.iter().sum::<usize>() as f32), "{at}");
            }
            count += 1;
        }
    }
    report("sizes", "plans", count, "plans cut", 16);
}

/// Sizes at which products and sums end to fit.
const EDGES: [usize; 9] =
    [0, 1, 2, 5, isize::MAX as usize / 8, isize::MAX as usize / 4, isize::MAX as usize / 4 + 1, 1 << 31, usize::MAX];

/// What a buffer that is empty is told.
fn told(plan: &Plan) -> Option<usize> {
    match plan.split(&mut []) {
        Ok(_) => Some(0),
        Err(Error::Length { argument: Argument::Arena, expected, got: 0 }) => Some(expected),
        Err(error) => {
            assert_eq!(error, Error::Overflow { argument: Argument::Arena });
            None
        }
    }
}

#[test]
fn the_length_is_the_one_that_fits() {
    let mut count = 0;
    let each = || EDGES.into_iter();
    let shapes = each().flat_map(|i| each().flat_map(move |o| each().map(move |r| Shape::new(i, o, r))));
    for shape in shapes {
        for (tokens, optimizer) in each().flat_map(|n| OPTIMIZERS.map(|(optimizer, _)| (n, optimizer))) {
            for (a, bias) in TRAINED {
                let plan = Plan::training(shape, tokens, optimizer).with(Trained { a, bias });
                let at = format!("{plan:?}");
                assert_eq!(plan.checked_len(), told(&plan), "{at}");
                let len = plan.checked_len().unwrap_or(usize::MAX);
                let told = (plan.len(), plan.bytes(), plan.is_empty());
                assert_eq!(told, (len, len.saturating_mul(4), len == 0), "{at}");
                let parts = [plan.adapter_len(), plan.grads_len(), plan.saved_len(), plan.state_len()];
                let sum: Option<u128> = parts.into_iter().map(|part| part.map(|part| part as u128)).sum();
                let fits = sum.filter(|&sum| 4 * sum <= isize::MAX as u128);
                assert_eq!(plan.checked_len().map(|len| len as u128), fits, "{at}");
                count += 1;
            }
            let plan = Plan::inference(shape, tokens);
            assert_eq!(plan.checked_len(), Saved::inference_len(shape, tokens), "{plan:?}");
            assert_eq!(plan.saved_len(), plan.checked_len(), "{plan:?}");
            assert_eq!([plan.adapter_len(), plan.grads_len(), plan.state_len()], [Some(0); 3], "{plan:?}");
        }
    }
    report("sizes", "plans", count, "lengths of plans", 9 * 9 * 9 * 9 * 16);
}

/// A layer takes the buffers that the plan can be split from.
#[test]
fn a_layer_takes_what_can_be_split() {
    let mut count = 0;
    let shapes = [(7, 5, 3), (0, 5, 3), (7, 0, 3), (7, 5, 0), (0, 0, 2), (1, 1, 1), (0, 1, usize::MAX)];
    for (shape, tokens) in shapes.into_iter().flat_map(|shape| [0, 1, 4, usize::MAX].map(|n| (shape, n))) {
        let (inputs, outputs, rank) = shape;
        let w = vec![0.0; inputs * outputs];
        let base = Base { weights: MatRef::new(&w, outputs, inputs).unwrap().into(), bias: None };
        for ((optimizer, _), (a, bias)) in OPTIMIZERS.into_iter().flat_map(|o| TRAINED.map(|t| (o, t))) {
            let plan = Plan::training(Shape::new(inputs, outputs, rank), tokens, optimizer).with(Trained { a, bias });
            for len in [0, 1, plan.len().saturating_sub(1), plan.len(), plan.len().saturating_add(1)] {
                if len < 10_000 {
                    let mut arena = vec![0.0; len];
                    let split = plan.split(&mut arena).map(drop);
                    assert_eq!(plan.layer(base, &mut arena).map(drop), split, "{plan:?} {len}");
                    assert_eq!(split.is_ok(), plan.checked_len() == Some(len), "{plan:?} {len}");
                    count += 1;
                }
            }
        }
    }
    report("sizes", "plans", count, "buffers for a layer", 1000);
}
