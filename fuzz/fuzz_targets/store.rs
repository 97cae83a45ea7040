//! Two slots in flash: the newest file stays as it is, and what is found is that or the one that was being saved.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: lowrank_fuzz::store::Case| case.check());
