//! Nodes that are left alone.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroUsize;

use lru::LruCache;

use crate::torrent::PeerAddr;

/// So many liars make an IP address that is left alone as a whole.
const LIARS_PER_IP: u8 = 3;
/// How long a node is left alone the first time, after no answer and after a lie. Doubled each time.
const SILENT_PAUSE_MS: i64 = 10 * 60 * 1000;
const LIAR_PAUSE_MS: i64 = 6 * 3600 * 1000;
/// The longest that a node is left alone.
const LONGEST_PAUSE_MS: i64 = 48 * 3600 * 1000;

/// Nodes that did not answer or that lied, and until when they are left alone.
///
/// Bounded: what was left alone the longest ago is forgotten first.
#[derive(Debug)]
pub(super) struct Avoided {
    key: RandomState,
    nodes: LruCache<u64, Pause>,
    liars: LruCache<IpAddr, u8>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    until_ms: i64,
    times: u8,
}

impl Avoided {
    pub(super) fn new(nodes: usize) -> Self {
        let capacity = NonZeroUsize::new(nodes).unwrap_or(NonZeroUsize::MIN);
        Self {
            key: RandomState::new(),
            nodes: LruCache::new(capacity),
            liars: LruCache::new(capacity),
        }
    }

    /// Whether the node is to be left alone.
    pub(super) fn contains(&self, addr: &PeerAddr, now_ms: i64) -> bool {
        let pause = self.nodes.peek(&self.key.hash_one(addr));
        pause.is_some_and(|pause| pause.until_ms > now_ms)
            || !addr.is_local()
                && (self.liars.peek(&addr.ip())).is_some_and(|liars| *liars >= LIARS_PER_IP)
    }

    /// The node did not answer.
    pub(super) fn silent(&mut self, addr: &PeerAddr, now_ms: i64) {
        self.pause(addr, SILENT_PAUSE_MS, now_ms);
    }

    /// The node lies.
    pub(super) fn liar(&mut self, addr: &PeerAddr, now_ms: i64) {
        self.pause(addr, LIAR_PAUSE_MS, now_ms);
        let liars = self.liars.get_or_insert_mut(addr.ip(), || 0);
        *liars = liars.saturating_add(1);
    }

    /// The node was silent because the network was away.
    pub(super) fn forgive(&mut self, addr: &PeerAddr) {
        self.nodes.pop(&self.key.hash_one(addr));
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn pause(&mut self, addr: &PeerAddr, first_ms: i64, now_ms: i64) {
        let none = || Pause {
            until_ms: 0,
            times: 0,
        };
        let pause = self.nodes.get_or_insert_mut(self.key.hash_one(addr), none);
        let wait = first_ms
            .saturating_mul(1 << pause.times.min(16))
            .min(LONGEST_PAUSE_MS);
        pause.until_ms = now_ms.saturating_add(wait);
        pause.times = pause.times.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> PeerAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_node_is_left_alone_for_longer_each_time() {
        let mut avoided = Avoided::new(100);
        let node = addr("8.8.8.8:1");
        assert!(!avoided.contains(&node, 0));
        avoided.silent(&node, 0);
        assert!(avoided.contains(&node, SILENT_PAUSE_MS - 1));
        assert!(!avoided.contains(&node, SILENT_PAUSE_MS));
        avoided.silent(&node, SILENT_PAUSE_MS);
        assert!(avoided.contains(&node, 3 * SILENT_PAUSE_MS - 1));
        assert!(!avoided.contains(&addr("8.8.8.8:2"), 0));
        avoided.forgive(&node);
        assert!(!avoided.contains(&node, SILENT_PAUSE_MS));
    }

    #[test]
    fn an_ip_of_liars_is_left_alone_and_all_is_bounded() {
        let mut avoided = Avoided::new(100);
        for port in 1..=3 {
            assert!(!avoided.contains(&addr("8.8.8.8:99"), 0));
            avoided.liar(&PeerAddr::new([8, 8, 8, 8].into(), port), 0);
            avoided.liar(&PeerAddr::new([127, 0, 0, 1].into(), port), 0);
        }
        assert!(avoided.contains(&addr("8.8.8.8:99"), 0));
        assert!(!avoided.contains(&addr("127.0.0.1:99"), 0));
        for port in 1..1_000 {
            avoided.silent(&PeerAddr::new([9, 9, 9, 9].into(), port), 0);
        }
        assert_eq!(avoided.len(), 100);
    }
}
