//! Emit: results as callers see them, and as JSON lines and `.torrent` files show them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::SwarmPeer;
use crate::torrent::{Arm, Failure, Info, Infohash, PeerAddr, Reason};

/// What became of one wanted hash.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// The hash that was asked for.
    pub infohash: Infohash,
    /// The torrent, or why there is none.
    pub result: Result<Arc<Resolved>, Arc<Unresolved>>,
    /// From the request to the result.
    pub elapsed: Duration,
    /// Why the result is not in the store, where it should be.
    pub store_error: Option<String>,
    /// Whether the database refused just this one, and would take another.
    pub store_refused: bool,
    /// Peers that were found for it, those that were tried first; where the store had the answer, the one
    /// that gave it. Empty without [`Options::report_peers`](super::Options::report_peers).
    pub peers: Vec<SwarmPeer>,
    /// What DHT nodes said of the swarm, where they were asked.
    pub scrape: Scrape,
}

/// About how many peers a swarm has; `None` where no DHT node said (BEP 33).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Scrape {
    /// Those that have all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seeds: Option<u32>,
    /// Those that have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leeches: Option<u32>,
}

/// A torrent whose info dictionary is here, verified.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The info dictionary, read.
    pub info: Info,
    /// The info dictionary as it came: these bytes have the hash.
    pub raw: Vec<u8>,
    /// The trackers that were asked for it.
    pub trackers: Vec<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// Where metadata came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A peer, just now.
    Peer(Arm, PeerAddr),
    /// The store: it was resolved before.
    Store,
}

/// A hash that was not resolved.
#[derive(Clone, Debug)]
pub struct Unresolved {
    /// Why; of several attempts the one that came furthest.
    pub failure: Failure,
    /// How many attempts ended in each way.
    pub attempts: BTreeMap<Reason, u32>,
    /// When it may be tried again, in UTC unix milliseconds.
    pub retry_at_ms: Option<i64>,
    /// The failure says nothing about the hash: it was not tried, or its lookup in the DHT did not come to
    /// an end of its own, or we stopped.
    pub says_nothing: bool,
}

/// A [`Resolution`] as one JSON line.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    infohash: String,
    status: &'static str,
    #[serde(flatten)]
    body: Body<'a>,
    #[serde(flatten)]
    scrape: Scrape,
    elapsed_ms: u64,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Resolved {
        name: &'a str,
        size: u64,
        files: usize,
        piece_length: u64,
        private: bool,
        metadata_size: usize,
        arm: &'static str,
        peer: Option<PeerAddr>,
    },
    Failed {
        reason: Reason,
        detail: &'a str,
        attempts: &'a BTreeMap<Reason, u32>,
        retry_at: Option<String>,
    },
}

impl Resolution {
    /// The JSON line of this result.
    #[must_use]
    pub fn line(&self) -> Line<'_> {
        let (status, body) = match &self.result {
            Ok(resolved) => ("resolved", resolved.body()),
            Err(unresolved) => ("failed", unresolved.body()),
        };
        let elapsed_ms = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX);
        Line {
            infohash: self.infohash.to_string(),
            status,
            body,
            scrape: self.scrape,
            elapsed_ms,
        }
    }
}

impl Resolved {
    fn body(&self) -> Body<'_> {
        let (arm, peer) = match self.origin {
            Origin::Peer(arm, peer) => (arm.as_str(), Some(peer)),
            Origin::Store => ("store", None),
        };
        Body::Resolved {
            name: &self.info.name,
            size: self.info.size,
            files: self
                .info
                .files
                .iter()
                .filter(|file| !file.is_padding)
                .count(),
            piece_length: self.info.piece_length,
            private: self.info.private,
            metadata_size: self.raw.len(),
            arm,
            peer,
        }
    }
}

impl Unresolved {
    fn body(&self) -> Body<'_> {
        Body::Failed {
            reason: self.failure.reason,
            detail: &self.failure.detail,
            attempts: &self.attempts,
            retry_at: self.retry_at_ms.and_then(timestamp),
        }
    }
}

/// RFC 3339 in UTC, to the second.
pub(crate) fn timestamp(unix_ms: i64) -> Option<String> {
    let second = jiff::Timestamp::from_second(unix_ms.div_euclid(1000)).ok()?;
    Some(second.to_string())
}
