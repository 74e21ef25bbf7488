//! What other nodes ask of ours.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::counters::Counters;
use super::presence::Presence;
use crate::torrent::PeerAddr;
use crate::wire::krpc::NodeId;

/// Observations that a receiver may lag behind.
const QUEUE: usize = 4096;
/// Bits that the hash of a `get_peers` may share with the id of who asks, or of who is asked. Nodes
/// refresh their buckets by `get_peers` for points near their own id, or near that of whom they
/// ask; no torrent is there.
const TOO_CLOSE: u32 = 24;

/// Which query was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObservedKind {
    /// Somebody looks for peers. Some of the hashes are no torrents: nodes fill their tables so.
    GetPeers,
    /// A `ping` or a `find_node`: somebody has reached our node. Observed only where that is asked for.
    Other,
    /// Somebody has the torrent: a token of ours proves that the address is not forged.
    AnnouncePeer {
        /// The port at which it listens for peers; with `implied_port`, the one the query came from.
        port: u16,
    },
}

/// A query that another node sent to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Which query.
    pub kind: ObservedKind,
    /// The infohash that it names.
    pub infohash: NodeId,
    /// Where it came from.
    pub from: PeerAddr,
    /// The id that the sender claims.
    pub node: NodeId,
}

impl Observed {
    /// The peer that an announce names.
    #[must_use]
    pub fn peer(&self) -> Option<PeerAddr> {
        match self.kind {
            ObservedKind::GetPeers | ObservedKind::Other => None,
            ObservedKind::AnnouncePeer { port } => Some(PeerAddr::new(self.from.ip(), port)),
        }
    }

    /// Whether the hash can be that of a torrent; `own` is the id of the node that was asked.
    #[must_use]
    pub fn is_plausible(&self, own: &NodeId) -> bool {
        let zero = NodeId([0; 20]);
        if self.infohash == zero || self.node == zero {
            return false;
        }
        let near = |id: &NodeId| self.infohash.shared_bits(id);
        match self.kind {
            ObservedKind::Other => false,
            ObservedKind::GetPeers => near(&self.node) < TOO_CLOSE && near(own) < TOO_CLOSE,
            ObservedKind::AnnouncePeer { port } => {
                port != 0 && self.infohash != self.node && self.infohash != *own
            }
        }
    }
}

/// Where the owner of the socket tells what it observes.
#[derive(Clone, Debug)]
pub struct ObservedSender {
    sender: broadcast::Sender<Observed>,
    counters: Arc<Counters>,
    presence: Arc<Presence>,
}

impl ObservedSender {
    pub(super) fn new(counters: Arc<Counters>, presence: Arc<Presence>) -> Self {
        Self {
            sender: broadcast::Sender::new(QUEUE),
            counters,
            presence,
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Observed> {
        self.sender.subscribe()
    }

    /// Hands on one observation.
    pub fn send(&self, observed: Observed) {
        self.counters.observed.add(1);
        if self.sender.receiver_count() == 0 {
            return;
        }
        if self.sender.len() >= QUEUE {
            self.counters.observed_lost.add(1);
        }
        let _ = self.sender.send(observed);
    }

    /// Some DHT message has come in, a query or an answer: the network is there.
    pub fn heard(&self) {
        self.presence.heard();
    }

    /// Counts observations that got lost before they came here, and those of floods.
    pub fn not_seen(&self, lost: u64, flood: u64) {
        self.counters.observed_lost.add(lost);
        self.counters.observed_flood.add(flood);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_near_the_asker_or_ourselves_are_no_torrents() {
        let own = NodeId([0xf0; 20]);
        let observed = |kind, infohash, node| Observed {
            kind,
            infohash: NodeId(infohash),
            from: "8.8.8.8:6881".parse().unwrap(),
            node: NodeId(node),
        };
        let announce = ObservedKind::AnnouncePeer { port: 1 };
        let get = ObservedKind::GetPeers;
        assert!(observed(get, [1; 20], [2; 20]).is_plausible(&own));
        assert!(!observed(get, [0; 20], [2; 20]).is_plausible(&own));
        assert!(!observed(get, [1; 20], [0; 20]).is_plausible(&own));
        let mut near = [2; 20];
        near[10] = 0xff;
        assert!(!observed(get, near, [2; 20]).is_plausible(&own));
        assert!(observed(announce, near, [2; 20]).is_plausible(&own));
        assert!(!observed(get, [0xf0; 20], [2; 20]).is_plausible(&own));
        assert!(!observed(announce, [0xf0; 20], [2; 20]).is_plausible(&own));
        let no_port = ObservedKind::AnnouncePeer { port: 0 };
        assert!(!observed(no_port, [1; 20], [2; 20]).is_plausible(&own));
    }

    #[test]
    fn who_lags_loses_the_oldest_and_it_is_counted() {
        let counters = Arc::new(Counters::default());
        let sender = ObservedSender::new(Arc::clone(&counters), Arc::new(Presence::new()));
        let observed = |number: u16| Observed {
            kind: ObservedKind::GetPeers,
            infohash: NodeId([1; 20]),
            from: PeerAddr::new([8, 8, 8, 8].into(), number),
            node: NodeId([2; 20]),
        };
        sender.send(observed(1));
        assert_eq!(counters.snapshot().observed_lost, 0);
        let mut receiver = sender.subscribe();
        for number in 0..5000 {
            sender.send(observed(number));
        }
        let counted = counters.snapshot();
        assert_eq!((counted.observed, counted.observed_lost), (5001, 904));
        assert_eq!(
            receiver.try_recv(),
            Err(broadcast::error::TryRecvError::Lagged(904))
        );
        assert_eq!(receiver.try_recv(), Ok(observed(904)));
    }
}
