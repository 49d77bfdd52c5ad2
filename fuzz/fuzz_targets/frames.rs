#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ibt_fuzz::run("frames", data));
