//! Steps of an optimizer, and clipping before them.

use lowrank::train::{AdamW, Beta, InPlace, Sgd, clip};

use crate::codes::*;
use crate::error::{Fault, lowrank_error};
use crate::machine::backend_of;
use crate::matrix::{lowrank_adapter_mut, lowrank_backprop, lowrank_base, lowrank_grads};
use crate::memory::{Number, Struct, structures};
use crate::saved::{lowrank_saved, lowrank_state};

/// AdamW with decoupled weight decay. `lowrank_adamw_default` gives the defaults of torch.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_adamw {
    /// Bytes of this struct.
    pub size: usize,
    /// Learning rate, at least 0.
    pub learning_rate: f32,
    /// Factor on the learning rate for B, at least 0.
    pub b_rate: f32,
    /// From 0 to below 1. In binary64, since it is 1 - beta that counts.
    pub beta1: f64,
    /// From 0 to below 1.
    pub beta2: f64,
    /// Added to the denominator, above 0.
    pub epsilon: f32,
    /// Weight decay, at least 0.
    pub weight_decay: f32,
}

/// SGD, with momentum, dampening, Nesterov's variant and weight decay if wanted.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_sgd {
    /// Bytes of this struct.
    pub size: usize,
    /// Learning rate, at least 0.
    pub learning_rate: f32,
    /// Factor on the learning rate for B, at least 0.
    pub b_rate: f32,
    /// From 0 to 1. With 0 there is no state.
    pub momentum: f32,
    /// From 0 to 1.
    pub dampening: f32,
    /// Weight decay, at least 0.
    pub weight_decay: f32,
    /// 1 for Nesterov's variant, which wants momentum without dampening; otherwise 0.
    pub nesterov: u32,
}

/// Plain SGD that applies each gradient as it is formed: no gradient buffers, no state.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_in_place {
    /// Bytes of this struct.
    pub size: usize,
    /// Learning rate, at least 0.
    pub learning_rate: f32,
    /// Factor on the learning rate for B, at least 0.
    pub b_rate: f32,
    /// Clips the norm of this layer's gradient to that; negative: not at all.
    pub max_norm: f32,
}

structures!(lowrank_adamw lowrank_sgd lowrank_in_place);

impl lowrank_adamw {
    pub(crate) const fn get(&self) -> AdamW {
        let Self { size: _, learning_rate, b_rate, beta1, beta2, epsilon, weight_decay } = *self;
        AdamW { learning_rate, b_rate, beta1: Beta::new(beta1), beta2: Beta::new(beta2), epsilon, weight_decay }
    }
}

impl lowrank_sgd {
    pub(crate) const fn get(&self) -> Result<Sgd, Fault> {
        let Self { size: _, learning_rate, b_rate, momentum, dampening, weight_decay, nesterov } = *self;
        if nesterov > 1 {
            return Err(Fault::unknown(LOWRANK_ARGUMENT_OPTIMIZER, nesterov));
        }
        Ok(Sgd { learning_rate, b_rate, momentum, dampening, weight_decay, nesterov: nesterov == 1 })
    }
}

impl lowrank_in_place {
    pub(crate) fn get(&self) -> InPlace {
        let Self { size: _, learning_rate, b_rate, max_norm } = *self;
        let max_norm = if max_norm < 0.0 { None } else { Some(max_norm) };
        InPlace { learning_rate, b_rate, max_norm }
    }
}

/// The defaults of torch.optim.AdamW.
#[unsafe(no_mangle)]
pub extern "C" fn lowrank_adamw_default() -> lowrank_adamw {
    let AdamW { learning_rate, b_rate, epsilon, weight_decay, .. } = AdamW::DEFAULT;
    let [beta1, beta2] = AdamW::BETAS;
    lowrank_adamw { size: size_of::<lowrank_adamw>(), learning_rate, b_rate, beta1, beta2, epsilon, weight_decay }
}

/// No momentum, no weight decay, a learning rate of 1e-3.
#[unsafe(no_mangle)]
pub extern "C" fn lowrank_sgd_default() -> lowrank_sgd {
    let Sgd { learning_rate, b_rate, momentum, dampening, nesterov, weight_decay } = Sgd::DEFAULT;
    let size = size_of::<lowrank_sgd>();
    lowrank_sgd { size, learning_rate, b_rate, momentum, dampening, weight_decay, nesterov: u32::from(nesterov) }
}

/// A learning rate of 1e-3, no clipping.
#[unsafe(no_mangle)]
pub extern "C" fn lowrank_in_place_default() -> lowrank_in_place {
    let InPlace { learning_rate, b_rate, max_norm } = InPlace::DEFAULT;
    lowrank_in_place { size: size_of::<lowrank_in_place>(), learning_rate, b_rate, max_norm: max_norm.unwrap_or(-1.0) }
}

/// One step for one layer: `adapter` and `state` are changed. A parameter without a gradient is left alone.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_RANGE for a setting; LOWRANK_OTHER_OPTIMIZER when the memory was planned for one that needs less; LOWRANK_ROWS,
/// LOWRANK_COLS; LOWRANK_MISSING when there is a gradient for a bias that the adapter does not have; LOWRANK_NON_FINITE when a
/// gradient is infinite or NaN; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_adamw_step(
    adamw: *const lowrank_adamw,
    backend: u32,
    adapter: *const lowrank_adapter_mut,
    grads: *const lowrank_grads,
    state: *mut lowrank_state,
    error: *mut lowrank_error,
) -> lowrank_status {
    let passed = (Struct(LOWRANK_ARGUMENT_OPTIMIZER, adamw), adapter, grads, state);
    crate::call!(error, passed, |(adamw, mut adapter, grads, mut view)| {
        adamw.get().step(backend_of(backend)?, &mut adapter, &grads, &mut view.state)?;
        view.keep();
        Ok(())
    })
}

/// One step for one layer: `adapter` and `state` are changed. A parameter without a gradient is left alone.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_adamw_step`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_sgd_step(
    sgd: *const lowrank_sgd,
    backend: u32,
    adapter: *const lowrank_adapter_mut,
    grads: *const lowrank_grads,
    state: *mut lowrank_state,
    error: *mut lowrank_error,
) -> lowrank_status {
    let passed = (Struct(LOWRANK_ARGUMENT_OPTIMIZER, sgd), adapter, grads, state);
    crate::call!(error, passed, |(sgd, mut adapter, grads, mut view)| {
        sgd.get()?.step(backend_of(backend)?, &mut adapter, &grads, &mut view.state)?;
        view.keep();
        Ok(())
    })
}

/// Backward pass and step in one, after a forward pass with this `saved`. X may be left out where A is frozen.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_backward`; LOWRANK_RANGE for a setting; LOWRANK_UNEXPECTED when the adapter has a bias; LOWRANK_NON_FINITE when
/// dY is not finite or, with clipping, when the norm is not. Nothing is written then but gs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_in_place_step(
    in_place: *const lowrank_in_place,
    backend: u32,
    base: *const lowrank_base,
    adapter: *const lowrank_adapter_mut,
    flow: *const lowrank_backprop,
    saved: *mut lowrank_saved,
    error: *mut lowrank_error,
) -> lowrank_status {
    let passed = (Struct(LOWRANK_ARGUMENT_OPTIMIZER, in_place), base, adapter, flow, saved);
    crate::call!(error, passed, |(in_place, base, mut adapter, flow, mut view)| {
        in_place.get().step(backend_of(backend)?, &base, &mut adapter, flow, &mut view.saved)?;
        view.keep();
        Ok(())
    })
}

/// The sum of the squares of all gradients of one layer. For several layers: add them, ask `lowrank_clip_factor` once, and
/// `lowrank_clip` each.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_square_sum(
    backend: u32,
    grads: *const lowrank_grads,
    square_sum: *mut f32,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (grads, Number(square_sum)), |(grads, sum)| {
        *sum = clip::square_sum(backend_of(backend)?, &grads);
        Ok(())
    })
}

/// min(1, max_norm/(√square_sum + 1e-6)).
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_RANGE when `max_norm` is not a finite number of at least 0; LOWRANK_NON_FINITE when the sum is infinite or NaN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_clip_factor(
    square_sum: f32,
    max_norm: f32,
    factor: *mut f32,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (Number(factor),), |(factor,)| {
        *factor = clip::factor(square_sum, max_norm)?;
        Ok(())
    })
}

/// Multiplies all gradients of one layer by `factor`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_clip(
    backend: u32,
    grads: *const lowrank_grads,
    factor: f32,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (grads,), |(mut grads,)| {
        clip::scale(backend_of(backend)?, &mut grads, factor);
        Ok(())
    })
}
