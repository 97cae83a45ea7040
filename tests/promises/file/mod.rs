//! The adapter file: what it holds, how long it is, and that a bad one does no harm.

mod contents;
mod damage;
mod dtype;
mod fingerprint;
mod lengths;
