//! What is known of peers and held in memory: bounded, the least recently used is forgotten first.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use lru::LruCache;

use super::estimate::{Durations, Known, Pair};
use super::ip::IpFacts;
use super::{Attempt, Estimate, Fact, Family, Group, GroupState, Network, PastAttempt, PeerState};
use crate::torrent::{Infohash, PeerAddr, PeerSource, Phase, Reason, Transport, Way};

/// Groups are fewer than peers by this factor, and so are IP addresses.
const PEERS_PER_GROUP: usize = 4;
/// Sources and ways are few, and each attempt counts in one of them: they are never forgotten.
const FEW: usize = 32;
/// The share of a new duration in its mean.
const DURATION_SHARE: f64 = 1.0 / 32.0;
/// What a mean duration may be, in seconds.
const DURATIONS: std::ops::RangeInclusive<f64> = 0.01..=60.0;

/// What is known of one peer.
#[derive(Debug, Default)]
struct Peer {
    /// `None` for one that was never tried. In a box, since most are such.
    state: Option<Box<PeerState>>,
    /// Whether the store was asked for it.
    is_loaded: bool,
    /// What a connection came about over: TCP, if both did.
    reached: Option<Transport>,
    is_self: bool,
}

impl Peer {
    fn was_reached(&mut self, transport: Transport) {
        if self.reached != Some(Transport::Tcp) {
            self.reached = Some(transport);
        }
    }
}

/// All that is held in memory.
pub(super) struct Memory {
    capacity: usize,
    /// Of groups, and of IP addresses.
    group_capacity: usize,
    peers: LruCache<PeerAddr, Peer>,
    /// By a hash of both: at 64 bits two pairs that share one are not to be feared.
    pairs: LruCache<u64, Pair>,
    ips: LruCache<IpAddr, IpFacts>,
    groups: LruCache<Group, GroupState>,
    durations: Durations,
    hasher: RandomState,
}

impl Memory {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            group_capacity: capacity / PEERS_PER_GROUP + FEW,
            peers: LruCache::unbounded(),
            pairs: LruCache::unbounded(),
            ips: LruCache::unbounded(),
            groups: LruCache::unbounded(),
            durations: Durations::default(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn is_loaded(&self, peer: &PeerAddr) -> bool {
        self.peers.peek(peer).is_some_and(|peer| peer.is_loaded)
    }

    pub(super) fn load(&mut self, peer: PeerAddr, stored: Option<PeerState>) {
        let known = self.peers.get_or_insert_mut(peer, Peer::default);
        if known.is_loaded {
            return;
        }
        known.is_loaded = true;
        let learned = known.state.as_ref().map_or(0, |state| state.attempts);
        if let Some(stored) = stored.filter(|stored| stored.attempts >= learned) {
            if let Some(way) = stored.delivered_way {
                known.was_reached(way.transport);
            }
            known.state = Some(Box::new(stored));
        }
        trim(&mut self.peers, self.capacity);
    }

    pub(super) fn load_group(&mut self, group: Group, stored: GroupState) {
        self.groups.get_or_insert(group, || stored);
        trim(&mut self.groups, self.group_capacity);
    }

    pub(super) fn load_pair(&mut self, infohash: &Infohash, attempt: &PastAttempt) {
        let (fact, outcome) = (attempt.fact(), attempt.outcome);
        self.note_pair(infohash, &attempt.peer, fact, outcome, attempt.at_ms);
    }

    pub(super) fn learn(&mut self, infohash: &Infohash, attempt: &Attempt) {
        let (fact, at_ms) = (attempt.fact(), attempt.started_at_ms);
        let peer = self.peers.get_or_insert_mut(attempt.peer, Peer::default);
        match &mut peer.state {
            Some(state) => state.add(attempt),
            None => peer.state = Some(Box::new(PeerState::new(attempt))),
        }
        if attempt.connect_time.is_some() || attempt.phase > Phase::Connect {
            peer.was_reached(attempt.way.transport);
        }
        peer.is_self |= attempt.outcome == Some(Reason::SelfConnection);
        trim(&mut self.peers, self.capacity);
        self.note_pair(infohash, &attempt.peer, fact, attempt.outcome, at_ms);
        let ip = self
            .ips
            .get_or_insert_mut(attempt.peer.ip(), IpFacts::default);
        ip.add(attempt.peer.port(), fact, at_ms);
        trim(&mut self.ips, self.group_capacity);
        for group in Group::of(attempt) {
            self.groups
                .get_or_insert_mut(group, GroupState::default)
                .add(attempt);
        }
        trim(&mut self.groups, self.group_capacity);
        self.note_duration(fact, attempt.duration);
    }

    /// The latest attempt at a pair counts.
    fn note_pair(
        &mut self,
        infohash: &Infohash,
        peer: &PeerAddr,
        fact: Fact,
        outcome: Option<Reason>,
        at_ms: i64,
    ) {
        if !matches!(fact, Fact::Delivered | Fact::NotServed) {
            return;
        }
        let key = self.pair_key(infohash, peer);
        let pair = Pair { outcome, at_ms };
        let known = self.pairs.get_or_insert_mut(key, || pair);
        if known.at_ms <= at_ms {
            *known = pair;
        }
        trim(&mut self.pairs, self.capacity);
    }

    fn note_duration(&mut self, fact: Fact, duration: Duration) {
        let mean = match fact {
            Fact::Delivered => &mut self.durations.delivered,
            Fact::Unreachable => &mut self.durations.unreachable,
            Fact::Silent | Fact::NotServed => &mut self.durations.unserved,
            _ => return,
        };
        let moved = *mean + (duration.as_secs_f64() - *mean) * DURATION_SHARE;
        *mean = moved.clamp(*DURATIONS.start(), *DURATIONS.end());
    }

    pub(super) fn estimate(
        &mut self,
        infohash: &Infohash,
        addr: &PeerAddr,
        source: PeerSource,
        reports: u32,
        now_ms: i64,
    ) -> Estimate {
        let key = self.pair_key(infohash, addr);
        let peer = self.peers.get(addr);
        let state = peer.and_then(|peer| peer.state.as_deref());
        let client = state.and_then(|state| state.client.as_deref());
        let known = Known {
            source,
            reports,
            state,
            pair: self.pairs.get(&key).copied(),
            of_source: self.groups.peek(&Group::Source(source)),
            of_network: self.groups.peek(&Group::Network(Network::of(addr))),
            of_client: client
                .map(Family::of)
                .and_then(|family| self.groups.peek(&Group::Client(family))),
            failed_ports: self
                .ips
                .peek(&addr.ip())
                .map_or(0.0, |ip| ip.failed_ports(now_ms)),
            only_utp: peer.and_then(|peer| peer.reached) == Some(Transport::Utp),
            is_self: peer.is_some_and(|peer| peer.is_self),
        };
        known.estimate(&self.durations, now_ms)
    }

    /// What is known of the ways that are `wanted`.
    pub(super) fn ways(&self, wanted: impl Fn(&Way) -> bool) -> Vec<GroupState> {
        Way::ALL
            .iter()
            .filter(|way| wanted(way))
            .filter_map(|way| self.groups.peek(&Group::Way(*way)).copied())
            .collect()
    }

    fn pair_key(&self, infohash: &Infohash, peer: &PeerAddr) -> u64 {
        self.hasher.hash_one((infohash.wire_id(), peer))
    }

    #[cfg(test)]
    pub(super) fn lens(&self) -> [usize; 4] {
        [
            self.peers.len(),
            self.pairs.len(),
            self.ips.len(),
            self.groups.len(),
        ]
    }
}

/// Forgets what was used least recently.
fn trim<K: std::hash::Hash + Eq, V>(cache: &mut LruCache<K, V>, capacity: usize) {
    while cache.len() > capacity {
        cache.pop_lru();
    }
}
