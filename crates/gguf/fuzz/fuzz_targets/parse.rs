//! Any bytes: `parse` neither panics nor takes memory that the bytes do not justify.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = gguf::parse(bytes, bytes.len() as u64);
});
