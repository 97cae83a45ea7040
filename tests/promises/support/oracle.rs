//! The formulas of low-rank adaptation in exact numbers: i64 on integers, f64 otherwise.
//!
//! Shares no code with the crate: no chains, no blocks, no views; even the dropout mask is drawn anew from its
//! documentation. The same formulas on absolute values give the sums Σ|..| that the error bounds are made of.

use std::ops::{Add, Mul, Sub};

use lowrank::{Dropout, Shape};

use super::Layer;

/// What the formulas are evaluated in.
pub(crate) trait Number: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    const ZERO: Self;
    fn exactly(x: f32) -> Self;
}

impl Number for f64 {
    const ZERO: f64 = 0.0;

    fn exactly(x: f32) -> f64 {
        f64::from(x)
    }
}

impl Number for i64 {
    const ZERO: i64 = 0;

    fn exactly(x: f32) -> i64 {
        let integer = x as i64;
        assert!(integer as f32 == x && integer.abs() <= 1 << 24, "{x} is no small integer");
        integer
    }
}

/// A layer with its inputs, in exact numbers.
#[derive(Clone, Debug)]
pub(crate) struct Exact<T> {
    pub(crate) shape: Shape,
    pub(crate) tokens: usize,
    pub(crate) w: Vec<T>,
    pub(crate) bias: Vec<T>,
    pub(crate) a: Vec<T>,
    pub(crate) b: Vec<T>,
    pub(crate) scale: T,
    pub(crate) x: Vec<T>,
    pub(crate) dy: Vec<T>,
    /// `D [n, in]`, the dropout multiplier.
    pub(crate) keep: Vec<T>,
}

/// What a layer yields, row-major.
#[derive(Clone, Debug)]
pub(crate) struct Values<T> {
    pub(crate) y: Vec<T>,
    pub(crate) hs: Vec<T>,
    pub(crate) gs: Vec<T>,
    pub(crate) da: Vec<T>,
    pub(crate) db: Vec<T>,
    pub(crate) dbias: Vec<T>,
    pub(crate) dx: Vec<T>,
    pub(crate) merged: Vec<T>,
}

/// `[rows, cols]`, each element the sum of `depth` terms.
fn sums<T: Number>(rows: usize, cols: usize, depth: usize, term: impl Fn(usize, usize, usize) -> T) -> Vec<T> {
    let mut all = Vec::with_capacity(rows * cols);
    for i in 0..rows {
        for j in 0..cols {
            all.push((0..depth).fold(T::ZERO, |sum, d| sum + term(i, j, d)));
        }
    }
    all
}

fn plus<T: Number>(left: Vec<T>, right: &[T]) -> Vec<T> {
    left.into_iter().zip(right).map(|(l, &r)| l + r).collect()
}

impl<T: Number> Exact<T> {
    pub(crate) fn new(layer: &Layer) -> Self {
        Self::map(layer, T::exactly)
    }

    /// The layer of the absolute values.
    pub(crate) fn absolute(layer: &Layer) -> Self {
        Self::map(layer, |x| T::exactly(x.abs()))
    }

    fn map(layer: &Layer, number: impl Fn(f32) -> T) -> Self {
        let all = |from: &[f32]| from.iter().map(|&x| number(x)).collect::<Vec<T>>();
        let Shape { inputs, outputs, .. } = layer.shape;
        Self {
            shape: layer.shape,
            tokens: layer.tokens,
            w: all(&layer.w),
            bias: layer.bias.as_ref().map_or(vec![T::ZERO; outputs], |bias| all(bias)),
            a: all(&layer.a),
            b: all(&layer.b),
            scale: number(layer.scale),
            x: all(&layer.x),
            dy: all(&layer.dy),
            keep: all(&multipliers(layer.dropout, layer.tokens, inputs)),
        }
    }

    /// `hs = s·X̃·Aᵀ [n, r]`
    pub(crate) fn hs(&self) -> Vec<T> {
        let Shape { inputs, rank, .. } = self.shape;
        sums(self.tokens, rank, inputs, |t, k, i| self.scale * self.a[k * inputs + i] * self.dropped(t, i))
    }

    /// `Y = X·Wᵀ + b + hs·Bᵀ [n, out]`
    pub(crate) fn y(&self, hs: &[T]) -> Vec<T> {
        let Shape { inputs, outputs, rank } = self.shape;
        let base = sums(self.tokens, outputs, inputs, |t, o, i| self.x[t * inputs + i] * self.w[o * inputs + i]);
        let bias = sums(self.tokens, outputs, 1, |_, o, _| self.bias[o]);
        plus(plus(base, &bias), &sums(self.tokens, outputs, rank, |t, o, k| hs[t * rank + k] * self.b[o * rank + k]))
    }

    /// `W + s·B·A [out, in]`
    pub(crate) fn merged(&self) -> Vec<T> {
        let Shape { inputs, outputs, rank } = self.shape;
        let update = |o, i, k| self.scale * self.b[o * rank + k] * self.a[k * inputs + i];
        plus(self.w.clone(), &sums(outputs, inputs, rank, update))
    }

    /// Everything.
    pub(crate) fn values(&self) -> Values<T> {
        let Shape { inputs, outputs, rank } = self.shape;
        let n = self.tokens;
        let hs = self.hs();
        let gs = sums(n, rank, outputs, |t, k, o| self.scale * self.dy[t * outputs + o] * self.b[o * rank + k]);
        let through_base = sums(n, inputs, outputs, |t, i, o| self.dy[t * outputs + o] * self.w[o * inputs + i]);
        let through_adapter =
            sums(n, inputs, rank, |t, i, k| gs[t * rank + k] * self.a[k * inputs + i] * self.keep[t * inputs + i]);
        Values {
            y: self.y(&hs),
            da: sums(rank, inputs, n, |k, i, t| gs[t * rank + k] * self.dropped(t, i)),
            db: sums(outputs, rank, n, |o, k, t| self.dy[t * outputs + o] * hs[t * rank + k]),
            dbias: sums(1, outputs, n, |_, o, t| self.dy[t * outputs + o]),
            dx: plus(through_base, &through_adapter),
            merged: self.merged(),
            hs,
            gs,
        }
    }

    fn dropped(&self, t: usize, i: usize) -> T {
        self.x[t * self.shape.inputs + i] * self.keep[t * self.shape.inputs + i]
    }
}

/// `D [n, in]`: 0 where the random word of a position is below `p·2³²`, `1/(1 - p)` elsewhere; 1 without dropout.
pub(crate) fn multipliers(dropout: Option<Dropout>, tokens: usize, inputs: usize) -> Vec<f32> {
    let Some(Dropout { probability: p, seed, step, layer_number: layer, first_token }) = dropout else {
        return vec![1.0; tokens * inputs];
    };
    let threshold = (f64::from(p) * 2f64.powi(32)).floor();
    let first = first_token as u128 * inputs as u128;
    (0..tokens * inputs)
        .map(|at| if word(seed, [step, layer], first + at as u128) < threshold { 0.0 } else { 1.0 / (1.0 - p) })
        .collect()
}

/// The word at a position of the Philox4x32-10 sequence.
pub(crate) fn word(seed: u64, [step, layer]: [u32; 2], position: u128) -> f64 {
    let (mut c, block) = ([0, 0, step, layer].map(u64::from), (position / 4) as u64);
    (c[0], c[1]) = (block & 0xffff_ffff, block >> 32);
    let mut key = [seed & 0xffff_ffff, seed >> 32];
    for _ in 0..10 {
        let (p0, p1) = (c[0] * 0xD251_1F53, c[2] * 0xCD9E_8D57);
        c = [(p1 >> 32) ^ c[1] ^ key[0], p1 & 0xffff_ffff, (p0 >> 32) ^ c[3] ^ key[1], p0 & 0xffff_ffff];
        key = [(key[0] + 0x9E37_79B9) & 0xffff_ffff, (key[1] + 0xBB67_AE85) & 0xffff_ffff];
    }
    c[(position % 4) as usize] as f64
}
