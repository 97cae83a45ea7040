//! lowrank beside what one would link instead: `gemm`, `matrixmultiply`, and the BLAS libraries of the machine.
//!
//! Used by the programs `peers` (products) and `step` (training, in turn with PyTorch and PEFT).

pub mod blas;
pub mod memory;
pub mod product;
pub mod report;
pub mod timing;
