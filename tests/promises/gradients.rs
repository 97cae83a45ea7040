//! Promise: gradients against central differences.
//!
//! The loss is `L = ½‖Y - T‖²`, whose gradient with respect to `Y` is `dY = Y - T`. The target is chosen the other way
//! round, `T = Y - dY` for a given `dY`, so that no rounding of `Y` enters the comparison. `Y` is linear in each of `A`, `B`,
//! `b` and `X` alone, `L` therefore quadratic in each, and `(L(θ + 1) - L(θ - 1))/2` is its derivative without truncation
//! error. `L` is evaluated by the oracle: in f64, whose own error is eight digits below the tolerance, and in i64.

use crate::support::oracle::{Exact, Number};
use crate::support::tolerances::GRADIENT;
use crate::support::{Data, Layer, Outputs, Rng, backends, full, report};
use lowrank::{Accum, Backend, Shape};

/// Ranks around every vector width, and two large ones.
const RANKS: [usize; 19] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 32, 64];
/// 19 × 27 = 513 shapes.
const SHAPES_PER_RANK: u64 = 27;

/// A parameter of a layer: which buffer, and the gradient that belongs to it.
#[derive(Copy, Clone, Debug, PartialEq)]
enum Parameter {
    A,
    B,
    Bias,
    X,
}

impl Parameter {
    const ALL: [Parameter; 4] = [Parameter::A, Parameter::B, Parameter::Bias, Parameter::X];

    fn of<T>(self, layer: &mut Exact<T>) -> &mut Vec<T> {
        match self {
            Parameter::A => &mut layer.a,
            Parameter::B => &mut layer.b,
            Parameter::Bias => &mut layer.bias,
            Parameter::X => &mut layer.x,
        }
    }

    fn gradient(self, outputs: &Outputs) -> &[f32] {
        match self {
            Parameter::A => &outputs.da,
            Parameter::B => &outputs.db,
            Parameter::Bias => &outputs.dbias,
            Parameter::X => &outputs.dx,
        }
    }
}

/// `2·L`
fn twice_the_loss<T: Number>(layer: &Exact<T>, target: &[T]) -> T {
    let y = layer.y(&layer.hs());
    y.iter().zip(target).fold(T::ZERO, |sum, (&y, &goal)| sum + (y - goal) * (y - goal))
}

/// `2·L(θ + 1) - 2·L(θ - 1)`, four times the derivative, for the elements `at` of a parameter.
fn differences<T: Number>(layer: &Layer, parameter: Parameter, at: &[usize]) -> Vec<T> {
    let exact = Exact::<T>::new(layer);
    let y = exact.y(&exact.hs());
    let target: Vec<T> = y.iter().zip(&exact.dy).map(|(&y, &dy)| y - dy).collect();
    let loss = |at: usize, step: T| {
        let mut moved = exact.clone();
        let element = &mut parameter.of(&mut moved)[at];
        *element = *element + step;
        twice_the_loss(&moved, &target)
    };
    let one = T::exactly(1.0);
    at.iter().map(|&at| loss(at, one) - loss(at, T::ZERO - one)).collect()
}

/// Some elements of a matrix: first and last, and random ones between.
fn sample(rng: &mut Rng, len: usize, count: usize) -> Vec<usize> {
    if len <= count {
        return (0..len).collect();
    }
    [0, len - 1].into_iter().chain((2..count).map(|_| rng.below(len))).collect()
}

fn layer(rank: usize, number: u64, data: Data) -> Layer {
    let rng = &mut Rng(1000 * rank as u64 + number);
    let shape = Shape::new(3 + rng.below(18), 3 + rng.below(18), rank);
    let mut layer = Layer::new(shape, 2 + rng.below(6), data, rng.next());
    layer.scale = [2.0, 1.0, -1.0][number as usize % 3];
    layer
}

fn run(layer: &Layer, backend: Backend, number: u64) -> Outputs {
    let mut buffer = Vec::new();
    let base = if number.is_multiple_of(2) { layer.base() } else { layer.packed(backend, &mut buffer) };
    let mut out = layer.old_outputs(Data::Finite, 1);
    layer.run(backend, &base, Accum::Replace, &mut out).unwrap();
    out
}

#[test]
fn gradients_are_central_differences() {
    let backends = backends();
    let (mut worst, mut elements) = (vec![0f64; backends.len()], 0);
    let count = if full() { 60 } else { 8 };
    for rank in RANKS {
        for number in 0..SHAPES_PER_RANK {
            let layer = layer(rank, number, Data::Finite);
            let outputs: Vec<_> = backends.iter().map(|&backend| run(&layer, backend, number)).collect();
            for parameter in Parameter::ALL {
                let at = sample(&mut Rng(number), parameter.gradient(&outputs[0]).len(), count);
                let exact = differences::<f64>(&layer, parameter, &at);
                elements += at.len() as u64;
                for (outputs, worst) in outputs.iter().zip(&mut worst) {
                    let gradient = parameter.gradient(outputs);
                    let largest = gradient.iter().fold(0f32, |m, g| m.max(g.abs()));
                    for (&at, exact) in at.iter().zip(&exact) {
                        let error = (f64::from(gradient[at]) - exact / 4.0).abs() / f64::from(largest);
                        assert!(error <= GRADIENT, "{:?} d{parameter:?}[{at}]: off by {error:e}", layer.shape);
                        *worst = worst.max(error);
                    }
                }
            }
        }
    }
    let shapes = RANKS.len() as u64 * SHAPES_PER_RANK;
    for (backend, worst) in backends.iter().zip(worst) {
        let what = format!("shapes ({elements} derivatives), relative error at most {worst:.1e} of {GRADIENT:e}");
        report("gradients", format!("{backend:?}"), shapes, &what, 500);
    }
}

#[test]
fn gradients_on_integers_are_equal_to_central_differences() {
    let backends = backends();
    let (mut shapes, mut elements) = (0, 0);
    for rank in RANKS {
        for number in 0..SHAPES_PER_RANK {
            let layer = layer(rank, number, Data::Integers);
            let outputs: Vec<_> = backends.iter().map(|&backend| run(&layer, backend, number)).collect();
            for parameter in Parameter::ALL {
                let at = sample(&mut Rng(number), parameter.gradient(&outputs[0]).len(), 8);
                let exact = differences::<i64>(&layer, parameter, &at);
                elements += at.len() as u64;
                for (outputs, backend) in outputs.iter().zip(&backends) {
                    for (&at, &exact) in at.iter().zip(&exact) {
                        let ours = parameter.gradient(outputs)[at];
                        assert_eq!(4 * ours as i64, exact, "{backend:?} {:?} d{parameter:?}[{at}]", layer.shape);
                        assert_eq!(ours as i64 as f32, ours);
                    }
                }
            }
            shapes += 1;
        }
    }
    for backend in backends {
        report(
            "gradients",
            format!("{backend:?}"),
            shapes,
            &format!("shapes ({elements} derivatives), equal on integers"),
            500,
        );
    }
}
