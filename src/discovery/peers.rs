//! The peers of one hash, from every source, each once, filtered before anybody dials them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::lookup::Ranked;
use crate::torrent::{PeerAddr, PeerSource};

/// Peers kept per hash. Beyond a few hundred, one more address changes nothing but memory.
const CAPACITY: usize = 500;

/// What is known of one peer of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The source that named it first.
    pub source: PeerSource,
    /// How often it was named. DHT answers hold addresses that were never peers; the more nodes
    /// name one, the likelier it is real. 0: it is a node of the DHT, named as a peer by its like.
    pub reports: u32,
}

/// The peers of one hash.
#[derive(Debug)]
pub struct Peers {
    allow_local: bool,
    known: HashMap<PeerAddr, Known>,
    refused: usize,
}

impl Peers {
    /// No peers yet. Loopback and private addresses are taken only with `allow_local`: a peer list
    /// must not be able to make us talk to this host's, or this network's, own services.
    #[must_use]
    pub fn new(allow_local: bool) -> Self {
        Self {
            allow_local,
            known: HashMap::new(),
            refused: 0,
        }
    }

    /// Takes in a peer; says whether it is a new one that may be dialled.
    pub fn add(&mut self, addr: PeerAddr, source: PeerSource) -> bool {
        if !(addr.is_public() || self.allow_local && addr.is_local()) {
            self.refused += 1;
            return false;
        }
        let full = self.known.len() >= CAPACITY;
        match self.known.entry(addr) {
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                known.reports = known.reports.saturating_add(1);
                known.source = known.source.min(source);
                false
            }
            Entry::Vacant(_) if full => false,
            Entry::Vacant(entry) => {
                entry.insert(Known { source, reports: 1 });
                true
            }
        }
    }

    /// Takes in a peer whose reports were counted elsewhere, as [`Peers::add`] does. Taken in again
    /// with another number, that one counts, unless another source knows more.
    pub fn add_ranked(&mut self, peer: Ranked, source: PeerSource) -> bool {
        let before = self.get(&peer.addr).copied();
        let is_new = self.add(peer.addr, source);
        if let Some(known) = self.known.get_mut(&peer.addr) {
            known.reports = match before {
                Some(before) if before.source != source => before.reports.max(peer.reports),
                _ => peer.reports,
            };
        }
        is_new
    }

    /// What is known of `addr`.
    #[must_use]
    pub fn get(&self, addr: &PeerAddr) -> Option<&Known> {
        self.known.get(addr)
    }

    /// Every peer, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&PeerAddr, &Known)> {
        self.known.iter()
    }

    /// How many peers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many addresses were refused: private, loopback, reserved, or port 0.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> PeerAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_peer_is_new_once() {
        let mut peers = Peers::new(false);
        assert!(peers.add(addr("8.8.8.8:1"), PeerSource::Dht));
        assert!(!peers.add(addr("8.8.8.8:1"), PeerSource::Hint));
        assert!(peers.add(addr("8.8.8.8:2"), PeerSource::Dht));
        let known = peers.get(&addr("8.8.8.8:1")).unwrap();
        assert_eq!((known.reports, known.source), (2, PeerSource::Hint));
        assert_eq!(peers.len(), 2);
    }

    #[test]
    fn counted_reports_replace_each_other() {
        let mut peers = Peers::new(false);
        let ranked = |reports| Ranked {
            addr: addr("8.8.8.8:1"),
            reports,
        };
        let reports = |peers: &Peers| peers.get(&addr("8.8.8.8:1")).map(|known| known.reports);
        assert!(peers.add_ranked(ranked(2), PeerSource::Dht));
        assert!(!peers.add_ranked(ranked(7), PeerSource::Dht));
        assert_eq!(reports(&peers), Some(7));
        peers.add_ranked(ranked(0), PeerSource::Dht);
        assert_eq!(reports(&peers), Some(0), "it turned out to be a node");
        peers.add(addr("8.8.8.8:1"), PeerSource::Tracker);
        peers.add_ranked(ranked(0), PeerSource::Dht);
        assert_eq!(reports(&peers), Some(1), "but a tracker knows it");
    }

    #[test]
    fn local_addresses_need_leave_and_others_get_none() {
        let mut strict = Peers::new(false);
        let mut local = Peers::new(true);
        for text in ["127.0.0.1:80", "192.168.0.1:80", "[::1]:80"] {
            assert!(!strict.add(addr(text), PeerSource::Hint));
            assert!(local.add(addr(text), PeerSource::Hint));
        }
        for text in ["8.8.8.8:0", "224.0.0.1:80", "0.0.0.0:80"] {
            assert!(!local.add(addr(text), PeerSource::Hint), "{text}");
        }
        assert_eq!(strict.refused(), 3);
    }

    #[test]
    fn memory_is_bounded() {
        let mut peers = Peers::new(false);
        for port in 1..=2000 {
            peers.add(PeerAddr::new([8, 8, 8, 8].into(), port), PeerSource::Pex);
        }
        assert_eq!(peers.len(), CAPACITY);
    }
}
