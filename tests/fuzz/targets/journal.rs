//! Fuzz target: the journal's file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lembro_fuzz::from_outside::journal::check(data));
