//! See `fuzz::page_token`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::page_token(data));
