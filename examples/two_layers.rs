//! Trains the adapters of two layers with a ReLU between them. The second layer gives `dX`, the ReLU lets it through where its
//! input was positive, and the first layer goes on from there. The frozen network knows nothing; its adapters learn XOR.
//!
//! ```text
//! cargo run --release --example two_layers
//! ```

use lowrank::train::{AdamW, Optimizer, Rng, softmax_cross_entropy};
use lowrank::{Backend, Base, Error, Plan, Scale, Shape};

const FIRST: Plan = Plan::training(Shape::new(3, 16, 3), 4, Optimizer::AdamW); // inputs, outputs, rank; tokens
const SECOND: Plan = Plan::training(Shape::new(16, 2, 2), 4, Optimizer::AdamW);
const X: [[f32; 3]; 4] = [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]; // the last input is 1
const LABELS: [u32; 4] = [0, 1, 1, 0];

fn main() -> Result<(), Error> {
    let (backend, adamw) = (Backend::detect(), AdamW { learning_rate: 0.02, ..AdamW::DEFAULT });
    let (w1, w2) = (frozen::<3, 16>(1), frozen::<16, 2>(2));
    let (mut memory1, mut memory2) = ([0.0; FIRST.len()], [0.0; SECOND.len()]);
    let mut first = FIRST.layer(Base::rows(&w1, None), &mut memory1)?;
    let mut second = SECOND.layer(Base::rows(&w2, None), &mut memory2)?;
    first.init(Scale::Alpha(6.0), 42, 0)?; // seed, layer number
    second.init(Scale::Alpha(4.0), 42, 1)?;

    let (mut h, mut dh, mut y, mut dy) = ([[0.0; 16]; 4], [[0.0; 16]; 4], [[0.0; 2]; 4], [[0.0; 2]; 4]);
    let mut loss = 0.0;
    for step in 0..=50 {
        first.forward(backend, &X, &mut h)?;
        h.as_flattened_mut().iter_mut().for_each(|h| *h = h.max(0.0));
        second.forward(backend, &h, &mut y)?;
        loss = softmax_cross_entropy(&y, &LABELS, &mut dy)?;
        if step % 10 == 0 {
            println!("step {step}: loss {loss:.4}");
        }

        second.backward(backend, &h, &dy, Some((&mut dh).into()))?;
        let pairs = dh.as_flattened_mut().iter_mut().zip(h.as_flattened());
        pairs.filter(|(_, h)| **h <= 0.0).for_each(|(dh, _)| *dh = 0.0);
        first.backward(backend, &X, &dh, None)?;
        first.step(backend, &adamw)?;
        second.step(backend, &adamw)?;
    }
    // Without `dX`, or without the ReLU in its way, the loss is above 0.4.
    assert!(loss < 0.01, "a loss of {loss} is not XOR");
    Ok(())
}

/// Weights `[OUT, IN]` that stand for a trained network.
fn frozen<const IN: usize, const OUT: usize>(seed: u64) -> [[f32; IN]; OUT] {
    std::array::from_fn(|o| std::array::from_fn(|i| 0.5 * Rng::new(seed).normal((o * IN + i) as u64)))
}

#[test]
fn learns_xor() {
    main().unwrap();
}
