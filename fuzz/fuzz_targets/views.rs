//! Sizes of any kind never panic, and every constructor and every operation accepts exactly what fits.

#![no_main]

use lowrank_fuzz::data::Extended;

libfuzzer_sys::fuzz_target!(|case: Extended<lowrank_fuzz::views::Case>| case.0.check());
