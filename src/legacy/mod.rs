//! What the drop-in for the older crawler `dht_crawler` understands and says as that one did.

mod hash;

pub use hash::{HashError, parse_hash};
