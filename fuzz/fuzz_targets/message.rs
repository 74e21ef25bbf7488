#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::wire::message::FrameDecoder;

fuzz_target!(|bytes: &[u8]| {
    let mut frames = FrameDecoder::new(64 << 10);
    for chunk in bytes.chunks(7) {
        frames.extend(chunk);
        while let Ok(Some(_)) = frames.next() {}
    }
});
