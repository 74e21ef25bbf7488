//! What may be sent, and who goes first.

/// What a [`Dht`](super::Dht) may send. The default is that of a good citizen: about as many packets
/// as a handful of ordinary nodes send, and little to each address.
///
/// Local addresses, where they may be asked at all, have no limit of their own: on loopback every
/// node has the same address.
#[derive(Clone, Debug, PartialEq)]
pub struct DhtLimits {
    /// Queries a second, to all nodes together; `None` for no limit.
    pub packets_per_second: Option<u32>,
    /// Bytes a second that queries may take, headers included; `None` for no limit.
    pub bytes_per_second: Option<u32>,
    /// Queries a second to one address (one /64 of IPv6), four at once; `None` for no limit.
    pub per_ip_per_second: Option<u32>,
    /// Queries that may wait for their answer at a time.
    pub in_flight: usize,
    /// The part of the above that the crawl may take, 0 to 1. Even of that it gets only what lookups
    /// leave: a lookup never waits behind the crawl.
    pub crawl_share: f64,
}

impl Default for DhtLimits {
    fn default() -> Self {
        Self {
            packets_per_second: Some(500),
            bytes_per_second: Some(100_000),
            per_ip_per_second: Some(2),
            in_flight: 1000,
            crawl_share: 0.8,
        }
    }
}

impl DhtLimits {
    /// No limit but that of memory.
    #[must_use]
    pub fn none() -> Self {
        Self {
            packets_per_second: None,
            bytes_per_second: None,
            per_ip_per_second: None,
            in_flight: 100_000,
            crawl_share: 0.8,
        }
    }

    /// The crawl's part of `all`, at least 1.
    pub(super) fn crawl_part(&self, all: usize) -> usize {
        let share = self.crawl_share.clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a part between 0 and 1 of what fits"
        )]
        let part = (all as f64 * share) as usize;
        part.max(1)
    }
}

/// What a query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody waits for the peers of a hash.
    Lookup,
    /// Hashes are looked for; nobody waits.
    Crawl,
}
