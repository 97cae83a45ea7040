//! Every tolerance of the promises, each with its reason. What is not here is compared bit for bit.
//!
//! u = 2⁻²⁴ is the largest relative error of one rounding to binary32. A value that passes through K roundings is off by a
//! factor between (1 - u)^K and (1 + u)^K, hence by at most γ_K = K·u/(1 - K·u) of itself (N. Higham, "Accuracy and
//! Stability of Numerical Algorithms", lemma 3.1); a sum, by at most γ_K·Σ|terms| where K counts the roundings that the
//! longest-travelled term meets. Valid while nothing overflows or becomes subnormal, which the data of the tests ensure.

use lowrank::Shape;

pub(crate) const U: f64 = 1.0 / 16_777_216.0;

/// γ_K
pub(crate) fn gamma(roundings: usize) -> f64 {
    let ku = roundings as f64 * U;
    ku / (1.0 - ku)
}

/// Where random errors are expected to end, in the same units as [`gamma`]: 2·√K·u.
///
/// The bound is met only when all K errors are as large as possible and point the same way. As independent errors,
/// uniform in ±u, each has a standard deviation of u/√3 of the partial sum that it rounds. No partial sum exceeds
/// S = Σ|terms|, so the error of the whole has a standard deviation of at most √(K/3)·u·S, and this alarm stands at 3.5 of
/// them. That is the case of one huge term; where the terms are alike and of one sign, partial sums grow like j/K·S, the
/// deviation is √K/3·u·S, and the alarm stands at 6 of them. Relative to the bound it is 2·√K·u/γ_K ≈ 2/√K: above 1, so
/// silent, for K <= 4, and at 1/16 for K = 1024.
pub(crate) fn alarm(roundings: usize) -> f64 {
    2.0 * (roundings as f64).sqrt() * U
}

/// Roundings that a term of each output can meet. A product counts 1, a sum of m terms m; scaling by s counts 1. Dropout
/// multiplies `X`, or in dX the adapter's part, once more; `D` itself is data, rounded as it is documented.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Roundings {
    pub(crate) y: usize,
    pub(crate) hs: usize,
    pub(crate) da: usize,
    pub(crate) db: usize,
    pub(crate) dbias: usize,
    pub(crate) dx: usize,
    pub(crate) merged: usize,
    /// `X·W'ᵀ + b` with a merged `W'`: a term of `W'` meets those of the merge, then those of a product of depth `in`.
    pub(crate) merged_y: usize,
}

impl Roundings {
    pub(crate) fn new(shape: Shape, tokens: usize, dropout: bool) -> Self {
        let Shape { inputs, outputs, rank } = shape;
        let more = usize::from(dropout);
        Self {
            y: inputs + rank + 2 + more,
            hs: inputs + 1 + more,
            da: tokens + outputs + 2 + more,
            db: tokens + inputs + 2 + more,
            dbias: tokens,
            dx: outputs + rank + 2 + more,
            merged: rank + 2,
            merged_y: rank + 2 + inputs + 1,
        }
    }
}

/// Gradients against central differences, relative to the largest element of the gradient's matrix.
///
/// A chain over terms of mixed signs is about as large as its partial sums, so its error has a standard deviation of about
/// √(K/3)·u of it, and the largest of a hundred elements errs by 3 to 4 of them: 1.2e-6 for K = 100, the longest here. Three
/// times that leaves room for shapes whose largest element has itself suffered cancellation. (Seen: 4.0e-7.) A wrong factor,
/// a missing term or a transposed operand errs by 1e-2 and more.
pub(crate) const GRADIENT: f64 = 4e-6;
