//! Discovered hashes that wait to be taken, the most promising first.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::torrent::PeerAddr;
use crate::wire::krpc::NodeId;

/// Of each so many hashes that are taken one is a sample, if one waits: a flood of announces must
/// not starve what the crawl finds itself.
const SAMPLE_EVERY: u32 = 4;

/// How a hash was discovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiscoverySource {
    /// Somebody announced itself to us as a peer: one peer is certainly there.
    Announce,
    /// Somebody asked us for its peers.
    GetPeers,
    /// A node stores it (BEP 51).
    Sample,
}

impl DiscoverySource {
    /// All of them, the most promising first.
    pub const ALL: [Self; 3] = [Self::Announce, Self::GetPeers, Self::Sample];

    /// The name in logs, in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Announce => "announce",
            Self::GetPeers => "get_peers",
            Self::Sample => "sample",
        }
    }
}

/// An infohash that was not known before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// The infohash, in the 20 bytes that the DHT uses.
    pub infohash: NodeId,
    /// How it was discovered.
    pub source: DiscoverySource,
    /// Peers that came with it: whoever announced it.
    pub peers: Vec<PeerAddr>,
    /// Whoever sent it. The node that a sample is from stores peers of it, so a lookup starts there.
    pub from: PeerAddr,
}

/// What waits, in a queue per source. Samples and what others bring have a bound each.
#[derive(Debug)]
pub(super) struct Pending {
    announces: VecDeque<Discovered>,
    get_peers: VecDeque<Discovered>,
    /// Without peers, so that a million of them is no memory to speak of.
    samples: VecDeque<(NodeId, SocketAddr)>,
    capacity: usize,
    taken: u32,
}

impl Pending {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            announces: VecDeque::new(),
            get_peers: VecDeque::new(),
            samples: VecDeque::new(),
            capacity: capacity.max(1),
            taken: 0,
        }
    }

    /// Whether no more samples should be asked for.
    pub(super) fn is_full(&self) -> bool {
        self.samples.len() >= self.capacity
    }

    /// Whether there is room for one more. Answers that are under way when the queue gets full may
    /// fill it once more.
    pub(super) fn has_room(&self, source: DiscoverySource) -> bool {
        match source {
            // The oldest makes room.
            DiscoverySource::Announce => true,
            DiscoverySource::GetPeers => self.get_peers.len() < self.capacity,
            DiscoverySource::Sample => self.samples.len() < self.capacity.saturating_mul(2),
        }
    }

    pub(super) fn push(&mut self, discovered: Discovered) {
        match discovered.source {
            DiscoverySource::Announce => {
                if self.announces.len() >= self.capacity {
                    self.announces.pop_front();
                }
                self.announces.push_back(discovered);
            }
            DiscoverySource::GetPeers => self.get_peers.push_back(discovered),
            DiscoverySource::Sample => self
                .samples
                .push_back((discovered.infohash, discovered.from.socket_addr())),
        }
    }

    /// The next one: announces first, the newest before others, then what was asked for, then samples, but a sample each fourth
    /// time.
    pub(super) fn pop(&mut self) -> Option<Discovered> {
        self.taken = self.taken.wrapping_add(1);
        let sample = |samples: &mut VecDeque<_>| {
            let (infohash, from): (NodeId, SocketAddr) = samples.pop_front()?;
            Some(Discovered {
                infohash,
                source: DiscoverySource::Sample,
                peers: Vec::new(),
                from: from.into(),
            })
        };
        if self.taken.is_multiple_of(SAMPLE_EVERY)
            && let Some(sample) = sample(&mut self.samples)
        {
            return Some(sample);
        }
        (self.announces.pop_back())
            .or_else(|| self.get_peers.pop_front())
            .or_else(|| sample(&mut self.samples))
    }

    pub(super) fn len(&self) -> usize {
        self.announces.len() + self.get_peers.len() + self.samples.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovered(number: u8, source: DiscoverySource) -> Discovered {
        Discovered {
            infohash: NodeId([number; 20]),
            source,
            peers: Vec::new(),
            from: "8.8.8.8:1".parse().unwrap(),
        }
    }

    #[test]
    fn the_newest_announces_go_first_and_samples_do_not_starve() {
        use DiscoverySource::{Announce, GetPeers, Sample};
        let mut pending = Pending::new(10);
        for number in 0..5 {
            for source in [Sample, GetPeers, Announce] {
                pending.push(discovered(number, source));
            }
        }
        assert_eq!(pending.len(), 15);
        let order: Vec<_> = std::iter::from_fn(|| pending.pop())
            .map(|next| (next.source, next.infohash.0[0]))
            .collect();
        let first = [
            (Announce, 4),
            (Announce, 3),
            (Announce, 2),
            (Sample, 0),
            (Announce, 1),
            (Announce, 0),
            (GetPeers, 0),
            (Sample, 1),
        ];
        assert_eq!(order.get(..8), Some(&first[..]));
        assert!(pending.is_empty());
    }

    #[test]
    fn each_source_has_its_bound() {
        let mut pending = Pending::new(3);
        for source in [DiscoverySource::GetPeers, DiscoverySource::Sample] {
            let fits = (0..10).filter(|number| {
                let fits = pending.has_room(source);
                if fits {
                    pending.push(discovered(*number, source));
                }
                fits
            });
            let bound = if source == DiscoverySource::Sample {
                6
            } else {
                3
            };
            assert_eq!(fits.count(), bound);
        }
        assert!(pending.is_full());
        // Of announces the oldest go.
        let before = pending.len();
        for number in 0..10 {
            pending.push(discovered(number, DiscoverySource::Announce));
        }
        assert_eq!(pending.len(), before + 3);
        assert_eq!(pending.pop().map(|next| next.infohash.0[0]), Some(9));
    }
}
