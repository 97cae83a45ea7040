//! What the fuzz targets run. A target is one line; a case describes itself (`Debug`) and checks itself.

pub mod data;
pub mod file;
pub mod in_place;
pub mod layer;
pub mod losses;
pub mod misfit;
pub mod optimizers;
pub mod peft;
pub mod store;
pub mod train;
pub mod views;

use lowrank::{Arithmetic, Backend};

/// The backends of this machine that use `arithmetic`.
pub fn backends(arithmetic: Arithmetic) -> impl Iterator<Item = Backend> {
    Backend::available().filter(move |backend| backend.arithmetic() == arithmetic)
}
