//! libtorrent's part in a hash.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::pace::Pace;
use super::{Bytes, Work};
use crate::discovery::Peers;
use crate::engine::attempts::Facts;
use crate::engine::choose::{self, Engaged};
use crate::engine::intake::Wanted;
use crate::engine::station::Stations;
use crate::libtorrent::{Fetch, FetchEvent, FetchRequest};
use crate::torrent::{Arm, Failure, PeerAddr, Phase, Way};

/// What libtorrent does for one hash.
pub(super) struct LibtorrentSide {
    fetch: Option<Fetch>,
    /// Whether it may dial, or only finds peers.
    dials: bool,
    trackers: bool,
    /// Why it could not take the hash.
    error: Option<String>,
    /// It has said that it has nobody left to try or to ask.
    exhausted: bool,
    pace: Pace,
    in_hand: HashMap<PeerAddr, InHand>,
    /// Every peer that it was given, or found by itself.
    engaged: HashMap<PeerAddr, Engaged>,
}

/// What it knows of a peer it is dealing with.
struct InHand {
    phase: Phase,
    since: Instant,
    /// The latest way that connected.
    way: Way,
    connect_time: Option<Duration>,
    client: Option<String>,
    metadata_size: Option<i64>,
}

impl InHand {
    fn new() -> Self {
        Self {
            phase: Phase::Connect,
            since: Instant::now(),
            way: Way::plain(Arm::Libtorrent),
            connect_time: None,
            client: None,
            metadata_size: None,
        }
    }
}

impl LibtorrentSide {
    /// Hands the hash to libtorrent, to fetch or, with the direct strategy, to ask trackers.
    pub(super) fn start(stations: &Stations, wanted: &Wanted, now: Instant) -> Self {
        let mut side = Self {
            fetch: None,
            dials: false,
            trackers: false,
            error: None,
            exhausted: false,
            pace: Pace::new(now, stations.options.stagger),
            in_hand: HashMap::new(),
            engaged: HashMap::new(),
        };
        let dials = stations.options.strategy.uses_libtorrent();
        let trackers = if stations.options.trackers {
            wanted.trackers.clone()
        } else {
            Vec::new()
        };
        let Some(libtorrent) = &stations.libtorrent else {
            return side;
        };
        if libtorrent.free_slots() == 0 || (!dials && trackers.is_empty()) {
            return side;
        }
        side.trackers = !trackers.is_empty();
        let request = FetchRequest {
            infohash: wanted.infohash,
            trackers,
            peers: Vec::new(),
            lookup_only: !dials,
        };
        match libtorrent.fetch(request) {
            Ok(fetch) => {
                side.fetch = Some(fetch);
                side.dials = dials;
            }
            Err(error) => {
                tracing::warn!("libtorrent can't take {}: {error}", wanted.infohash);
                side.error = Some(error.to_string());
            }
        }
        side
    }

    pub(super) fn dials(&self) -> bool {
        self.dials
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    pub(super) fn asks_trackers(&self) -> bool {
        self.trackers
    }

    pub(super) fn engaged(&self) -> &HashMap<PeerAddr, Engaged> {
        &self.engaged
    }

    /// Its next event; never ready where it has no part in this hash.
    pub(super) async fn next(&mut self) -> Option<FetchEvent> {
        match &mut self.fetch {
            Some(fetch) => fetch.next().await,
            None => std::future::pending().await,
        }
    }

    /// The next peer to give it, if it may dial and has room for one.
    fn next_peer(
        &self,
        peers: &Peers,
        direct: &HashMap<PeerAddr, Engaged>,
        stations: &Stations,
    ) -> Option<PeerAddr> {
        let room = self.in_hand.len() < stations.options.peers_at_once;
        let next = || choose::next_peer(Arm::Libtorrent, peers, &self.engaged, direct);
        (self.dials && room).then(next).flatten()
    }

    /// When it may be given the next peer, if there is one.
    pub(super) fn due(
        &self,
        peers: &Peers,
        direct: &HashMap<PeerAddr, Engaged>,
        stations: &Stations,
    ) -> Option<Instant> {
        self.next_peer(peers, direct, stations)
            .map(|_| self.pace.due())
    }

    pub(super) fn has_none_left(&self, peers: &Peers, direct: &HashMap<PeerAddr, Engaged>) -> bool {
        let idle = !self.trackers && self.in_hand.is_empty();
        let next = || choose::next_peer(Arm::Libtorrent, peers, &self.engaged, direct);
        let given_all = !self.dials || next().is_none();
        self.fetch.is_none() || (given_all && (self.exhausted || idle))
    }

    pub(super) fn phase(&self) -> Option<Phase> {
        self.in_hand.values().map(|in_hand| in_hand.phase).max()
    }

    fn enter(&mut self, addr: PeerAddr, phase: Phase) -> &mut InHand {
        self.engaged.insert(addr, Engaged::In(phase));
        let in_hand = self.in_hand.entry(addr).or_insert_with(InHand::new);
        in_hand.phase = phase;
        in_hand
    }
}

impl Work<'_> {
    /// Gives libtorrent peers: not too many at a time, and not all at once.
    pub(super) fn feed_libtorrent(&mut self) {
        let now = Instant::now();
        let mut peers = Vec::new();
        while self.libtorrent.pace.due() <= now
            && let Some(peer) =
                self.libtorrent
                    .next_peer(&self.peers, self.direct.engaged(), self.stations)
        {
            let Some(known) = self.peers.get(&peer) else {
                break;
            };
            peers.push((peer, known.source));
            self.libtorrent.enter(peer, Phase::Connect);
            self.libtorrent.pace.tried(now);
            self.explain(format_args!("libtorrent tries {peer}"));
        }
        if let Some(fetch) = self.libtorrent.fetch.as_ref().filter(|_| !peers.is_empty()) {
            fetch.connect(&peers);
            self.libtorrent.exhausted = false;
        }
    }

    pub(super) fn on_libtorrent(&mut self, event: Option<FetchEvent>) -> Bytes {
        let Some(event) = event else {
            // The session has ended: what it had in hand is the direct arm's now.
            self.libtorrent.fetch = None;
            self.libtorrent.dials = false;
            self.libtorrent.error = Some("its session has ended".to_owned());
            self.libtorrent.engaged.clear();
            self.libtorrent.in_hand.clear();
            self.hasten_direct("libtorrent has stopped");
            return None;
        };
        match event {
            FetchEvent::Peer { addr, source } => {
                if self.peers.add(addr, source) {
                    self.explain(format_args!("{addr} from {}", source.as_str()));
                }
                self.libtorrent.exhausted = false;
                // libtorrent dials what it learns by itself.
                if self.libtorrent.dials && !self.libtorrent.engaged.contains_key(&addr) {
                    self.libtorrent.enter(addr, Phase::Connect);
                }
            }
            FetchEvent::Connected { addr, way, elapsed } => {
                let in_hand = self.libtorrent.enter(addr, Phase::Handshake);
                in_hand.way = way;
                in_hand.connect_time = Some(elapsed);
            }
            FetchEvent::Handshake { addr, client } => {
                self.libtorrent.enter(addr, Phase::Extension).client = client;
            }
            FetchEvent::Extension {
                addr,
                metadata_size,
                client,
            } => {
                let in_hand = self.libtorrent.enter(addr, Phase::Transfer);
                in_hand.metadata_size = Some(metadata_size);
                in_hand.client = client.or(in_hand.client.take());
            }
            FetchEvent::PeerFailed {
                addr,
                failure,
                last,
                ..
            } => {
                self.hasten_direct("libtorrent reported a failure");
                self.libtorrent.pace.failed(Instant::now());
                if last {
                    self.explain(format_args!("libtorrent gave up {addr}: {failure}"));
                    let failed = Engaged::Failed(failure.reason);
                    self.libtorrent.engaged.insert(addr, failed);
                    self.libtorrent_ended(addr, Some(failure));
                }
            }
            FetchEvent::Tracker { url, result } => match result {
                Ok(peers) => self.explain(format_args!("tracker {url}: {peers} peers")),
                Err(error) => self.explain(format_args!("tracker {url}: {error}")),
            },
            FetchEvent::Exhausted => self.libtorrent.exhausted = true,
            FetchEvent::Metadata { addr, bytes, .. } => {
                self.libtorrent_ended(addr, None);
                return Some((Arm::Libtorrent, addr, bytes));
            }
        }
        None
    }

    /// Notes the end of libtorrent's attempt at a peer.
    fn libtorrent_ended(&mut self, peer: PeerAddr, failure: Option<Failure>) {
        let in_hand = self.libtorrent.in_hand.remove(&peer);
        let in_hand = in_hand.unwrap_or_else(InHand::new);
        let facts = Facts {
            way: in_hand.way,
            peer,
            duration: in_hand.since.elapsed(),
            connect_time: in_hand.connect_time,
            why: String::new(),
            client: in_hand.client,
            metadata_size: in_hand.metadata_size,
        };
        self.attempts.push(facts, self.peers.get(&peer), failure);
    }

    /// Notes what was still running when the time was over.
    pub(super) fn libtorrent_out_of_time(&mut self) {
        let limit = self.stations.options.timeout;
        let open = self.libtorrent.in_hand.iter();
        let open: Vec<_> = open.map(|(peer, in_hand)| (*peer, in_hand.phase)).collect();
        for (peer, phase) in open {
            self.libtorrent_ended(peer, Some(choose::out_of_time(phase, limit)));
        }
    }
}
