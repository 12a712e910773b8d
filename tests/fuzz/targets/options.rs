//! Fuzz target: options as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lembro_fuzz::from_outside::options::check(data));
