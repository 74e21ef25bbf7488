//! Hashes that others bring: who may bring how many, and which are none.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use super::options::CrawlOptions;
use super::{Discovered, DiscoverySource};
use crate::discovery::dht::{Observed, ObservedKind};
use crate::torrent::PeerAddr;
use crate::wire::krpc::NodeId;

/// Points of ours that are remembered.
const OWN_POINTS: usize = 10_000;
/// Addresses whose hashes are counted within a minute. Beyond them only the total counts.
const MAX_IPS: usize = 50_000;
/// A hash that shares so many bits with the id of who asks is its own neighbourhood: some nodes fill
/// their tables with `get_peers`. By chance it is one in four billion.
const OWN_NEIGHBOURHOOD: u32 = 32;
const MINUTE_MS: i64 = 60_000;

/// Why an observed query brings nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not a hash, or not a peer's address: see [`Gate::read`].
    Implausible,
    /// A point that we asked others about ourselves.
    Ours,
    /// This address, or everybody together, brought enough for this minute.
    Flood,
}

/// Judges observed queries.
#[derive(Debug)]
pub(super) struct Gate {
    allow_local: bool,
    per_ip: u32,
    total: u32,
    minute_ms: i64,
    announced: u32,
    looked_for: u32,
    ips: HashMap<IpAddr, u32>,
    own: HashSet<NodeId>,
    own_order: VecDeque<NodeId>,
}

impl Gate {
    pub(super) fn new(options: &CrawlOptions, now_ms: i64) -> Self {
        Self {
            allow_local: options.allow_local,
            per_ip: options.observed_per_ip,
            total: options.observed,
            minute_ms: now_ms,
            announced: 0,
            looked_for: 0,
            ips: HashMap::new(),
            own: HashSet::new(),
            own_order: VecDeque::new(),
        }
    }

    /// We ask others about this point: if it comes back, it is no torrent.
    pub(super) fn own_point(&mut self, point: NodeId) {
        if !self.own.insert(point) {
            return;
        }
        self.own_order.push_back(point);
        if self.own_order.len() > OWN_POINTS
            && let Some(oldest) = self.own_order.pop_front()
        {
            self.own.remove(&oldest);
        }
    }

    /// What the query brings, if it can be true: the sender's address is one of a peer, the hash is
    /// not its own id or close to it, nor all one byte, nor a point of ours.
    pub(super) fn read(&self, observed: &Observed) -> Result<Discovered, Refusal> {
        let infohash = observed.infohash;
        let one_byte = infohash.0.iter().all(|byte| *byte == infohash.0[0]);
        let (source, peers) = match observed.kind {
            ObservedKind::Other => return Err(Refusal::Implausible),
            ObservedKind::GetPeers => (DiscoverySource::GetPeers, Vec::new()),
            ObservedKind::AnnouncePeer { port } => {
                let peer = PeerAddr::new(observed.from.ip(), port);
                (DiscoverySource::Announce, vec![peer])
            }
        };
        let may_be = |addr: &PeerAddr| addr.is_public() || self.allow_local && addr.is_local();
        if one_byte
            || !may_be(&observed.from)
            || !peers.iter().all(may_be)
            || infohash.shared_bits(&observed.node) >= OWN_NEIGHBOURHOOD
        {
            return Err(Refusal::Implausible);
        }
        if self.own.contains(&infohash) {
            return Err(Refusal::Ours);
        }
        Ok(Discovered {
            infohash,
            source,
            peers,
            from: observed.from,
        })
    }

    /// Whether one more new hash may come from this address (this /64 of IPv6) in this minute. It
    /// counts. Announces, whose senders have shown a token, have a total of their own: anybody can
    /// send `get_peers` under any address.
    pub(super) fn admit(
        &mut self,
        from: &PeerAddr,
        source: DiscoverySource,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        if now_ms.saturating_sub(self.minute_ms) >= MINUTE_MS {
            self.minute_ms = now_ms;
            self.announced = 0;
            self.looked_for = 0;
            self.ips.clear();
        }
        let host = host(from.ip());
        let counted = match source {
            DiscoverySource::Announce => &mut self.announced,
            DiscoverySource::GetPeers | DiscoverySource::Sample => &mut self.looked_for,
        };
        if *counted >= self.total {
            return Err(Refusal::Flood);
        }
        if self.ips.len() < MAX_IPS || self.ips.contains_key(&host) {
            let count = self.ips.entry(host).or_default();
            if *count >= self.per_ip {
                return Err(Refusal::Flood);
            }
            *count = count.saturating_add(1);
        }
        *counted = counted.saturating_add(1);
        Ok(())
    }
}

/// What one owner has for sure: an IPv4 address, or a /64 of IPv6.
fn host(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip) >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(kind: ObservedKind, infohash: NodeId, from: &str) -> Observed {
        Observed {
            kind,
            infohash,
            from: from.parse().unwrap(),
            node: NodeId([0xee; 20]),
        }
    }

    fn hash(number: u16) -> NodeId {
        let mut id = [3; 20];
        id[..2].copy_from_slice(&number.to_be_bytes());
        NodeId(id)
    }

    #[test]
    fn an_announce_brings_its_peer_and_a_search_brings_none() {
        let gate = Gate::new(&CrawlOptions::default(), 0);
        let announce = ObservedKind::AnnouncePeer { port: 51413 };
        let read = gate
            .read(&observed(announce, hash(1), "8.8.8.8:6881"))
            .unwrap();
        assert_eq!(read.source, DiscoverySource::Announce);
        assert_eq!(read.peers, ["8.8.8.8:51413".parse().unwrap()]);
        let read = gate.read(&observed(ObservedKind::GetPeers, hash(1), "8.8.8.8:6881"));
        assert_eq!(read.unwrap().peers, []);
    }

    #[test]
    fn what_can_not_be_a_hash_or_a_peer_is_refused() {
        let mut gate = Gate::new(&CrawlOptions::default(), 0);
        let search = ObservedKind::GetPeers;
        let port_0 = ObservedKind::AnnouncePeer { port: 0 };
        let mut neighbour = NodeId([0xee; 20]);
        neighbour.0[19] = 0;
        for bad in [
            observed(search, NodeId([0; 20]), "8.8.8.8:1"),
            observed(search, neighbour, "8.8.8.8:1"),
            observed(search, hash(1), "10.0.0.1:1"),
            observed(port_0, hash(1), "8.8.8.8:1"),
        ] {
            assert_eq!(gate.read(&bad), Err(Refusal::Implausible), "{bad:?}");
        }
        gate.own_point(hash(9));
        let ours = observed(search, hash(9), "8.8.8.8:1");
        assert_eq!(gate.read(&ours), Err(Refusal::Ours));
        (0..)
            .take(OWN_POINTS)
            .map(|n| n + 10)
            .for_each(|n| gate.own_point(hash(n)));
        assert!(
            gate.read(&ours).is_ok(),
            "only the last ones are remembered"
        );
    }

    #[test]
    fn a_flood_is_cut_off_per_address_and_in_all() {
        let options = CrawlOptions {
            observed_per_ip: 5,
            observed: 12,
            ..CrawlOptions::default()
        };
        let mut gate = Gate::new(&options, 0);
        let mut admitted = |ip: u8, now| {
            let from = PeerAddr::new([8, 8, 8, ip].into(), 1);
            (0..100)
                .filter(|_| gate.admit(&from, DiscoverySource::GetPeers, now).is_ok())
                .count()
        };
        assert_eq!([admitted(1, 0), admitted(2, 0), admitted(3, 0)], [5, 5, 2]);
        assert_eq!(admitted(1, MINUTE_MS), 5);
    }
}
