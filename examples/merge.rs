//! Adds a trained adapter into a copy of the weights: `W' = W + s·B·A`. The copy answers as the layer does, up to rounding, and
//! a token costs no more than with the base alone.
//!
//! ```text
//! cargo run --release --example merge
//! ```

use lowrank::train::{AdamW, Optimizer, softmax_cross_entropy};
use lowrank::{Backend, Base, Error, Plan, Scale, Shape};

const PLAN: Plan = Plan::training(Shape::new(2, 3, 1), 4, Optimizer::AdamW); // inputs, outputs, rank; tokens
static W: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
const X: [[f32; 2]; 4] = [[1.0, 2.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.0]];

fn main() -> Result<(), Error> {
    let (backend, mut arena) = (Backend::detect(), [0.0; PLAN.len()]);
    let (mut y, mut dy) = ([[0.0; 3]; 4], [[0.0; 3]; 4]);
    let mut layer = PLAN.layer(Base::rows(&W, None), &mut arena)?;
    layer.init(Scale::Alpha(2.0), 42, 0)?; // seed, layer number
    for _ in 0..20 {
        layer.forward(backend, &X, &mut y)?;
        softmax_cross_entropy(&y, &[0, 1, 2, 0], &mut dy)?;
        layer.backward(backend, &X, &dy, None)?;
        layer.step(backend, &AdamW { learning_rate: 0.05, ..AdamW::DEFAULT })?;
    }
    layer.forward(backend, &X, &mut y)?;

    let mut merged = [[0.0; 2]; 3];
    layer.merge(backend, &mut merged)?;
    let y_of = |w: &[[f32; 2]; 3]| X.map(|x| w.map(|w| w[0] * x[0] + w[1] * x[1]));
    let distance = |a: &[[f32; 3]; 4], b: &[[f32; 3]; 4]| {
        a.as_flattened().iter().zip(b.as_flattened()).fold(0.0, |most, (a, b)| f32::max(most, (a - b).abs()))
    };
    let (before, after) = (distance(&y, &y_of(&W)), distance(&y, &y_of(&merged)));
    println!("the layer differs from its base by up to {before:.3}, from the merged weights by up to {after:.0e}");
    assert!(before > 0.1 && after < 1e-6);
    Ok(())
}

#[test]
fn merged_weights_answer_as_the_layer_does() {
    main().unwrap();
}
