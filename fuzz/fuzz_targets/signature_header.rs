//! See `entry::signature_header`.
#![no_main]

#[allow(dead_code)] // the other targets' entries
#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::signature_header(data));
