//! Fuzz target: the headers of a proxy.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lembro_fuzz::from_outside::forwarded::check(data));
