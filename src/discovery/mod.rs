//! Where hashes and peers come from: hints, the store, trackers, the DHT, other peers. [`Peers`]
//! merges what all of them say about one hash.

pub mod crawl;
pub mod dht;
pub mod lookup;
mod own;
mod peers;

pub use peers::{Known, Peers, Sources};
