//! Fuzz target: the snapshot's file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lembro_fuzz::from_outside::snapshot::check(data));
