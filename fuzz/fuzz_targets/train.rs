//! Optimizers, clipping, losses and the plan against naive loops.

#![no_main]

use lowrank_fuzz::data::Extended;

libfuzzer_sys::fuzz_target!(|case: Extended<lowrank_fuzz::train::Case>| case.0.check());
