//! Forward, backward and merge on every backend against the executable specification, bit for bit.

#![no_main]

use lowrank_fuzz::data::Extended;

libfuzzer_sys::fuzz_target!(|case: Extended<lowrank_fuzz::layer::Case>| case.0.check());
