//! Losses and their gradients. One number at a time, so that the bits are the same everywhere; they are no bottleneck.

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
/// Plain data, for callers that keep it between two micro-batches in a form of their own.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct MeanLoss {
    /// Of the losses of the tokens seen.
    pub sum: f32,
    /// Tokens of the batch.
    pub tokens: usize,
    /// Tokens seen.
    pub seen: usize,
}

impl MeanLoss {
    /// The mean over `tokens` tokens, none of them seen yet.
    pub const fn over(tokens: usize) -> Self {
        Self { sum: 0.0, tokens, seen: 0 }
    }

    /// The mean so far: the sum of the losses seen, over all tokens of the batch. 0 for a batch without tokens.
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

    /// Softmax cross-entropy with one label per token.
    ///
    /// `logits [n, classes]`, `labels [n]`, `grad [n, classes]`. With `m` the largest logit and `e = exp(z - m)`:
    /// `loss[t] = ln(Σ e) - (z[label] - m)`, `grad[t,c] = (e[c]/Σ e - [c = label])·(1/tokens)`, sums ascending, every
    /// operation rounded on its own. As `torch.nn.functional.cross_entropy`.
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

    /// Mean squared error over all elements.
    ///
    /// `prediction`, `target` and `grad` are `[n, outputs]`. With `d = prediction - target`:
    /// `loss[t] = (Σ d²)/outputs`, `grad[t,o] = d·(2/(tokens·outputs))`, sums ascending, every operation rounded on its own.
    /// As `torch.nn.functional.mse_loss`, except that the loss of a token without outputs is 0, not NaN.
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
