#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::wire::bencode::{Limits, is_canonical, parse};

fuzz_target!(|bytes: &[u8]| {
    let _ = parse(bytes, Limits::INFO);
    let _ = is_canonical(bytes);
});
