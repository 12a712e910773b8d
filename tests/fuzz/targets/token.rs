//! Fuzz target: the headers of a token.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lembro_fuzz::from_outside::token::check(data));
