//! A plan cuts its buffer into what it says: every part has the shape of the layer where it is trained, and none where it is not.

use crate::support::report;
use lowrank::train::{Clock, Moments, Optimizer, Plan, Trained, Work};
use lowrank::{Accum, MatMut, Shape};

const SHAPE: Shape = Shape::new(7, 5, 3);
const TOKENS: usize = 4;

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
    for (optimizer, kept) in
        [(Optimizer::InPlace, 0), (Optimizer::Sgd, 0), (Optimizer::Momentum, 1), (Optimizer::AdamW, 2)]
    {
        assert_eq!(optimizer.moments(), kept);
        for (a, bias) in [(false, false), (false, true), (true, false), (true, true)] {
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
    report(11, "plans", count, "plans cut", 16);
}
