#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::wire::ut_metadata::decode;

fuzz_target!(|bytes: &[u8]| {
    let _ = decode(bytes);
});
