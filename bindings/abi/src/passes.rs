//! Initialisation, forward and backward pass, merge, packing.

use lowrank::train::init;
use lowrank::{Scale, backward, forward, input_grads, merge, merge_finite, pack, parameter_grads};

use crate::codes::*;
use crate::error::{Fault, lowrank_error};
use crate::machine::backend_of;
use crate::matrix::*;
use crate::memory::{Number, SliceMut, StructMut};
use crate::named::lowrank_code;
use crate::saved::lowrank_saved;

pub(crate) fn scale_of(mode: u32, alpha: f32) -> Result<Scale, Fault> {
    match mode {
        LOWRANK_SCALE_DIRECT => Ok(Scale::Direct(alpha)),
        LOWRANK_SCALE_ALPHA => Ok(Scale::Alpha(alpha)),
        LOWRANK_SCALE_RANK_STABILIZED => Ok(Scale::RankStabilized(alpha)),
        got => Err(Fault::unknown(LOWRANK_ARGUMENT_SCALE, got)),
    }
}

/// The factor s of an adapter: `mode` is LOWRANK_SCALE_...
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_UNKNOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_scale(
    mode: u32,
    alpha: f32,
    rank: usize,
    scale: *mut f32,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (Number(scale),), |(scale,)| {
        *scale = scale_of(mode, alpha)?.factor(rank);
        Ok(())
    })
}

/// A uniform in [-1/√in, 1/√in), B zero: the default of PEFT. `layer_number` is below 2^30.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_TOO_MANY unless `layer_number` is below 2^30: no two layers have the same numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_init_kaiming_uniform(
    adapter: *const lowrank_adapter_mut,
    seed: u64,
    layer_number: u32,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (adapter,), |(mut adapter,)| Ok(init::kaiming_uniform(&mut adapter, seed, layer_number)?))
}

/// A normal with a standard deviation of 1/r, B zero. `layer_number` is below 2^30.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_TOO_MANY unless `layer_number` is below 2^30: no two layers have the same numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_init_gaussian(
    adapter: *const lowrank_adapter_mut,
    seed: u64,
    layer_number: u32,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (adapter,), |(mut adapter,)| Ok(init::gaussian(&mut adapter, seed, layer_number)?))
}

/// Y = X·Wᵀ + b + hs·Bᵀ with hs = s·X·Aᵀ. `x` [n, in], `y` [n, out], one token a row, up to as many as `saved` has room for.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_ROWS, LOWRANK_COLS, LOWRANK_TOO_MANY, LOWRANK_RANGE, LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_forward(
    backend: u32,
    base: *const lowrank_base,
    adapter: *const lowrank_adapter,
    x: lowrank_matrix,
    y: lowrank_matrix_mut,
    saved: *mut lowrank_saved,
    error: *mut lowrank_error,
) -> lowrank_status {
    let passed = (base, adapter, In(LOWRANK_ARGUMENT_X, x), Out(LOWRANK_ARGUMENT_Y, y), saved);
    crate::call!(error, passed, |(base, adapter, x, y, mut view)| {
        forward(backend_of(backend)?, &base, &adapter, x, y, &mut view.saved)?;
        view.keep();
        Ok(())
    })
}

/// Gradients after the last forward pass with this `saved`: `lowrank_input_grads`, then `lowrank_parameter_grads`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_ROWS, LOWRANK_COLS, LOWRANK_TOO_MANY, LOWRANK_RANGE; LOWRANK_NO_FORWARD; LOWRANK_FOR_INFERENCE;
/// LOWRANK_ABSENT_ADAPTER when the pass before ran with a scale of 0, and this one does not; LOWRANK_MISSING when dA is wanted
/// without X; LOWRANK_DEAD_ADAPTER; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_backward(
    backend: u32,
    base: *const lowrank_base,
    adapter: *const lowrank_adapter,
    flow: *const lowrank_backprop,
    saved: *mut lowrank_saved,
    grads: *const lowrank_grads,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (base, adapter, flow, saved, grads), |(base, adapter, flow, mut view, mut grads)| {
        backward(backend_of(backend)?, &base, &adapter, flow, &mut view.saved, &mut grads)?;
        view.keep();
        Ok(())
    })
}

/// The half of the backward pass that has a chain for each token: gs, and dX unless `dx` is left out.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_backward`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_input_grads(
    backend: u32,
    base: *const lowrank_base,
    adapter: *const lowrank_adapter,
    dy: lowrank_matrix,
    dx: lowrank_matrix_mut,
    saved: *mut lowrank_saved,
    error: *mut lowrank_error,
) -> lowrank_status {
    let passed = (base, adapter, In(LOWRANK_ARGUMENT_DY, dy), Maybe(Out(LOWRANK_ARGUMENT_DX, dx)), saved);
    crate::call!(error, passed, |(base, adapter, dy, dx, mut view)| {
        input_grads(backend_of(backend)?, &base, &adapter, dy, dx, &mut view.saved)?;
        view.keep();
        Ok(())
    })
}

/// The half of the backward pass that has a chain for each parameter, after `lowrank_input_grads`. `x` may be left out where A
/// is frozen.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_ROWS, LOWRANK_COLS; LOWRANK_NO_FORWARD; LOWRANK_NO_INPUT_GRADS; LOWRANK_FOR_INFERENCE; LOWRANK_MISSING when dA is
/// wanted without X; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_parameter_grads(
    backend: u32,
    x: lowrank_matrix,
    dy: lowrank_matrix,
    saved: *mut lowrank_saved,
    grads: *const lowrank_grads,
    error: *mut lowrank_error,
) -> lowrank_status {
    let passed = (Maybe(In(LOWRANK_ARGUMENT_X, x)), In(LOWRANK_ARGUMENT_DY, dy), saved, grads);
    crate::call!(error, passed, |(x, dy, view, mut grads)| {
        parameter_grads(backend_of(backend)?, x, dy, &view.saved, &mut grads.whole())?;
        Ok(())
    })
}

/// W' = W + s·B·A into `merged` [out, in]; the base stays what it was.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_ROWS, LOWRANK_COLS, LOWRANK_RANGE, LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_merge(
    backend: u32,
    base: *const lowrank_base,
    adapter: *const lowrank_adapter,
    merged: lowrank_matrix_mut,
    error: *mut lowrank_error,
) -> lowrank_status {
    let passed = (base, adapter, Out(LOWRANK_ARGUMENT_MERGED, merged));
    crate::call!(error, passed, |(base, adapter, merged)| { Ok(merge(backend_of(backend)?, &base, &adapter, merged)?) })
}

/// As `lowrank_merge`, unless an element of the result would be infinite or NaN.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_NON_FINITE, and as `lowrank_merge`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_merge_finite(
    backend: u32,
    base: *const lowrank_base,
    adapter: *const lowrank_adapter,
    merged: lowrank_matrix_mut,
    error: *mut lowrank_error,
) -> lowrank_status {
    let passed = (base, adapter, Out(LOWRANK_ARGUMENT_MERGED, merged));
    crate::call!(error, passed, |(base, adapter, merged)| {
        Ok(merge_finite(backend_of(backend)?, &base, &adapter, merged)?)
    })
}

/// Packs W [out, in] into `buffer`, out·in elements, in panels as wide as `backend` likes them, and makes `base` the layer with
/// these weights. The bias of `base` stays as it is, so it has to be set before, to null or to a bias.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_LENGTH, LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_pack(
    backend: u32,
    w: lowrank_matrix,
    buffer: *mut f32,
    buffer_len: usize,
    base: *mut lowrank_base,
    error: *mut lowrank_error,
) -> lowrank_status {
    let memory = SliceMut(LOWRANK_ARGUMENT_PACKED, buffer, buffer_len);
    let passed = (In(LOWRANK_ARGUMENT_W, w), memory, StructMut(LOWRANK_ARGUMENT_BASE, base));
    crate::call!(error, passed, |(w, memory, base)| {
        let packed = pack(backend_of(backend)?, w, memory)?;
        let (outputs, inputs) = (packed.outputs(), packed.inputs());
        let (stride, panel_width, panels) = (inputs, packed.width(), lowrank_code::of_panels(panels));
        *base = lowrank_base { weights: buffer, outputs, inputs, stride, panel_width, panels, ..*base };
        Ok(())
    })
}

/// Checks that the adapter can learn: A and B are not both zero.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_DEAD_ADAPTER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_check_alive(
    adapter: *const lowrank_adapter,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (adapter,), |(adapter,)| Ok(adapter.check_alive()?))
}

/// Checks that there is no infinity and no NaN in an adapter.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_NON_FINITE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_check_finite(
    adapter: *const lowrank_adapter,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (adapter,), |(adapter,)| Ok(adapter.check_finite()?))
}
