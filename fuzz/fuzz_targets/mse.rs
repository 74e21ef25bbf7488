//! The answers to a key exchange (MSE/PE), in parts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::wire::mse::{Initiator, Progress};

fuzz_target!(|parts: Vec<Vec<u8>>| {
    let (mut initiator, _) = Initiator::new([7; 20], vec![1; 68], false);
    for part in &parts {
        match initiator.receive(part) {
            Ok(Progress::Done(mut keys)) => {
                keys.decrypt(&mut part.clone());
                return;
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
});
