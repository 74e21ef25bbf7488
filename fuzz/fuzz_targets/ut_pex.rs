#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::wire::ut_pex::UtPex;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(pex) = UtPex::decode(bytes) {
        // IPv4 addresses that came as IPv6 change their list once, and then nothing changes any more.
        let settled = UtPex::decode(&pex.encode()).unwrap();
        assert!(settled.added.len() <= 400 && settled.dropped.len() <= 400);
        assert_eq!(UtPex::decode(&settled.encode()), Ok(settled));
    }
});
