#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::wire::krpc::Answer;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(answer) = Answer::decode(bytes) {
        assert!(answer.nodes.len() <= 64 && answer.peers.len() <= 200);
        for filter in [answer.seeds, answer.leeches].into_iter().flatten() {
            assert!(filter.estimate().is_finite());
        }
    }
});
