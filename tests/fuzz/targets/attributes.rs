//! Fuzz target: the attributes of a cookie.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lembro_fuzz::from_outside::attributes::check(data));
