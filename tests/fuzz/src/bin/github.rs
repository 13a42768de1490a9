//! See `fuzz::github`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::github(data));
