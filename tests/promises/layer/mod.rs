//! A layer does what the free functions do, refuses every mistake, and goes on after a restart.

mod bits;
mod errors;
mod resume;
mod steps;
