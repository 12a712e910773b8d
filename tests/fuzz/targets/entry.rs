//! Fuzz target: the bytes of an entry.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lembro_fuzz::from_outside::entry::check(data));
