//! Losses and their gradients, and learning-rate schedules.

use lowrank::train::{Decay, MeanLoss, Schedule};

use crate::codes::*;
use crate::error::{Fault, lowrank_error};
use crate::matrix::{In, Out, lowrank_matrix, lowrank_matrix_mut};
use crate::memory::{Number, Slice, Struct, StructMut, structures};

/// A mean over the tokens of a batch, which may come in micro-batches. Before the first of them: `sum` and `seen` are 0.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_mean_loss {
    /// Bytes of this struct.
    pub size: usize,
    /// Tokens of the batch.
    pub tokens: usize,
    /// Tokens seen.
    pub seen: usize,
    /// Of the losses of the tokens seen.
    pub sum: f32,
}

/// Linear warm-up, then a decay.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_schedule {
    /// Bytes of this struct.
    pub size: usize,
    /// Steps over which the rate rises from 0.
    pub warmup: u32,
    /// Number of the step at which the rate has fallen to 0.
    pub total: u32,
    /// How it falls: LOWRANK_DECAY_...
    pub decay: u32,
}

structures!(lowrank_mean_loss lowrank_schedule);

impl lowrank_mean_loss {
    pub(crate) const fn get(&self) -> MeanLoss {
        MeanLoss { sum: self.sum, tokens: self.tokens, seen: self.seen }
    }

    pub(crate) const fn keep(&mut self, loss: MeanLoss) {
        (self.sum, self.seen) = (loss.sum, loss.seen);
    }
}

/// The mean so far: the sum of the losses seen, over all tokens of the batch.
///
/// # Safety
/// As the page of the header says of pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_mean_loss_value(
    loss: *const lowrank_mean_loss,
    value: *mut f32,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (Struct(LOWRANK_ARGUMENT_LOSS, loss), Number(value)), |(loss, value)| {
        *value = loss.get().value();
        Ok(())
    })
}

/// Softmax cross-entropy: `logits` [n, classes], `labels` [n], `grad` [n, classes] receives the gradient of the mean.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_ROWS, LOWRANK_COLS, LOWRANK_LENGTH, LOWRANK_LABEL, LOWRANK_NON_FINITE; LOWRANK_TOO_MANY when there are more tokens
/// than the mean is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_softmax_cross_entropy(
    loss: *mut lowrank_mean_loss,
    logits: lowrank_matrix,
    labels: *const u32,
    labels_len: usize,
    grad: lowrank_matrix_mut,
    error: *mut lowrank_error,
) -> lowrank_status {
    let passed = (
        StructMut(LOWRANK_ARGUMENT_LOSS, loss),
        In(LOWRANK_ARGUMENT_Y, logits),
        Slice(LOWRANK_ARGUMENT_LABELS, labels, labels_len),
        Out(LOWRANK_ARGUMENT_LOSS_GRAD, grad),
    );
    crate::call!(error, passed, |(into, logits, labels, grad)| {
        let mut loss = into.get();
        loss.softmax_cross_entropy(logits, labels, grad)?;
        into.keep(loss);
        Ok(())
    })
}

/// Mean squared error: `prediction`, `target` and `grad` are [n, outputs]; `grad` receives the gradient of the mean.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_ROWS, LOWRANK_COLS, LOWRANK_NON_FINITE, LOWRANK_TOO_MANY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_mean_squared_error(
    loss: *mut lowrank_mean_loss,
    prediction: lowrank_matrix,
    target: lowrank_matrix,
    grad: lowrank_matrix_mut,
    error: *mut lowrank_error,
) -> lowrank_status {
    let passed = (
        StructMut(LOWRANK_ARGUMENT_LOSS, loss),
        In(LOWRANK_ARGUMENT_Y, prediction),
        In(LOWRANK_ARGUMENT_TARGETS, target),
        Out(LOWRANK_ARGUMENT_LOSS_GRAD, grad),
    );
    crate::call!(error, passed, |(into, prediction, target, grad)| {
        let mut loss = into.get();
        loss.mean_squared_error(prediction, target, grad)?;
        into.keep(loss);
        Ok(())
    })
}

/// The factor on the learning rate in step `step`, counted from 0.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_UNKNOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_schedule_factor(
    schedule: *const lowrank_schedule,
    step: u32,
    factor: *mut f32,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (Struct(LOWRANK_ARGUMENT_SCHEDULE, schedule), Number(factor)), |(schedule, factor)| {
        let decay = match schedule.decay {
            LOWRANK_DECAY_CONSTANT => Decay::Constant,
            LOWRANK_DECAY_LINEAR => Decay::Linear,
            LOWRANK_DECAY_COSINE => Decay::Cosine,
            got => return Err(Fault::unknown(LOWRANK_ARGUMENT_SCHEDULE, got)),
        };
        *factor = Schedule { warmup: schedule.warmup, total: schedule.total, decay }.factor(step);
        Ok(())
    })
}
