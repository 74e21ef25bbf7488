//! When each node may be asked for samples again.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, RandomState};

use super::seen::Same;
use crate::torrent::PeerAddr;
use crate::wire::krpc::NodeId;

/// The nodes that were asked for samples, by endpoint and by id, until their interval has passed.
///
/// It outlives the node's place in the frontier: a node that was dropped and is named again must
/// wait all the same. 64-bit fingerprints under a key of this process; two that collide make one
/// node wait for nothing.
#[derive(Debug)]
pub(super) struct Visited {
    key: RandomState,
    capacity: usize,
    /// To the second after which the node may be asked, counted from `epoch_ms`.
    until: HashMap<u64, u32, BuildHasherDefault<Same>>,
    epoch_ms: i64,
    /// No purge before this second: each goes through all entries.
    purge_at: u32,
}

/// Seconds between two purges of a full table.
const PURGE_EVERY: u32 = 30;

impl Visited {
    /// For `nodes` nodes, times counted from `now_ms`.
    pub(super) fn new(nodes: usize, now_ms: i64) -> Self {
        Self {
            key: RandomState::new(),
            capacity: nodes.saturating_mul(2),
            until: HashMap::default(),
            epoch_ms: now_ms,
            purge_at: 0,
        }
    }

    /// The time before which a node at this endpoint, or with this id, must not be asked, if that is
    /// known and not past.
    pub(super) fn until_ms(&self, addr: &PeerAddr, id: &NodeId, now_ms: i64) -> Option<i64> {
        let seconds = |key: u64| self.until.get(&key).copied();
        let until = seconds(self.key.hash_one(addr)).max(seconds(self.key.hash_one(id)))?;
        let until_ms = self.epoch_ms.saturating_add(i64::from(until) * 1000);
        (until_ms > now_ms).then_some(until_ms)
    }

    /// Whether there is room for one more node.
    pub(super) fn has_room(&mut self, now_ms: i64) -> bool {
        if self.until.len().saturating_add(2) <= self.capacity {
            return true;
        }
        let now = self.seconds(now_ms);
        if now < self.purge_at {
            return false;
        }
        self.until.retain(|_, until| *until > now);
        self.purge_at = now.saturating_add(PURGE_EVERY);
        self.until.len().saturating_add(2) <= self.capacity
    }

    /// The node must not be asked before `until_ms`: at this endpoint, nor under its id, once that is
    /// known to be its own.
    pub(super) fn mark(&mut self, addr: &PeerAddr, id: Option<&NodeId>, until_ms: i64) {
        // Rounded up: a second too late is polite.
        let until = self.seconds(until_ms.saturating_add(999));
        self.until.insert(self.key.hash_one(addr), until);
        if let Some(id) = id {
            self.until.insert(self.key.hash_one(id), until);
        }
    }

    /// Nodes that are remembered.
    pub(super) fn len(&self) -> usize {
        self.until.len() / 2
    }

    fn seconds(&self, time_ms: i64) -> u32 {
        let since = time_ms.saturating_sub(self.epoch_ms).max(0) / 1000;
        u32::try_from(since).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> (PeerAddr, NodeId) {
        let addr = PeerAddr::new([8, 8, 8, number].into(), 6881);
        (addr, NodeId([number; 20]))
    }

    #[test]
    fn a_node_waits_under_a_new_id_and_at_a_new_endpoint() {
        let mut visited = Visited::new(10, 5_000);
        let ((addr, id), (other_addr, other_id)) = (node(1), node(2));
        visited.mark(&addr, Some(&id), 65_500);
        for (addr, id) in [(addr, id), (addr, other_id), (other_addr, id)] {
            assert_eq!(visited.until_ms(&addr, &id, 6_000), Some(66_000));
            assert_eq!(visited.until_ms(&addr, &id, 66_000), None);
        }
        assert_eq!(visited.until_ms(&other_addr, &other_id, 6_000), None);
    }

    #[test]
    fn what_waits_is_kept_and_what_is_past_makes_room() {
        let mut visited = Visited::new(2, 0);
        for number in 0..2 {
            let (addr, id) = node(number);
            assert!(visited.has_room(0));
            visited.mark(&addr, Some(&id), 60_000);
        }
        assert!(!visited.has_room(1_000));
        let (addr, id) = node(0);
        assert!(visited.until_ms(&addr, &id, 59_000).is_some());
        assert!(visited.has_room(61_000));
        assert_eq!(visited.len(), 0);
    }
}
