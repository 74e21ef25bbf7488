//! The nodes that the crawl knows, by region of the key space.

use std::collections::HashMap;

use super::crowd::Crowd;
use super::node::{Node, NodeState};
use super::options::CrawlOptions;
use crate::torrent::PeerAddr;
use crate::wire::krpc::{NodeAddr, NodeId};

/// Nodes in a full bucket, about.
const BUCKET: usize = 96;
/// A node that must not be asked for samples for longer than this has given what it has to give.
const SPENT_MS: i64 = 10 * 60 * 1000;

/// A bounded set of nodes in buckets by the first bits of their ids. All buckets have the same
/// capacity, and turns go round over them, so that no region of the key space starves.
#[derive(Debug)]
pub(super) struct Frontier {
    buckets: Vec<Bucket>,
    bits: u32,
    capacity: usize,
    crowd: Crowd,
    /// The bucket of each endpoint.
    places: HashMap<PeerAddr, usize>,
    ids: HashMap<NodeId, PeerAddr>,
    /// Whose turn it is.
    turn: usize,
    /// Prefixes in the order in which nodes are searched there; the next one is last.
    emptiest: Vec<usize>,
}

#[derive(Debug, Default)]
struct Bucket {
    nodes: Vec<Node>,
    /// No node may be asked for samples before.
    due_ms: i64,
    /// How often nodes were searched here.
    searched: usize,
}

/// What became of a node that was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// It is in the frontier now.
    New,
    /// Its endpoint, or its id at another endpoint, was there.
    Known,
    /// Its address is private or reserved.
    Refused,
    /// Its IP address or network has its share.
    Crowded,
    /// Its bucket is full of better ones.
    Full,
}

impl Frontier {
    pub(super) fn new(options: &CrawlOptions) -> Self {
        let bits = (options.nodes / BUCKET).max(1).ilog2().clamp(2, 12);
        let buckets = 1_usize << bits;
        Self {
            buckets: std::iter::repeat_with(Bucket::default)
                .take(buckets)
                .collect(),
            bits,
            capacity: (options.nodes / buckets).max(1),
            crowd: Crowd::new(options),
            places: HashMap::new(),
            ids: HashMap::new(),
            turn: 0,
            emptiest: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.buckets.iter().flat_map(|bucket| &bucket.nodes)
    }

    /// Nodes per bucket, each counted by `counts`.
    pub(super) fn per_prefix(&self, counts: impl Fn(&Node) -> bool) -> Vec<usize> {
        let count = |bucket: &Bucket| bucket.nodes.iter().filter(|node| counts(node)).count();
        self.buckets.iter().map(count).collect()
    }

    /// The node at an endpoint. Its bucket's turn may have come, so it is looked at anew.
    pub(super) fn get_mut(&mut self, addr: &PeerAddr) -> Option<&mut Node> {
        let bucket = self.buckets.get_mut(*self.places.get(addr)?)?;
        bucket.due_ms = 0;
        (bucket.nodes.iter_mut()).find(|node| node.record.addr == *addr)
    }

    /// Takes in a node. A full bucket gives up a bad node for it, else one that is stale, else one
    /// that has given what it has; half of its places stay with nodes that answer.
    pub(super) fn meet(&mut self, node: Node, now_ms: i64) -> Met {
        let NodeAddr { id, addr } = node.addr();
        if !self.crowd.allows(&addr) {
            return Met::Refused;
        }
        if self.places.contains_key(&addr) || self.ids.contains_key(&id) {
            return Met::Known;
        }
        if !self.crowd.has_room(&addr) {
            return Met::Crowded;
        }
        let prefix = self.prefix(&id);
        let Some(bucket) = self.buckets.get(prefix) else {
            return Met::Full;
        };
        if bucket.nodes.len() >= self.capacity {
            let Some(victim) = bucket.victim(self.capacity / 2, now_ms) else {
                return Met::Full;
            };
            self.remove(&victim);
        }
        if let Some(bucket) = self.buckets.get_mut(prefix) {
            bucket.due_ms = 0;
            bucket.nodes.push(node);
            self.crowd.add(&addr);
            self.places.insert(addr, prefix);
            self.ids.insert(id, addr);
        }
        Met::New
    }

    /// Takes a node out.
    pub(super) fn remove(&mut self, addr: &PeerAddr) -> Option<Node> {
        let prefix = self.places.remove(addr)?;
        let bucket = self.buckets.get_mut(prefix)?;
        let at = (bucket.nodes.iter()).position(|node| node.record.addr == *addr)?;
        let node = bucket.nodes.swap_remove(at);
        self.crowd.remove(addr);
        self.ids.remove(&node.record.id);
        Some(node)
    }

    /// The node at an endpoint has another id than the one it was named with.
    pub(super) fn rename(&mut self, addr: &PeerAddr, id: NodeId, now_ms: i64) -> Met {
        let Some(mut node) = self.remove(addr) else {
            return Met::Known;
        };
        node.record.id = id;
        self.meet(node, now_ms)
    }

    /// Whose turn it is to be asked for samples: from the next bucket that has a node for it, first
    /// those that never were, then those that gave new ones the last time, the longest waiting first.
    pub(super) fn next_for_samples(&mut self, now_ms: i64) -> Option<&mut Node> {
        let buckets = self.buckets.len();
        let found = (0..buckets).find_map(|step| {
            let at = (self.turn + step) % buckets;
            let bucket = self.buckets.get_mut(at)?;
            if bucket.due_ms > now_ms {
                return None;
            }
            let best = (bucket.nodes.iter().enumerate())
                .filter(|(_, node)| node.sample_at_ms() <= now_ms)
                .min_by_key(|(_, node)| {
                    let record = &node.record;
                    (
                        record.queries > 0,
                        node.stale_samples,
                        record.next_sample_at_ms,
                    )
                });
            if best.is_none() {
                bucket.due_ms = (bucket.nodes.iter().map(Node::sample_at_ms))
                    .min()
                    .unwrap_or(i64::MAX);
            }
            best.map(|(node, _)| (at, node))
        });
        let (at, node) = found?;
        self.turn = (at + 1) % buckets;
        self.buckets.get_mut(at)?.nodes.get_mut(node)
    }

    /// The node to ask for others close to `target`: the closest that is known to answer and may be asked, and
    /// where none answers, as at the start, any.
    pub(super) fn next_for_nodes(&mut self, target: &NodeId, now_ms: i64) -> Option<&mut Node> {
        let prefix = self.prefix(target);
        let mut any = None;
        // Distance is XOR: this goes over the buckets from the closest to the farthest.
        for distance in 0..self.buckets.len() {
            let bucket = self.buckets.get(prefix ^ distance)?;
            let free = (bucket.nodes.iter()).filter(|n| !n.asked && n.ask_at_ms <= now_ms);
            let closest = (free
                .clone()
                .filter(|n| n.record.answers > 0 && n.state(now_ms) != NodeState::Bad))
            .min_by_key(|node| node.record.id.distance(target));
            if let Some(node) = closest {
                let addr = node.record.addr;
                return self.get_mut(&addr);
            }
            any = any.or_else(|| free.clone().next().map(|node| node.record.addr));
        }
        let addr = any?;
        self.get_mut(&addr)
    }

    /// Nodes that answered the last time, `count` at the most, from the closest to `point` on.
    pub(super) fn closest(&self, point: &NodeId, count: usize) -> Vec<NodeAddr> {
        let prefix = self.prefix(point);
        let mut closest: Vec<NodeAddr> = Vec::new();
        for distance in 0..self.buckets.len() {
            if closest.len() >= count {
                break;
            }
            let nodes = (self.buckets.get(prefix ^ distance)).map_or(&[][..], |b| &b.nodes);
            let mut nodes: Vec<NodeAddr> = (nodes.iter().filter(|node| node.answered_last()))
                .map(Node::addr)
                .collect();
            nodes.sort_unstable_by_key(|node| node.id.distance(point));
            closest.extend(nodes);
        }
        closest.truncate(count);
        closest
    }

    /// A point in the part of the key space where the fewest nodes are known, counting how often
    /// some were searched there already.
    pub(super) fn empty_point(&mut self) -> NodeId {
        if self.emptiest.is_empty() {
            let mut order: Vec<usize> = (0..self.buckets.len()).collect();
            order.sort_by_key(|at| {
                (self.buckets.get(*at)).map_or(0, |bucket| bucket.nodes.len() + bucket.searched)
            });
            order.truncate(order.len().div_ceil(8));
            order.reverse();
            self.emptiest = order;
        }
        let prefix = self.emptiest.pop().unwrap_or(0);
        if let Some(bucket) = self.buckets.get_mut(prefix) {
            bucket.searched = bucket.searched.saturating_add(1);
        }
        let mut point: [u8; 20] = rand::random();
        let first = u16::try_from(prefix << (16 - self.bits)).unwrap_or(0);
        let rest = u16::from_be_bytes([point[0], point[1]]) & (u16::MAX >> self.bits);
        [point[0], point[1]] = (first | rest).to_be_bytes();
        NodeId(point)
    }

    fn prefix(&self, id: &NodeId) -> usize {
        let first = u16::from_be_bytes([id.0[0], id.0[1]]);
        usize::from(first >> (16 - self.bits))
    }
}

impl Bucket {
    /// The node that a full bucket gives up, if any.
    fn victim(&self, keep: usize, now_ms: i64) -> Option<PeerAddr> {
        let answering = self.nodes.iter().filter(|node| node.answered_last());
        let may_lose_one = answering.count() > keep;
        let rank = |node: &Node| {
            let record = &node.record;
            let spent = record.next_sample_at_ms.saturating_sub(now_ms) > SPENT_MS;
            match node.state(now_ms) {
                NodeState::Bad => Some((3, i64::from(record.failures_in_a_row))),
                NodeState::Unknown if record.queries > 0 && !node.answered_last() => {
                    Some((2, record.last_seen_ms.saturating_neg()))
                }
                _ if spent && may_lose_one => Some((1, record.next_sample_at_ms)),
                _ => None,
            }
        };
        (self.nodes.iter().filter(|node| !node.asked))
            .filter_map(|node| rank(node).map(|rank| (rank, node.record.addr)))
            .max()
            .map(|(_, addr)| addr)
    }
}

#[cfg(test)]
mod tests;
