//! The machine: every intrinsic of the crate, and nothing else.
//!
//! [`Simd`] is a table of a dozen operations. One file per instruction set fills it in; the kernels are written once, over
//! the table. A value of a type that implements `Simd` is a token: whoever holds it is on a CPU that has the instructions,
//! because the constructor is `unsafe` and called in one place, [`backend`].
//!
//! Both arithmetics are types too ([`Separate`], [`Fused`]), so that the choice is made once per call and never in a loop.

mod backend;
mod bytes;
mod lanes;
mod probe;
mod scalar;
pub(crate) mod target;

#[cfg(all(target_arch = "x86_64", not(lowrank_scalar_only)))]
mod avx2;
#[cfg(all(target_arch = "x86_64", not(lowrank_scalar_only)))]
mod avx512;
#[cfg(all(target_arch = "aarch64", target_feature = "neon", not(lowrank_scalar_only)))]
mod neon;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128", not(lowrank_scalar_only)))]
mod simd128;

#[cfg(test)]
mod tests;

pub use backend::{Arithmetic, Backend};
pub(crate) use bytes::{as_f32, bytes_of_f32, bytes_of_i8};
pub(crate) use lanes::{Kernel, Simd};
pub use probe::{Deviation, selftest};
pub(crate) use scalar::sqrt;
