#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::config::{Config, Origins, StorePlace, effective};

fuzz_target!(|text: &str| {
    match Config::parse(text) {
        // What is shown is a configuration again, but for passwords.
        Ok(config) if !matches!(config.store.url, StorePlace::At(_)) => {
            let shown = effective(&config, &Origins::new());
            let again = Config::parse(&shown).expect("what is shown can be read");
            assert_eq!(effective(&again, &Origins::new()), shown);
        }
        Ok(_) => {}
        Err(error) => assert!(!error.problems().is_empty() && !error.to_string().is_empty()),
    }
});
