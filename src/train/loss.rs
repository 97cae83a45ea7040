//! Losses and their gradients. They compute one number at a time, so that the bits are the same everywhere. Their time is small beside
//! that of the products.

use crate::error::{Argument, Error};
use crate::kernel::elementary::{exp, ln};
use crate::lora::finite;
use crate::view::{MatMut, MatRef, expect_len, expect_shape};

/// A mean over the tokens of a batch, which may come in micro-batches.
///
/// Micro-batches give the bits of the whole batch: the sum of the losses is one chain, and every gradient is scaled by the
/// size of the batch.
///
/// ```
/// use lowrank::{MatMut, MatRef, train::MeanLoss};
/// let mut loss = MeanLoss::over(1);
/// let mut dy = [[0.0; 2]];
/// loss.softmax_cross_entropy(MatRef::from_rows(&[[0.0, 0.0]]), &[1], MatMut::from_rows(&mut dy))?;
/// assert_eq!((loss.value(), dy), (core::f32::consts::LN_2, [[0.5, -0.5]]));
/// # Ok::<(), lowrank::Error>(())
/// ```
///
/// The fields are public for callers that keep the mean between two micro-batches in a form of their own.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct MeanLoss {
    /// The losses of the tokens that were seen have this sum.
    pub sum: f32,
    /// The batch has so many tokens.
    pub tokens: usize,
    /// So many tokens were seen.
    pub seen: usize,
}

/// Returns the mean of [`MeanLoss::softmax_cross_entropy`] over a whole batch, and writes its gradient: `logits [n, classes]`,
/// `labels [n]`, `grad [n, classes]`.
///
/// # Errors
/// As [`MeanLoss::softmax_cross_entropy`].
///
/// ```
/// let mut dy = [[0.0; 2]];
/// let loss = lowrank::train::softmax_cross_entropy(&[[0.0, 0.0]], &[1], &mut dy)?;
/// assert_eq!((loss, dy), (core::f32::consts::LN_2, [[0.5, -0.5]]));
/// # Ok::<(), lowrank::Error>(())
/// ```
pub fn softmax_cross_entropy<'y, 'd>(
    logits: impl Into<MatRef<'y>>,
    labels: &[u32],
    grad: impl Into<MatMut<'d>>,
) -> Result<f32, Error> {
    let logits = logits.into();
    let mut loss = MeanLoss::over(logits.rows());
    loss.softmax_cross_entropy(logits, labels, grad.into())?;
    Ok(loss.value())
}

/// Returns the mean of [`MeanLoss::mean_squared_error`] over a whole batch, and writes its gradient. All matrices are `[n, outputs]`.
///
/// # Errors
/// As [`MeanLoss::mean_squared_error`].
pub fn mean_squared_error<'y, 't, 'd>(
    prediction: impl Into<MatRef<'y>>,
    target: impl Into<MatRef<'t>>,
    grad: impl Into<MatMut<'d>>,
) -> Result<f32, Error> {
    let prediction = prediction.into();
    let mut loss = MeanLoss::over(prediction.rows());
    loss.mean_squared_error(prediction, target.into(), grad.into())?;
    Ok(loss.value())
}

impl MeanLoss {
    /// Starts a mean over `tokens` tokens, none of which was seen yet.
    pub const fn over(tokens: usize) -> Self {
        Self { sum: 0.0, tokens, seen: 0 }
    }

    /// Returns the mean so far: the sum of the losses that were seen, over all tokens of the batch. It is 0 for a batch without tokens.
    pub fn value(&self) -> f32 {
        // One division in any case: around one, compilers compute 0/0 and throw it away, which raises the invalid flag.
        let sum = if self.tokens == 0 { 0.0 } else { self.sum };
        sum / self.tokens.max(1) as f32
    }

    /// # Errors
    /// [`Error::TooMany`] when the batch has no room for `n` more tokens.
    fn check_room(&self, n: usize) -> Result<(), Error> {
        let at_most = self.tokens.saturating_sub(self.seen);
        if n <= at_most { Ok(()) } else { Err(Error::TooMany { argument: Argument::Tokens, at_most, got: n }) }
    }

    /// Adds the softmax cross-entropy of tokens with one label each, and writes its gradient.
    ///
    /// `logits [n, classes]`, `labels [n]` and `grad [n, classes]` are as in `torch.nn.functional.cross_entropy`. With `m` the largest logit
    /// and `e = exp(z - m)`, `loss[t] = ln(Σ e) - (z[label] - m)` and `grad[t,c] = (e[c]/Σ e - [c = label])·(1/tokens)`. Sums ascend, and
    /// every operation is rounded on its own.
    ///
    /// # Errors
    /// [`Error::Rows`], [`Error::Cols`], [`Error::Length`]; [`Error::Label`]; [`Error::NonFinite`] when a logit is infinite
    /// or NaN; [`Error::TooMany`] when there are more tokens than the mean is over. Nothing is written then.
    pub fn softmax_cross_entropy(
        &mut self,
        logits: MatRef<'_>,
        labels: &[u32],
        mut grad: MatMut<'_>,
    ) -> Result<(), Error> {
        let (n, classes) = (logits.rows(), logits.cols());
        expect_len(Argument::Labels, labels.len(), n)?;
        expect_shape(Argument::LossGrad, (grad.rows(), grad.cols()), (n, classes))?;
        for (index, &got) in labels.iter().enumerate() {
            if got as usize >= classes {
                return Err(Error::Label { index, classes, got });
            }
        }
        finite(Argument::Y, &logits)?;
        self.check_room(n)?;
        self.seen += n;

        // Without tokens there is no gradient to weigh.
        let weight = 1.0 / self.tokens.max(1) as f32;
        for (t, &label) in labels.iter().enumerate() {
            let (row, out) = (logits.row(t), grad.row_mut(t));
            let largest = row.iter().fold(f32::NEG_INFINITY, |m, &z| m.max(z));
            let mut sum = 0.0;
            for (to, &z) in out.iter_mut().zip(row) {
                *to = exp(z - largest);
                sum += *to;
            }
            let at_label = row.get(label as usize).copied().unwrap_or(largest);
            self.sum += ln(sum) - (at_label - largest);
            for (c, to) in out.iter_mut().enumerate() {
                let target = if c == label as usize { 1.0 } else { 0.0 };
                *to = (*to / sum - target) * weight;
            }
        }
        Ok(())
    }

    /// Adds the mean squared error over all elements, and writes its gradient.
    ///
    /// `prediction`, `target` and `grad` are `[n, outputs]`. With `d = prediction - target`, `loss[t] = (Σ d²)/outputs` and
    /// `grad[t,o] = d·(2/(tokens·outputs))`. Sums ascend, and every operation is rounded on its own. This is
    /// `torch.nn.functional.mse_loss`, except that the loss of a token without outputs is 0, not NaN.
    ///
    /// # Errors
    /// [`Error::Rows`], [`Error::Cols`]; [`Error::NonFinite`]; [`Error::TooMany`]. Nothing is written then.
    pub fn mean_squared_error(
        &mut self,
        prediction: MatRef<'_>,
        target: MatRef<'_>,
        mut grad: MatMut<'_>,
    ) -> Result<(), Error> {
        let (n, outputs) = (prediction.rows(), prediction.cols());
        expect_shape(Argument::Targets, (target.rows(), target.cols()), (n, outputs))?;
        expect_shape(Argument::LossGrad, (grad.rows(), grad.cols()), (n, outputs))?;
        finite(Argument::Y, &prediction)?;
        finite(Argument::Targets, &target)?;
        self.check_room(n)?;
        self.seen += n;

        // A token without outputs has a loss of 0, and no gradient.
        let (tokens, outputs) = (self.tokens.max(1) as f32, outputs.max(1) as f32);
        let weight = 2.0 / (tokens * outputs);
        for t in 0..n {
            let pairs = prediction.row(t).iter().zip(target.row(t));
            let mut sum = 0.0;
            for (to, (&p, &goal)) in grad.row_mut(t).iter_mut().zip(pairs) {
                let d = p - goal;
                sum += d * d;
                *to = d * weight;
            }
            self.sum += sum / outputs;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_whole_batch_they_are_the_mean() {
        let (outputs, targets) = ([[1.0, -2.0], [0.5, 4.0], [3.0, 3.5]], [[1.5, 0.0], [0.5, -1.0], [2.0, 0.25]]);
        let [mut grad, mut expected] = [[[7.0; 2]; 3]; 2];

        let mut mean = MeanLoss::over(3);
        mean.softmax_cross_entropy((&outputs).into(), &[1, 0, 1], (&mut expected).into()).unwrap();
        assert_eq!(softmax_cross_entropy(&outputs, &[1, 0, 1], &mut grad), Ok(mean.value()));
        assert_eq!(grad, expected);

        let mut mean = MeanLoss::over(3);
        mean.mean_squared_error((&outputs).into(), (&targets).into(), (&mut expected).into()).unwrap();
        assert_eq!(mean_squared_error(&outputs, &targets, &mut grad), Ok(mean.value()));
        assert_eq!(grad, expected);
    }
}
