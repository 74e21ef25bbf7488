#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::torrent::Magnet;

fuzz_target!(|text: &str| {
    // A link near the limit of length may grow beyond it, being percent-encoded.
    if text.len() < 8192
        && let Ok(magnet) = text.parse::<Magnet>()
    {
        assert_eq!(magnet.to_string().parse(), Ok(magnet));
    }
});
