//! Dropout on the adapter branch: the mask as a function of seed and position, and what it adds to the passes.

mod mask;
mod passes;

pub use mask::Dropout;
pub(crate) use mask::check_layer_number;
pub(crate) use passes::Dropping;
