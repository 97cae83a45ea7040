//! A layer has all its memory in one struct. One function checks everything that the struct points to, so each call is small:
//! this is the surface for where code size counts.

mod calls;
mod named;
mod structure;

pub use calls::*;
pub use named::*;
pub use structure::*;
