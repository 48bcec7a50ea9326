#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cx3flash::fuzz::trace(data));
