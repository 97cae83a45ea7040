//! Adapter files: nothing crashes, and what is read is written to the same bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: lowrank_fuzz::file::Case| case.check());
