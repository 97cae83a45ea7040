//! The executable specification: naive loops, one element after the other, obviously right. Every backend is compared
//! with it, bit for bit.
//!
//! Written for readers. It takes the same arguments as the operations, checks them in the same way, and is slow.

use crate::error::{Argument, Error};
use crate::lora::{Accum, Adapter, Dropout};
use crate::simd::{Arithmetic, sqrt};
use crate::train::{AdamW, Clock, Sgd};
use crate::view::{MatMut, MatRef, expect_shape};
use crate::weight::{Base, Weights};

/// One chain: `start ⊕ a₀·b₀ ⊕ a₁·b₁ ⊕ …`, each ⊕ one [`Arithmetic::step`].
///
/// ```
/// use lowrank::{Arithmetic, reference::chain};
/// assert_eq!(chain(Arithmetic::Separate, 1.0, [(2.0, 3.0), (4.0, 5.0)]), 27.0);
/// ```
pub fn chain(arithmetic: Arithmetic, start: f32, products: impl IntoIterator<Item = (f32, f32)>) -> f32 {
    products.into_iter().fold(start, |acc, (a, b)| arithmetic.step(acc, a, b))
}

/// The dropout multiplier applied to one element of `X`: `X̃[t,i]`.
pub fn dropped(dropout: Option<Dropout>, x: MatRef<'_>, t: usize, i: usize) -> f32 {
    match dropout {
        None => x.row(t)[i],
        Some(dropout) if dropout.keeps(x.cols(), t, i) => x.row(t)[i] * dropout.keep_factor(),
        Some(_) => 0.0,
    }
}

fn weight(weights: Weights<'_>, o: usize, i: usize) -> f32 {
    weights.get(o, i).unwrap_or(f32::NAN)
}

/// See [`crate::forward`]: fills `y [n, out]` and `hs [n, r]`.
///
/// # Errors
/// When a shape does not fit.
pub fn forward(
    arithmetic: Arithmetic,
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    dropout: Option<Dropout>,
    x: MatRef<'_>,
    (mut y, mut hs): (MatMut<'_>, MatMut<'_>),
) -> Result<(), Error> {
    adapter.check(base)?;
    let (n, shape) = (x.rows(), adapter.shape());
    expect_shape(Argument::X, (n, x.cols()), (n, shape.inputs))?;
    expect_shape(Argument::Y, (y.rows(), y.cols()), (n, shape.outputs))?;
    expect_shape(Argument::Saved, (hs.rows(), hs.cols()), (n, shape.rank))?;
    let bias = adapter.bias.or(base.bias);

    for t in 0..n {
        if !adapter.is_absent() {
            for k in 0..shape.rank {
                let products = (0..shape.inputs).map(|i| (adapter.a.row(k)[i], dropped(dropout, x, t, i)));
                hs.row_mut(t)[k] = adapter.scale * chain(arithmetic, 0.0, products);
            }
        }
        for o in 0..shape.outputs {
            let start = bias.map_or(0.0, |bias| bias.row(0)[o]);
            let products = (0..shape.inputs).map(|i| (weight(base.weights, o, i), x.row(t)[i]));
            let mut value = chain(arithmetic, start, products);
            if !adapter.is_absent() {
                value = chain(arithmetic, value, (0..shape.rank).map(|k| (adapter.b.row(o)[k], hs.row(t)[k])));
            }
            y.row_mut(t)[o] = value;
        }
    }
    Ok(())
}

/// Outputs of [`backward`].
#[derive(Debug)]
pub struct Gradients<'a> {
    /// `gs [n, r]`.
    pub gs: MatMut<'a>,
    /// `dA [r, in]`.
    pub a: MatMut<'a>,
    /// `dB [out, r]`.
    pub b: MatMut<'a>,
    /// `db [1, out]`.
    pub bias: MatMut<'a>,
    /// `dX [n, in]`.
    pub dx: MatMut<'a>,
}

/// Inputs of [`backward`].
#[derive(Copy, Clone, Debug)]
pub struct Signals<'a> {
    /// `X [n, in]`.
    pub x: MatRef<'a>,
    /// `dY [n, out]`.
    pub dy: MatRef<'a>,
    /// `hs [n, r]` of the forward pass.
    pub hs: MatRef<'a>,
}

/// See [`crate::backward`]: fills all gradients.
///
/// # Errors
/// When the adapter does not fit the base. The other shapes must fit; it panics where they do not.
pub fn backward(
    arithmetic: Arithmetic,
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    dropout: Option<Dropout>,
    signals: Signals<'_>,
    accum: Accum,
    grads: &mut Gradients<'_>,
) -> Result<(), Error> {
    adapter.check(base)?;
    let Signals { x, dy, hs } = signals;
    let (n, shape, absent) = (x.rows(), adapter.shape(), adapter.is_absent());
    let start = |old: f32| if accum == Accum::Add { old } else { 0.0 };

    for o in 0..shape.outputs {
        let old = start(grads.bias.row(0)[o]);
        grads.bias.row_mut(0)[o] = (0..n).fold(old, |acc, t| acc + dy.row(t)[o]);
    }
    for t in 0..n {
        for k in 0..if absent { 0 } else { shape.rank } {
            let products = (0..shape.outputs).map(|o| (adapter.b.row(o)[k], dy.row(t)[o]));
            grads.gs.row_mut(t)[k] = adapter.scale * chain(arithmetic, 0.0, products);
        }
    }
    for k in 0..shape.rank {
        for o in 0..shape.outputs {
            let products = (0..if absent { 0 } else { n }).map(|t| (dy.row(t)[o], hs.row(t)[k]));
            grads.b.row_mut(o)[k] = chain(arithmetic, start(grads.b.row(o)[k]), products);
        }
        for i in 0..shape.inputs {
            let products = (0..if absent { 0 } else { n }).map(|t| (grads.gs.row(t)[k], dropped(dropout, x, t, i)));
            let value = chain(arithmetic, start(grads.a.row(k)[i]), products);
            grads.a.row_mut(k)[i] = value;
        }
    }
    for t in 0..n {
        for i in 0..shape.inputs {
            let products = (0..shape.outputs).map(|o| (weight(base.weights, o, i), dy.row(t)[o]));
            let through_base = chain(arithmetic, 0.0, products);
            let products = (0..if absent { 0 } else { shape.rank }).map(|k| (adapter.a.row(k)[i], grads.gs.row(t)[k]));
            grads.dx.row_mut(t)[i] = match dropout {
                None => chain(arithmetic, through_base, products),
                Some(dropout) if !absent && dropout.keeps(shape.inputs, t, i) => {
                    arithmetic.step(through_base, dropout.keep_factor(), chain(arithmetic, 0.0, products))
                }
                Some(_) => through_base,
            };
        }
    }
    Ok(())
}

/// See [`crate::merge`]: fills `merged [out, in]`.
///
/// # Errors
/// When a shape does not fit.
pub fn merge(
    arithmetic: Arithmetic,
    base: &Base<'_>,
    adapter: &Adapter<'_>,
    mut merged: MatMut<'_>,
) -> Result<(), Error> {
    adapter.check(base)?;
    let shape = adapter.shape();
    expect_shape(Argument::Merged, (merged.rows(), merged.cols()), (shape.outputs, shape.inputs))?;
    let rank = if adapter.is_absent() { 0 } else { shape.rank };
    for o in 0..shape.outputs {
        for i in 0..shape.inputs {
            let products = (0..rank).map(|k| (adapter.scale * adapter.b.row(o)[k], adapter.a.row(k)[i]));
            merged.row_mut(o)[i] = chain(arithmetic, weight(base.weights, o, i), products);
        }
    }
    Ok(())
}

/// Sum of squares in the order that does not depend on the number of lanes: in each row element `j` belongs to chain
/// `j mod 16`, the chains are added pairwise 8, 4, 2 and 1 apart, then the rows one by one.
pub fn square_sum(arithmetic: Arithmetic, matrix: MatRef<'_>) -> f32 {
    let mut total = 0.0;
    for i in 0..matrix.rows() {
        let mut parts = [0.0; 16];
        for (j, &value) in matrix.row(i).iter().enumerate() {
            parts[j % 16] = arithmetic.step(parts[j % 16], value, value);
        }
        for half in [8, 4, 2, 1] {
            for j in 0..half {
                parts[j] += parts[j + half];
            }
        }
        total += parts[0];
    }
    total
}

/// See [`AdamW`]: one step on `p`, with its moments `m` and `v`, at the clock before the step. `lr` is the rate for these
/// parameters. All slices have the same length. Returns the clock after the step.
pub fn adamw(
    hyper: &AdamW,
    lr: f32,
    clock: Clock,
    p: &mut [f32],
    g: &[f32],
    (m, v): (&mut [f32], &mut [f32]),
) -> Clock {
    let (beta1, beta2) = (hyper.beta1.value(), hyper.beta2.value());
    let (rest1, rest2) = (hyper.beta1.rest(), hyper.beta2.rest());
    let first_step = clock.steps == 0;
    let old = |value: f32| if first_step { 0.0 } else { value };
    let clock = Clock {
        steps: clock.steps + 1,
        weight1: beta1 * old(clock.weight1) + rest1,
        weight2: beta2 * old(clock.weight2) + rest2,
    };
    for e in 0..p.len() {
        p[e] *= 1.0 - lr * hyper.weight_decay;
        m[e] = beta1 * old(m[e]) + rest1 * g[e];
        v[e] = beta2 * old(v[e]) + rest2 * g[e] * g[e];
        p[e] -= lr / clock.weight1 * m[e] / (sqrt(v[e]) / sqrt(clock.weight2) + hyper.epsilon);
    }
    clock
}

/// See [`Sgd`]: one step on `p`, with its momentum buffer `buf` (empty without momentum). `lr` is the rate for these
/// parameters.
pub fn sgd(hyper: &Sgd, lr: f32, first_step: bool, p: &mut [f32], g: &[f32], buf: &mut [f32]) {
    for e in 0..p.len() {
        let mut d = if hyper.weight_decay == 0.0 { g[e] } else { g[e] + hyper.weight_decay * p[e] };
        if hyper.momentum != 0.0 {
            buf[e] = if first_step { d } else { hyper.momentum * buf[e] + (1.0 - hyper.dampening) * d };
            d = if hyper.nesterov { d + hyper.momentum * buf[e] } else { buf[e] };
        }
        p[e] -= lr * d;
    }
}
