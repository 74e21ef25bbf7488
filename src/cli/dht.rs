//! What the DHT node may send, and how many ids it has.

use super::given::Given;
use crate::config::{Bytes, Config};

/// Limits of the DHT node.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct DhtArgs {
    /// DHT queries a second, at the most; 0 for no limit
    #[arg(long = "dht-packets", value_name = "N", default_value_t = 500)]
    packets: u32,
    /// Bytes a second that DHT queries may take; 0 for no limit
    #[arg(long = "dht-bytes", value_name = "N", default_value_t = 100_000)]
    bytes: u32,
    /// DHT queries a second to one IP address; 0 for no limit
    #[arg(long = "dht-per-ip", value_name = "N", default_value_t = 2)]
    per_ip: u32,
    /// DHT node ids, each in a region of the key space and at a port of its own
    #[arg(long = "dht-identities", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=32))]
    identities: u8,
}

impl DhtArgs {
    /// Brings what was given into the configuration.
    pub(super) fn apply(self, given: &Given, config: &mut Config) {
        let dht = &mut config.dht;
        if given.has("packets") {
            dht.packets = self.packets;
        }
        if given.has("bytes") {
            dht.bytes = Bytes(self.bytes);
        }
        if given.has("per_ip") {
            dht.per_ip = self.per_ip;
        }
        if given.has("identities") {
            dht.identities = self.identities;
        }
    }

    /// Queries, bytes, queries to one address, ids.
    #[cfg(test)]
    pub(super) fn values(self) -> (u32, u32, u32, u8) {
        (self.packets, self.bytes, self.per_ip, self.identities)
    }
}
