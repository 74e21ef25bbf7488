#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::torrent::{Info, Infohash, SanitizedNames};

fuzz_target!(|bytes: &[u8]| {
    let hash = Infohash::V1([0; 20]);
    // Any bytes as a dictionary, and any bytes as a name.
    let mut named = format!("d6:lengthi1e4:name{}:", bytes.len()).into_bytes();
    named.extend_from_slice(bytes);
    named.extend_from_slice(b"12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxe");
    for raw in [bytes, &named] {
        let names = SanitizedNames::from_info(raw, &hash);
        if Info::parse(raw).is_ok() {
            let names = names.expect("what can be parsed has names");
            assert!(!names.name.is_empty() && names.name.len() <= 252);
            assert!(!names.name.contains(['/', '\\', '\0', '\u{202e}']));
            assert!(names.files.iter().all(|(path, _)| path.starts_with(&names.name)));
        }
    }
});
