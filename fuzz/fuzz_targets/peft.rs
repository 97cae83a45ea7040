//! No adapter of PEFT makes the reader panic; what it takes fits, and comes back as it was.

#![no_main]

use lowrank_fuzz::data::Extended;

libfuzzer_sys::fuzz_target!(|case: Extended<lowrank_fuzz::peft::Case>| case.0.check());
