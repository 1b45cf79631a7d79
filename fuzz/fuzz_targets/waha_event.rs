//! See `entry::waha_event`.
#![no_main]

#[allow(dead_code)] // the other targets' entries
#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::waha_event(data));
