//! What a node counts of what it is asked.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::Conduct;

/// How many queries of each kind came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queries {
    /// `ping`.
    pub ping: u64,
    /// `find_node`.
    pub find_node: u64,
    /// `get_peers`.
    pub get_peers: u64,
    /// `announce_peer`.
    pub announce_peer: u64,
    /// `sample_infohashes`.
    pub sample_infohashes: u64,
    /// Any other.
    pub other: u64,
}

impl Queries {
    /// Of every kind.
    pub fn all(&self) -> u64 {
        self.ping
            + self.find_node
            + self.get_peers
            + self.announce_peer
            + self.sample_infohashes
            + self.other
    }
}

/// What one node is, and what it was asked.
#[derive(Clone, Debug)]
pub struct NodeReport {
    /// Where it is.
    pub addr: SocketAddr,
    /// Its id; a liar may say another.
    pub id: [u8; 20],
    /// How it behaves.
    pub conduct: Conduct,
    /// Whether it knows `sample_infohashes`.
    pub samples: bool,
    /// How many infohashes it stores.
    pub stored: usize,
    /// How often it was asked.
    pub queries: Queries,
    /// When it was asked for samples, in order.
    pub sampled_at: Vec<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    ping: AtomicU64,
    find_node: AtomicU64,
    get_peers: AtomicU64,
    announce_peer: AtomicU64,
    other: AtomicU64,
    sampled_at: Mutex<Vec<Instant>>,
    /// Those with a good token.
    pub(super) announces: AtomicU64,
}

impl Counters {
    pub(super) fn count(&self, query: &[u8]) {
        let counter = match query {
            b"ping" => &self.ping,
            b"find_node" => &self.find_node,
            b"get_peers" => &self.get_peers,
            b"announce_peer" => &self.announce_peer,
            b"sample_infohashes" => {
                self.sampled_at.lock().unwrap().push(Instant::now());
                return;
            }
            _ => &self.other,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn queries(&self) -> Queries {
        Queries {
            ping: self.ping.load(Relaxed),
            find_node: self.find_node.load(Relaxed),
            get_peers: self.get_peers.load(Relaxed),
            announce_peer: self.announce_peer.load(Relaxed),
            sample_infohashes: self.sampled_at.lock().unwrap().len() as u64,
            other: self.other.load(Relaxed),
        }
    }

    pub(super) fn sampled_at(&self) -> Vec<Instant> {
        self.sampled_at.lock().unwrap().clone()
    }
}
