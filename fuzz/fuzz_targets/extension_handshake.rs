#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::wire::extension::ExtensionHandshake;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(handshake) = ExtensionHandshake::decode(bytes) {
        assert_eq!(ExtensionHandshake::decode(&handshake.encode()), Ok(handshake));
    }
});
