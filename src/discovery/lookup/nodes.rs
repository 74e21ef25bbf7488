//! Live nodes of the DHT, by where they are in the key space.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::torrent::PeerAddr;
use crate::wire::krpc::{NodeAddr, NodeId};

/// The key space is kept in as many regions, by the first byte of the id.
const REGIONS: usize = 256;

/// An address family: each has a DHT of its own (BEP 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// That of an address.
    #[must_use]
    pub fn of(addr: &PeerAddr) -> Self {
        match addr.ip() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Nodes that answered lately. Clones share them. Bounded: each part of the key space has as much
/// room, so that none is without, and the one that has been there longest makes room.
#[derive(Clone, Debug)]
pub struct Nodes {
    families: Arc<[Mutex<Regions>; 2]>,
}

#[derive(Debug)]
struct Regions {
    per_region: usize,
    /// The oldest of each region first.
    by_first_byte: Vec<VecDeque<NodeAddr>>,
    /// An address is one node.
    ids: HashMap<PeerAddr, NodeId>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self::new(16_384)
    }
}

impl Nodes {
    /// No nodes yet, and room for about `capacity` of each address family, 256 at least.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let regions = || {
            Mutex::new(Regions {
                per_region: capacity.div_ceil(REGIONS).max(1),
                by_first_byte: vec![VecDeque::new(); REGIONS],
                ids: HashMap::new(),
            })
        };
        Self {
            families: Arc::new([regions(), regions()]),
        }
    }

    fn of(&self, family: Family) -> &Mutex<Regions> {
        let [v4, v6] = &*self.families;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    /// A node is alive: it answered, under this id.
    pub fn add(&self, node: NodeAddr) {
        lock(self.of(Family::of(&node.addr))).add(node);
    }

    /// Nodes are alive.
    pub fn extend(&self, nodes: impl IntoIterator<Item = NodeAddr>) {
        for node in nodes {
            self.add(node);
        }
    }

    /// A node did not answer, or under another id.
    pub fn remove(&self, addr: &PeerAddr) {
        lock(self.of(Family::of(addr))).remove(addr);
    }

    /// The nodes that are closest to a point, `count` at most, the closest first.
    #[must_use]
    pub fn closest(&self, point: &NodeId, count: usize, family: Family) -> Vec<NodeAddr> {
        lock(self.of(family)).closest(point, count)
    }

    /// How many nodes there are, of both families.
    #[must_use]
    pub fn len(&self) -> usize {
        self.families
            .iter()
            .map(|nodes| lock(nodes).ids.len())
            .sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn region(id: &NodeId) -> usize {
    id.0.first().copied().unwrap_or_default().into()
}

impl Regions {
    fn add(&mut self, node: NodeAddr) {
        if self.ids.get(&node.addr) == Some(&node.id) {
            return;
        }
        self.remove(&node.addr);
        let per_region = self.per_region;
        let Some(region) = self.by_first_byte.get_mut(region(&node.id)) else {
            return;
        };
        if region.len() >= per_region
            && let Some(oldest) = region.pop_front()
        {
            self.ids.remove(&oldest.addr);
        }
        region.push_back(node);
        self.ids.insert(node.addr, node.id);
    }

    fn remove(&mut self, addr: &PeerAddr) {
        let Some(id) = self.ids.remove(addr) else {
            return;
        };
        if let Some(region) = self.by_first_byte.get_mut(region(&id)) {
            region.retain(|node| node.addr != *addr);
        }
    }

    fn closest(&self, point: &NodeId, count: usize) -> Vec<NodeAddr> {
        let mut nodes: Vec<NodeAddr> = Vec::new();
        // All nodes of a region are closer than all of the next one.
        for step in 0..REGIONS {
            if nodes.len() >= count {
                break;
            }
            let Some(region) = self.by_first_byte.get(region(point) ^ step) else {
                continue;
            };
            let from = nodes.len();
            nodes.extend(region);
            if let Some(new) = nodes.get_mut(from..) {
                new.sort_unstable_by_key(|node| node.id.distance(point));
            }
        }
        nodes.truncate(count);
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u16) -> NodeAddr {
        // Spread over the key space, in no order.
        let mixed = number.wrapping_mul(40_503);
        let mut id = [7; 20];
        id[..2].copy_from_slice(&mixed.to_be_bytes());
        let [high, low] = number.to_be_bytes();
        NodeAddr {
            id: NodeId(id),
            addr: PeerAddr::new([9, high, low, 1].into(), 6881),
        }
    }

    #[test]
    fn the_closest_are_found() {
        let nodes = Nodes::new(100_000);
        nodes.extend((0..2000).map(node));
        assert_eq!(nodes.len(), 2000);
        for first in [0, 1, 77, 255] {
            let point = NodeId([first; 20]);
            let mut all: Vec<_> = (0..2000).map(node).collect();
            all.sort_by_key(|node| node.id.distance(&point));
            assert_eq!(nodes.closest(&point, 20, Family::V4), all[..20]);
            assert!(nodes.closest(&point, 20, Family::V6).is_empty());
        }
    }

    #[test]
    fn an_address_is_one_node_and_is_forgotten() {
        let nodes = Nodes::default();
        nodes.add(node(1));
        nodes.add(NodeAddr {
            id: NodeId([9; 20]),
            ..node(1)
        });
        let all = nodes.closest(&NodeId([0; 20]), 8, Family::V4);
        assert_eq!(all.first().map(|node| node.id), Some(NodeId([9; 20])));
        assert_eq!(all.len(), 1);
        nodes.remove(&node(1).addr);
        assert!(nodes.is_empty());
    }

    #[test]
    fn memory_is_bounded_in_each_region() {
        let nodes = Nodes::new(512);
        nodes.extend((0..20_000).map(node));
        assert_eq!(nodes.len(), 512);
        let last = node(19_999);
        assert!(nodes.closest(&last.id, 2, Family::V4).contains(&last));
    }
}
