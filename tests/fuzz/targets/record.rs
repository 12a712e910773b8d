//! Fuzz target: the bytes of a record.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lembro_fuzz::from_outside::record::check(data));
