//! Fuzz target: the `Cookie` header.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lembro_fuzz::from_outside::cookie::check(data));
