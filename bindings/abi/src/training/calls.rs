//! What can be done with a layer in training.

use lowrank::train::{MeanLoss, Work, clip};
use lowrank::{Argument, Backprop, Error, MatMut, MatRef, backward, forward, merge};

use super::{Beside, View, bit, call, lowrank_training};
use crate::codes::*;
use crate::error::{Fault, lowrank_error};
use crate::loss::lowrank_mean_loss;
use crate::matrix::accum_of;
use crate::memory::{slice, slice_mut};
use crate::optimizer::{lowrank_adamw, lowrank_in_place, lowrank_sgd};

/// What a loss reads and writes.
const LOSS: u32 = bit(LOWRANK_ARGUMENT_Y) | bit(LOWRANK_ARGUMENT_DY);

/// For what was checked to be there.
fn absent() -> Result<(), Fault> {
    Err(Error::Missing { argument: Argument::Matrix }.into())
}

impl View<'_, '_> {
    /// The loss of `y`, with its gradient into `dy`. After a forward pass it is over all of its tokens: of more, there is no
    /// `y`, and of fewer, the backward pass would read a `dy` that nobody wrote.
    fn loss(
        &mut self,
        into: &mut lowrank_mean_loss,
        compute: impl FnOnce(&mut MeanLoss, MatRef<'_>, MatMut<'_>) -> Result<(), Error>,
    ) -> Result<(), Fault> {
        let View { y: Some(y), dy: Some(dy), work, .. } = self else { return absent() };
        let tokens = work.saved.batch().map_or(y.rows(), |batch| batch.tokens);
        if y.rows() != tokens {
            return Err(Error::Rows { argument: Argument::Y, expected: tokens, got: y.rows() }.into());
        }
        let mut loss = into.get();
        compute(&mut loss, y.as_ref(), dy.reborrow())?;
        into.keep(loss);
        Ok(())
    }
}

/// As `lowrank_forward`, from `x` to `y`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_TOO_MANY, LOWRANK_RANGE, LOWRANK_LENGTH; LOWRANK_NULL also for `x` and `y`; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_forward(
    training: *mut lowrank_training,
    tokens: usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    // SAFETY: the caller's word.
    unsafe {
        call(training, (tokens, bit(LOWRANK_ARGUMENT_X) | bit(LOWRANK_ARGUMENT_Y)), &[], error, &mut |view| {
            let backend = view.backend();
            let View { base, work: Work { adapter, saved, .. }, x: Some(x), y: Some(y), .. } = view else {
                return absent();
            };
            Ok(forward(backend, base, &adapter.as_ref(), *x, y.reborrow(), saved)?)
        })
    }
}

/// As `lowrank_backward`, from `x` and `dy` to the gradients, and to `dx` where it is not null. `accum` is LOWRANK_REPLACE or
/// LOWRANK_ADD.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_backward`; LOWRANK_NULL also for `dy`; LOWRANK_ROWS for dA or dB when the optimizer works in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_backward(
    training: *mut lowrank_training,
    tokens: usize,
    accum: u32,
    error: *mut lowrank_error,
) -> lowrank_status {
    // SAFETY: the caller's word.
    unsafe {
        call(training, (tokens, bit(LOWRANK_ARGUMENT_DY)), &[], error, &mut |view| {
            let accum = accum_of(accum)?;
            let backend = view.backend();
            let View { base, work: Work { adapter, grads, saved, .. }, x, dy: Some(dy), dx, .. } = view else {
                return absent();
            };
            grads.accum = accum;
            let flow = Backprop { x: *x, dy: dy.as_ref(), dx: dx.take() };
            Ok(backward(backend, base, &adapter.as_ref(), flow, saved, grads)?)
        })
    }
}

/// As `lowrank_adamw_step`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_adamw_step`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_adamw(
    training: *mut lowrank_training,
    adamw: *const lowrank_adamw,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [Beside::structure(LOWRANK_ARGUMENT_OPTIMIZER, adamw, false)];
    let step = &mut |view: &mut View<'_, '_>| {
        let backend = view.backend();
        let Work { adapter, grads, state, .. } = &mut *view.work;
        // SAFETY: checked, and not written.
        let adamw = unsafe { &*adamw }.get();
        Ok(adamw.step(backend, adapter, grads, state)?)
    };
    // SAFETY: the caller's word.
    unsafe { call(training, (0, 0), &beside, error, step) }
}

/// As `lowrank_sgd_step`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_sgd_step`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_sgd(
    training: *mut lowrank_training,
    sgd: *const lowrank_sgd,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [Beside::structure(LOWRANK_ARGUMENT_OPTIMIZER, sgd, false)];
    let step = &mut |view: &mut View<'_, '_>| {
        let backend = view.backend();
        let Work { adapter, grads, state, .. } = &mut *view.work;
        // SAFETY: checked, and not written.
        let sgd = unsafe { &*sgd }.get()?;
        Ok(sgd.step(backend, adapter, grads, state)?)
    };
    // SAFETY: the caller's word.
    unsafe { call(training, (0, 0), &beside, error, step) }
}

/// As `lowrank_in_place_step`, from `x` and `dy` to the adapter, and to `dx` where it is not null. A and B are trained.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_in_place_step`; LOWRANK_UNEXPECTED about LOWRANK_ARGUMENT_TRAINED unless `trained` is LOWRANK_TRAINS_A;
/// LOWRANK_NULL also for `x` and `dy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_in_place(
    training: *mut lowrank_training,
    tokens: usize,
    in_place: *const lowrank_in_place,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [Beside::structure(LOWRANK_ARGUMENT_OPTIMIZER, in_place, false)];
    let step = &mut |view: &mut View<'_, '_>| {
        let (backend, trained) = (view.backend(), view.into.trained);
        if trained != LOWRANK_TRAINS_A {
            let (only, got) = (LOWRANK_TRAINS_A as usize, trained as usize);
            return Err(Fault::new(LOWRANK_UNEXPECTED, LOWRANK_ARGUMENT_TRAINED, only, got));
        }
        let View { base, work: Work { adapter, saved, .. }, x, dy: Some(dy), dx, .. } = view else { return absent() };
        let flow = Backprop { x: *x, dy: dy.as_ref(), dx: dx.take() };
        // SAFETY: checked, and not written.
        let in_place = unsafe { &*in_place }.get();
        Ok(in_place.step(backend, base, adapter, flow, saved)?)
    };
    // SAFETY: the caller's word.
    unsafe { call(training, (tokens, bit(LOWRANK_ARGUMENT_X) | bit(LOWRANK_ARGUMENT_DY)), &beside, error, step) }
}

/// As `lowrank_square_sum`, of the gradients of this layer.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_square_sum(
    training: *mut lowrank_training,
    square_sum: *mut f32,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [Beside::elements(LOWRANK_ARGUMENT_RESULT, square_sum, 1, true)];
    let work = &mut |view: &mut View<'_, '_>| {
        let sum = clip::square_sum(view.backend(), &view.work.grads);
        // SAFETY: checked.
        unsafe { square_sum.write(sum) };
        Ok(())
    };
    // SAFETY: the caller's word.
    unsafe { call(training, (0, 0), &beside, error, work) }
}

/// Multiplies the gradients of this layer by what `lowrank_clip_factor` says. `square_sum` is that of all layers together.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_clip_factor`; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_clip(
    training: *mut lowrank_training,
    square_sum: f32,
    max_norm: f32,
    error: *mut lowrank_error,
) -> lowrank_status {
    // SAFETY: the caller's word.
    unsafe {
        call(training, (0, 0), &[], error, &mut |view| {
            let factor = clip::factor(square_sum, max_norm)?;
            clip::scale(view.backend(), &mut view.work.grads, factor);
            Ok(())
        })
    }
}

/// As `lowrank_merge`, into `merged` [out, in] without gaps.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_merge`; LOWRANK_LENGTH about LOWRANK_ARGUMENT_MATRIX.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_merge(
    training: *mut lowrank_training,
    merged: *mut f32,
    merged_len: usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [Beside::elements(LOWRANK_ARGUMENT_MERGED, merged, merged_len, true)];
    let work = &mut |view: &mut View<'_, '_>| {
        // SAFETY: checked, with this length.
        let merged = MatMut::new(unsafe { slice_mut(merged, merged_len) }, view.into.outputs, view.into.inputs)?;
        Ok(merge(view.backend(), &view.base, &view.work.adapter.as_ref(), merged)?)
    };
    // SAFETY: the caller's word.
    unsafe { call(training, (0, 0), &beside, error, work) }
}

/// As `lowrank_softmax_cross_entropy`, from `y` and `labels` [tokens] to `dy`. After a forward pass, `tokens` are those of it;
/// before one, `y` is what the caller has put there.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_softmax_cross_entropy`; LOWRANK_LENGTH unless there is a label for each of the `tokens`; LOWRANK_ROWS for Y
/// when the last forward pass had another number of tokens; LOWRANK_NULL also for `y` and `dy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_softmax_cross_entropy(
    training: *mut lowrank_training,
    tokens: usize,
    labels: *const u32,
    labels_len: usize,
    loss: *mut lowrank_mean_loss,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [
        Beside::elements(LOWRANK_ARGUMENT_LABELS, labels, labels_len, false),
        Beside::structure(LOWRANK_ARGUMENT_LOSS, loss, true),
    ];
    let work = &mut |view: &mut View<'_, '_>| {
        // SAFETY: checked, with this length.
        let labels = unsafe { slice(labels, labels_len) };
        // SAFETY: checked.
        let loss = unsafe { &mut *loss };
        view.loss(loss, |it, y, dy| it.softmax_cross_entropy(y, labels, dy))
    };
    // SAFETY: the caller's word.
    unsafe { call(training, (tokens, LOSS), &beside, error, work) }
}

/// As `lowrank_mean_squared_error`, from `y` and `targets` [tokens, out] to `dy`, for `tokens` as in
/// `lowrank_training_softmax_cross_entropy`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_mean_squared_error`; LOWRANK_LENGTH about LOWRANK_ARGUMENT_MATRIX; LOWRANK_ROWS for Y when the last forward pass
/// had another number of tokens; LOWRANK_NULL also for `y` and `dy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_mean_squared_error(
    training: *mut lowrank_training,
    tokens: usize,
    targets: *const f32,
    targets_len: usize,
    loss: *mut lowrank_mean_loss,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [
        Beside::elements(LOWRANK_ARGUMENT_TARGETS, targets, targets_len, false),
        Beside::structure(LOWRANK_ARGUMENT_LOSS, loss, true),
    ];
    let work = &mut |view: &mut View<'_, '_>| {
        // SAFETY: checked, with this length.
        let targets = MatRef::new(unsafe { slice(targets, targets_len) }, tokens, view.into.outputs)?;
        // SAFETY: checked.
        let loss = unsafe { &mut *loss };
        view.loss(loss, |it, y, dy| it.mean_squared_error(y, targets, dy))
    };
    // SAFETY: the caller's word.
    unsafe { call(training, (tokens, LOSS), &beside, error, work) }
}
