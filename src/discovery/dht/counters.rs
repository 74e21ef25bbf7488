//! What has been done, counted.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::limits::Purpose;
use crate::torrent::PeerAddr;

/// What the owner of the socket adds to a query: our id, the transaction, the kind, the version.
const ENVELOPE: u64 = 48;

/// What a [`Dht`](super::Dht) and its clones have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DhtCounters {
    /// Queries sent for lookups.
    pub lookup_queries: u64,
    /// Queries sent for the crawl.
    pub crawl_queries: u64,
    /// Queries that were answered in time.
    pub answers: u64,
    /// Answers that came after the deadline, of those that were still listened for.
    pub late: u64,
    /// Queries without an answer in time.
    pub timeouts: u64,
    /// Queries answered with an error, or with what is no answer.
    pub errors: u64,
    /// Queries that were not sent: no public address, or asked too often.
    pub refused: u64,
    /// Bytes sent, with the headers of IP and UDP; what libtorrent sends for itself is not in it.
    pub bytes_out: u64,
    /// Bytes of answers, with the headers of IP and UDP.
    pub bytes_in: u64,
    /// Queries of other nodes that were observed.
    pub observed: u64,
    /// Observations that were lost: a queue was full.
    pub observed_lost: u64,
    /// Observations that were left out: their source sent too many.
    pub observed_flood: u64,
}

impl DhtCounters {
    /// Queries sent, for whatever purpose.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.lookup_queries + self.crawl_queries
    }
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    lookup_queries: Count,
    crawl_queries: Count,
    pub(super) answers: Count,
    pub(super) late: Count,
    pub(super) timeouts: Count,
    pub(super) errors: Count,
    pub(super) refused: Count,
    bytes_out: Count,
    pub(super) bytes_in: Count,
    pub(super) observed: Count,
    pub(super) observed_lost: Count,
    pub(super) observed_flood: Count,
}

impl Counters {
    pub(super) fn asked(&self, purpose: Purpose, bytes: u64) {
        match purpose {
            Purpose::Lookup => self.lookup_queries.add(1),
            Purpose::Crawl => self.crawl_queries.add(1),
        }
        self.bytes_out.add(bytes);
    }

    pub(super) fn snapshot(&self) -> DhtCounters {
        DhtCounters {
            lookup_queries: self.lookup_queries.get(),
            crawl_queries: self.crawl_queries.get(),
            answers: self.answers.get(),
            late: self.late.get(),
            timeouts: self.timeouts.get(),
            errors: self.errors.get(),
            refused: self.refused.get(),
            bytes_out: self.bytes_out.get(),
            bytes_in: self.bytes_in.get(),
            observed: self.observed.get(),
            observed_lost: self.observed_lost.get(),
            observed_flood: self.observed_flood.get(),
        }
    }
}

/// Bytes that a query takes on the wire, with what the owner of the socket adds.
pub(super) fn query_on_the_wire(to: &PeerAddr, length: usize) -> u64 {
    on_the_wire(to, length) + ENVELOPE
}

/// Bytes that a whole message takes on the wire: with the headers of UDP and IP.
pub(super) fn on_the_wire(addr: &PeerAddr, length: usize) -> u64 {
    let headers = match addr.ip() {
        IpAddr::V4(_) => 28,
        IpAddr::V6(_) => 48,
    };
    u64::try_from(length).unwrap_or(u64::MAX / 2) + headers
}
