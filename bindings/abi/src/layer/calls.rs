//! The operations of a layer.

use lowrank::train::{MeanLoss, clip};
use lowrank::{Accum, Argument, Error, Grads, MatMut, MatRef};

use super::structure::{Beside, SCALE, View, bit, call, lowrank_layer};
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
        compute: &mut dyn FnMut(&mut MeanLoss, MatRef<'_>, MatMut<'_>) -> Result<(), Error>,
    ) -> Result<(), Fault> {
        let View { y: Some(y), dy: Some(dy), layer, .. } = self else { return absent() };
        let tokens = layer.standing().batch.map_or(y.rows(), |batch| batch.tokens);
        if y.rows() != tokens {
            return Err(Error::Rows { argument: Argument::Y, expected: tokens, got: y.rows() }.into());
        }
        let mut loss = into.get();
        compute(&mut loss, y.as_ref(), dy.reborrow())?;
        into.keep(loss);
        Ok(())
    }

    /// The gradients, for what is done with them.
    fn grads(&mut self) -> Result<Grads<'_>, Fault> {
        let (_, grads) = self.layer.parts().ok_or(Error::ForInference)?;
        Ok(grads)
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
pub unsafe extern "C" fn lowrank_layer_forward(
    layer: *mut lowrank_layer,
    tokens: usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    // SAFETY: the caller's word.
    unsafe {
        call(layer, (tokens, SCALE | bit(LOWRANK_ARGUMENT_X) | bit(LOWRANK_ARGUMENT_Y)), &[], error, &mut |view| {
            let backend = view.backend();
            let View { layer, x: Some(x), y: Some(y), .. } = view else { return absent() };
            Ok(layer.forward(backend, *x, y.reborrow())?)
        })
    }
}

/// As `lowrank_backward`, from `x` and `dy` to the gradients, and to `dx` where it is not null. `accumulate` is LOWRANK_REPLACE
/// or LOWRANK_ACCUMULATE, which adds to the gradients of the backward passes since the last step.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_backward`; LOWRANK_NULL also for `dy`; LOWRANK_ROWS for dA or dB when the optimizer works in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_backward(
    layer: *mut lowrank_layer,
    tokens: usize,
    accumulate: u32,
    error: *mut lowrank_error,
) -> lowrank_status {
    // SAFETY: the caller's word.
    unsafe {
        call(layer, (tokens, SCALE | bit(LOWRANK_ARGUMENT_DY)), &[], error, &mut |view| {
            let accumulates = accum_of(accumulate)? == Accum::Add;
            let backend = view.backend();
            let View { into, layer, x, dy: Some(dy), dx, .. } = view else { return absent() };
            // There is nowhere to put a gradient.
            if into.optimizer == LOWRANK_IN_PLACE {
                return Err(Error::Rows { argument: Argument::DB, expected: into.outputs, got: 0 }.into());
            }
            // Where A is frozen, it is not read.
            let x = match x {
                None if into.trained & LOWRANK_TRAINS_A != 0 => {
                    return Err(Error::Missing { argument: Argument::X }.into());
                }
                None => MatRef::from_row(&[]),
                Some(x) => *x,
            };
            layer.set_accumulation(accumulates);
            Ok(layer.backward(backend, x, dy.as_ref(), dx.take())?)
        })
    }
}

/// As `lowrank_adamw_step`, of the gradients of the backward passes since the last step.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_adamw_step`; LOWRANK_MISSING about LOWRANK_ARGUMENT_DB when there was none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_adamw_step(
    layer: *mut lowrank_layer,
    adamw: *const lowrank_adamw,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [Beside::structure(LOWRANK_ARGUMENT_OPTIMIZER, adamw, false)];
    let step = &mut |view: &mut View<'_, '_>| {
        // SAFETY: checked, and not written.
        let adamw = unsafe { &*adamw }.get();
        Ok(view.layer.step(view.backend(), &adamw)?)
    };
    // SAFETY: the caller's word.
    unsafe { call(layer, (0, 0), &beside, error, step) }
}

/// As `lowrank_sgd_step`, of the gradients of the backward passes since the last step.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_sgd_step`; LOWRANK_MISSING about LOWRANK_ARGUMENT_DB when there was none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_sgd_step(
    layer: *mut lowrank_layer,
    sgd: *const lowrank_sgd,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [Beside::structure(LOWRANK_ARGUMENT_OPTIMIZER, sgd, false)];
    let step = &mut |view: &mut View<'_, '_>| {
        // SAFETY: checked, and not written.
        let sgd = unsafe { &*sgd }.get()?;
        Ok(view.layer.step(view.backend(), &sgd)?)
    };
    // SAFETY: the caller's word.
    unsafe { call(layer, (0, 0), &beside, error, step) }
}

/// As `lowrank_in_place_step`, from `x` and `dy` to the adapter, and to `dx` where it is not null. A and B are trained.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_in_place_step`; LOWRANK_UNEXPECTED about LOWRANK_ARGUMENT_TRAINED unless `trained` is LOWRANK_TRAINS_A;
/// LOWRANK_OTHER_OPTIMIZER unless `optimizer` is LOWRANK_IN_PLACE; LOWRANK_NULL also for `x` and `dy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_in_place_step(
    layer: *mut lowrank_layer,
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
        let View { layer, x: Some(x), dy: Some(dy), dx, .. } = view else { return absent() };
        // SAFETY: checked, and not written.
        let in_place = unsafe { &*in_place }.get();
        Ok(layer.step_in_place(backend, &in_place, *x, dy.as_ref(), dx.take())?)
    };
    // SAFETY: the caller's word.
    unsafe { call(layer, (tokens, SCALE | bit(LOWRANK_ARGUMENT_X) | bit(LOWRANK_ARGUMENT_DY)), &beside, error, step) }
}

/// As `lowrank_square_sum`, of the gradients of this layer.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_square_sum(
    layer: *mut lowrank_layer,
    square_sum: *mut f32,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [Beside::elements(LOWRANK_ARGUMENT_RESULT, square_sum, 1, true)];
    let work = &mut |view: &mut View<'_, '_>| {
        let sum = clip::square_sum(view.backend(), &view.grads()?);
        // SAFETY: checked.
        unsafe { square_sum.write(sum) };
        Ok(())
    };
    // SAFETY: the caller's word.
    unsafe { call(layer, (0, 0), &beside, error, work) }
}

/// Multiplies the gradients of this layer by what `lowrank_clip_factor` says. `square_sum` is that of all layers together.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_clip_factor`; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_clip(
    layer: *mut lowrank_layer,
    square_sum: f32,
    max_norm: f32,
    error: *mut lowrank_error,
) -> lowrank_status {
    // SAFETY: the caller's word.
    unsafe {
        call(layer, (0, 0), &[], error, &mut |view| {
            let factor = clip::factor(square_sum, max_norm)?;
            clip::scale(view.backend(), &mut view.grads()?, factor);
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
pub unsafe extern "C" fn lowrank_layer_merge(
    layer: *mut lowrank_layer,
    merged: *mut f32,
    merged_len: usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [Beside::elements(LOWRANK_ARGUMENT_MERGED, merged, merged_len, true)];
    let work = &mut |view: &mut View<'_, '_>| {
        // SAFETY: checked, with this length.
        let merged = MatMut::new(unsafe { slice_mut(merged, merged_len) }, view.into.outputs, view.into.inputs)?;
        Ok(view.layer.merge(view.backend(), merged)?)
    };
    // SAFETY: the caller's word.
    unsafe { call(layer, (0, SCALE), &beside, error, work) }
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
pub unsafe extern "C" fn lowrank_layer_softmax_cross_entropy(
    layer: *mut lowrank_layer,
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
        view.loss(loss, &mut |it, y, dy| it.softmax_cross_entropy(y, labels, dy))
    };
    // SAFETY: the caller's word.
    unsafe { call(layer, (tokens, LOSS), &beside, error, work) }
}

/// As `lowrank_mean_squared_error`, from `y` and `targets` [tokens, out] to `dy`, for `tokens` as in
/// `lowrank_layer_softmax_cross_entropy`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_mean_squared_error`; LOWRANK_LENGTH about LOWRANK_ARGUMENT_MATRIX; LOWRANK_ROWS for Y when the last forward pass
/// had another number of tokens; LOWRANK_NULL also for `y` and `dy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_mean_squared_error(
    layer: *mut lowrank_layer,
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
        view.loss(loss, &mut |it, y, dy| it.mean_squared_error(y, targets, dy))
    };
    // SAFETY: the caller's word.
    unsafe { call(layer, (tokens, LOSS), &beside, error, work) }
}
