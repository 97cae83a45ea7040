//! What a layer does beside the rest, where a call names it.

use lowrank::train::Layer;
use lowrank::{Dropout, Error};

use super::structure::{Beside, SETS_DROPOUT, View, call, lowrank_layer};
use crate::codes::*;
use crate::error::lowrank_error;
use crate::matrix::panels;
use crate::memory::slice;
use crate::named::lowrank_code;
use crate::saved::lowrank_dropout;

/// Gives a layer its dropout.
fn masks(layer: &mut Layer<'_>, dropout: Dropout) -> Result<(), Error> {
    layer.set_dropout(Some(dropout))
}

/// From now on `weights` is in panels of that many outputs, as `lowrank_pack` writes them; with 0 it is in rows. To be called after
/// `lowrank_layer_init`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_set_panels(
    layer: *mut lowrank_layer,
    panel_width: usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    let set = &mut |View { into, .. }: &mut View<'_, '_>| {
        let (outputs, inputs) = (into.outputs, into.inputs);
        if panel_width != 0 {
            // SAFETY: noted, with this length.
            panels(unsafe { slice(into.weights, outputs * inputs) }, (outputs, inputs), panel_width)?;
        }
        (into.panel_width, into.panels) = (panel_width, lowrank_code::of_panels(panels));
        Ok(())
    };
    // SAFETY: the caller's word.
    unsafe { call(layer, (0, 0), &[], error, set) }
}

/// Sets the dropout of the following forward passes and of the backward passes that belong to them; with a null `dropout` there is none.
/// To be called after `lowrank_layer_init`. From then on each step of the optimizer raises `layer.dropout.step`, and the caller may
/// change the numbers of `layer.dropout`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_RANGE unless 0 <= probability < 1; LOWRANK_TOO_MANY unless `layer_number` is below 2^30; LOWRANK_UNKNOWN,
/// LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_set_dropout(
    layer: *mut lowrank_layer,
    dropout: *const lowrank_dropout,
    error: *mut lowrank_error,
) -> lowrank_status {
    let dropout = if dropout.is_null() { &lowrank_dropout::NONE } else { dropout };
    let beside = [Beside::structure(LOWRANK_ARGUMENT_DROPOUT, dropout, false)];
    let set = &mut |view: &mut View<'_, '_>| {
        // SAFETY: checked, and not written.
        let dropout = unsafe { &*dropout };
        masks(view.layer, dropout.whole()?)?;
        (view.into.dropout, view.into.masks) = (*dropout, lowrank_code::of_layer(masks));
        Ok(())
    };
    // SAFETY: the caller's word.
    unsafe { call(layer, (0, SETS_DROPOUT), &beside, error, set) }
}
