#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::torrent::Infohash;

fuzz_target!(|text: &str| {
    if let Ok(infohash) = text.parse::<Infohash>() {
        assert_eq!(infohash.to_string().parse(), Ok(infohash));
    }
});
