//! The peers of one hash, from every source, each once, filtered before anybody dials them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::lookup::Ranked;
use super::own;
use crate::torrent::{PeerAddr, PeerSource};

/// Peers kept per hash. Beyond a few hundred, one more address changes nothing but memory.
const CAPACITY: usize = 500;
/// Of them, those that only other peers have named (BEP 11): anybody can name anything.
const MOST_NAMED: usize = 250;
/// Of these, those that peers at one address have named. BEP 11 has 50 to a message.
const MOST_NAMED_BY_ONE: usize = 100;

/// The sources that named a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources(u8);

impl Sources {
    /// This one alone.
    #[must_use]
    pub fn of(source: PeerSource) -> Self {
        Self(Self::bit(source))
    }

    fn add(&mut self, source: PeerSource) {
        self.0 |= Self::bit(source);
    }

    /// Each of them, those that are worth most first.
    pub fn iter(self) -> impl Iterator<Item = PeerSource> {
        let all = PeerSource::ALL.into_iter();
        all.filter(move |source| self.0 & Self::bit(*source) != 0)
    }

    fn bit(source: PeerSource) -> u8 {
        match source {
            PeerSource::Hint => 1,
            PeerSource::Remembered => 1 << 1,
            PeerSource::Tracker => 1 << 2,
            PeerSource::Dht => 1 << 3,
            PeerSource::Pex => 1 << 4,
            PeerSource::Lsd => 1 << 5,
            PeerSource::Inbound => 1 << 6,
        }
    }
}

/// What is known of one peer of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The source that is worth most of those that named it.
    pub source: PeerSource,
    /// All of them.
    pub sources: Sources,
    /// How often it was named. DHT answers hold addresses that were never peers; the more nodes
    /// name one, the likelier it is real. 0: it is a node of the DHT, named as a peer by its like.
    pub reports: u32,
    /// Whether another peer says that it prefers encryption (BEP 11).
    pub prefers_encryption: bool,
}

/// The peers of one hash.
#[derive(Debug)]
pub struct Peers {
    allow_local: bool,
    /// The addresses of this host.
    own: own::Addresses,
    known: HashMap<PeerAddr, Known>,
    /// Those that somebody has begun to try.
    tried: HashSet<PeerAddr>,
    /// How many came from other peers alone when they were taken in, less those that had to go.
    named: usize,
    /// How many of them came from peers at each address.
    named_by: HashMap<IpAddr, usize>,
    refused: usize,
}

impl Peers {
    /// No peers yet. Loopback and private addresses, and public ones of this host, are taken only with
    /// `allow_local`: a peer list must not be able to make us talk to this host's, or this network's, own
    /// services.
    #[must_use]
    pub fn new(allow_local: bool) -> Self {
        Self {
            allow_local,
            own: own::addresses(),
            known: HashMap::new(),
            tried: HashSet::new(),
            named: 0,
            named_by: HashMap::new(),
            refused: 0,
        }
    }

    /// Takes in a peer that the peer `by` has named, and says whether it prefers encryption, as [`Peers::add`] does;
    /// not too many of one.
    pub fn add_named(&mut self, addr: PeerAddr, by: PeerAddr, encrypted: bool) -> bool {
        let so_far = self.named_by.get(&by.ip()).copied().unwrap_or_default();
        if so_far >= MOST_NAMED_BY_ONE && !self.known.contains_key(&addr) {
            return false;
        }
        let is_new = self.add(addr, PeerSource::Pex);
        if is_new {
            // Of those that others know as well, one must not be able to say how they are dialled.
            if let Some(known) = self.known.get_mut(&addr) {
                known.prefers_encryption = encrypted;
            }
            self.named_by.insert(by.ip(), so_far.saturating_add(1));
        }
        is_new
    }

    /// Somebody begins to try this peer: it stays.
    pub fn is_tried(&mut self, addr: PeerAddr) {
        if self.known.contains_key(&addr) {
            self.tried.insert(addr);
        }
    }

    /// Makes room for one from a better source than [`PeerSource::Pex`]; false where there is none.
    fn make_room(&mut self) -> bool {
        let worst = self
            .known
            .iter()
            .find(|(addr, known)| known.source == PeerSource::Pex && !self.tried.contains(*addr));
        let Some(addr) = worst.map(|(addr, _)| *addr) else {
            return false;
        };
        self.known.remove(&addr);
        self.named = self.named.saturating_sub(1);
        true
    }

    /// Takes in a peer; says whether it is a new one that may be dialled.
    pub fn add(&mut self, addr: PeerAddr, source: PeerSource) -> bool {
        let is_others = addr.is_public() && (self.allow_local || !self.own.contains(&addr.ip()));
        if !(is_others || self.allow_local && addr.is_local()) {
            self.refused += 1;
            return false;
        }
        let is_new = !self.known.contains_key(&addr);
        let is_named = source == PeerSource::Pex;
        if is_new && is_named && self.named >= MOST_NAMED {
            return false;
        }
        let full = is_new
            && self.known.len() >= CAPACITY
            && (source >= PeerSource::Pex || !self.make_room());
        match self.known.entry(addr) {
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                known.reports = known.reports.saturating_add(1);
                known.source = known.source.min(source);
                known.sources.add(source);
                false
            }
            Entry::Vacant(_) if full => false,
            Entry::Vacant(entry) => {
                self.named = self.named.saturating_add(usize::from(is_named));
                entry.insert(Known {
                    source,
                    sources: Sources::of(source),
                    reports: 1,
                    prefers_encryption: false,
                });
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
        let sources: Vec<_> = known.sources.iter().collect();
        assert_eq!(sources, [PeerSource::Hint, PeerSource::Dht]);
        assert_eq!(peers.len(), 2);
    }

    #[test]
    fn every_source_is_told_apart() {
        for source in PeerSource::ALL {
            assert_eq!(Sources::of(source).iter().collect::<Vec<_>>(), [source]);
        }
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
    fn this_hosts_public_addresses_are_no_peers() {
        for (allow_local, taken) in [(false, false), (true, true)] {
            let mut peers = Peers::new(allow_local);
            peers.own = std::sync::Arc::new([addr("8.8.8.8:1").ip()].into());
            assert_eq!(peers.add(addr("8.8.8.8:22"), PeerSource::Dht), taken);
            assert!(peers.add(addr("8.8.8.9:22"), PeerSource::Dht));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut peers = Peers::new(false);
        for port in 1..=2000 {
            peers.add(PeerAddr::new([8, 8, 8, 8].into(), port), PeerSource::Dht);
        }
        assert_eq!(peers.len(), CAPACITY);
    }

    #[test]
    fn what_peers_name_keeps_nobody_else_out() {
        let mut peers = Peers::new(false);
        let at = |last: u8, port| PeerAddr::new([8, 8, 8, last].into(), port);
        let mut name = |by: u8, to: u8| {
            let new =
                (1..=1000).filter(|port| peers.add_named(at(to, *port), at(by, *port), false));
            new.count()
        };
        assert_eq!(name(1, 2), MOST_NAMED_BY_ONE, "a liar at many ports");
        assert_eq!(name(3, 4), MOST_NAMED_BY_ONE);
        assert_eq!(name(5, 6), MOST_NAMED - 2 * MOST_NAMED_BY_ONE);
        assert_eq!(name(7, 8), 0);
        for port in 1..=50 {
            peers.is_tried(at(2, port));
        }
        let rest = (1..=1000).filter(|port| peers.add(at(9, *port), PeerSource::Dht));
        assert_eq!(rest.count(), CAPACITY - 50);
        assert_eq!(peers.len(), CAPACITY);
        assert!((1..=50).all(|port| peers.get(&at(2, port)).is_some()));
    }
}
