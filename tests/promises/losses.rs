//! A mean over a batch counts the tokens that it has seen: in pieces it gives the bits of the whole, and has room for no more.

use crate::support::{mat, mat_mut};
use lowrank::train::MeanLoss;
use lowrank::{Argument, Error};

const TOKENS: usize = 6;
const OUTPUTS: usize = 3;

/// Adds the tokens `from..to` by one of the two losses.
fn add(loss: &mut MeanLoss, classes: bool, (from, to): (usize, usize), grad: &mut [f32]) -> Result<(), Error> {
    let y: Vec<f32> = (0..TOKENS * OUTPUTS).map(|i| (i * 7 % 11) as f32 / 4.0 - 1.0).collect();
    let target: Vec<f32> = y.iter().rev().copied().collect();
    let labels: Vec<u32> = (0..TOKENS as u32).map(|t| t * t % OUTPUTS as u32).collect();
    let (n, part) = (to - from, from * OUTPUTS..to * OUTPUTS);
    let (y, grad) = (mat(&y[part.clone()], n, OUTPUTS), mat_mut(&mut grad[part.clone()], n, OUTPUTS));
    if classes {
        loss.softmax_cross_entropy(y, &labels[from..to], grad)
    } else {
        loss.mean_squared_error(y, mat(&target[part], n, OUTPUTS), grad)
    }
}

#[test]
fn a_mean_is_full_after_its_tokens() {
    for classes in [false, true] {
        let (mut whole, mut grads) = (MeanLoss::over(TOKENS), [[f32::NAN; TOKENS * OUTPUTS]; 2]);
        add(&mut whole, classes, (0, TOKENS), &mut grads[0]).unwrap();
        for middle in 0..=TOKENS {
            let mut loss = MeanLoss::over(TOKENS);
            for (from, to) in [(0, middle), (middle, TOKENS)] {
                add(&mut loss, classes, (from, to), &mut grads[1]).unwrap();
                assert_eq!(loss.seen, to);
                // One token more than there is room for.
                let at_most = TOKENS - to;
                let error = Error::TooMany { argument: Argument::Tokens, at_most, got: at_most + 1 };
                if at_most < TOKENS {
                    let before = loss;
                    assert_eq!(add(&mut loss, classes, (0, at_most + 1), &mut [0.0; TOKENS * OUTPUTS]), Err(error));
                    assert_eq!(loss, before);
                }
            }
            assert_eq!((loss, grads[1]), (whole, grads[0]));
        }
    }
}
