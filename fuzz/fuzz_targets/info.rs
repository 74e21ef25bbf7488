#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::torrent::{Info, split};

fuzz_target!(|bytes: &[u8]| {
    let _ = Info::parse(bytes);
    let _ = split(bytes);
});
