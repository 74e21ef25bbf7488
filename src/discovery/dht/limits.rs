//! What may be sent, and who goes first.

use super::counters::query_on_the_wire;
use crate::torrent::PeerAddr;
use crate::wire::krpc::{NodeId, Query, Want};

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

    /// How many queries a second the crawl may send at the most; `None` for as many as it likes.
    #[must_use]
    pub fn crawl_queries_per_second(&self) -> Option<u32> {
        let target = NodeId([0; 20]);
        let message = Query::SampleInfohashes { target }.encode(Want::Both);
        let node = PeerAddr::new([8, 8, 8, 8].into(), 1);
        let bytes = query_on_the_wire(&node, message.len()).max(1);
        let by_bytes = (self.bytes_per_second)
            .map(|limit| u32::try_from(u64::from(limit) / bytes).unwrap_or(u32::MAX));
        let all = [self.packets_per_second, by_bytes];
        let least = usize::try_from(all.into_iter().flatten().min()?).unwrap_or(usize::MAX);
        Some(u32::try_from(self.crawl_part(least)).unwrap_or(u32::MAX))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crawl_may_send_its_share_of_the_tighter_limit() {
        let limits = |packets, bytes| DhtLimits {
            packets_per_second: packets,
            bytes_per_second: bytes,
            ..DhtLimits::default()
        };
        let most = |packets, bytes| limits(packets, bytes).crawl_queries_per_second();
        assert_eq!(most(Some(500), Some(100_000)), Some(400));
        assert_eq!(most(None, None), None);
        let by_bytes = most(None, Some(20_000)).unwrap();
        assert!((80..130).contains(&by_bytes), "{by_bytes}");
        assert_eq!(most(Some(1), Some(0)), Some(1));
    }
}
