//! What a crawl needs beside itself: what one run leaves to the next, when a hash that failed may be found
//! again, and nodes that it and the lookups name each other.
//!
//! | file | what lives there |
//! |---|---|
//! | `memory`, `dht_state` | what one run leaves to the next |
//! | `again` | hashes that failed, until they may be tried again |
//! | `acquaint` | nodes of the routing table for the crawl, and of the crawl for lookups |

mod acquaint;
mod again;
mod dht_state;
mod memory;

pub(crate) use acquaint::{Acquaint, FEW_NODES};
pub(crate) use again::Again;
pub(crate) use memory::Memory;
