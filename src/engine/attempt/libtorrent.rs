//! libtorrent's part in a hash.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Bytes, Work};
use crate::engine::attempts::Facts;
use crate::engine::choose::{self, Choice, Engaged};
use crate::engine::observe::traced;
use crate::engine::station::{Stations, now_ms};
use crate::history::TrackerReply;
use crate::libtorrent::{Fetch, FetchEvent, FetchRequest, SessionError};
use crate::telemetry::catalogue::{PHASE_TIME, TRACKER_ANNOUNCES};
use crate::torrent::{Arm, Failure, Infohash, PeerAddr, Phase, Way};

/// What libtorrent does for one hash.
#[derive(Default)]
pub(super) struct LibtorrentSide {
    fetch: Option<Fetch>,
    /// When it was given the hash, or it was tried to.
    joined: Option<Instant>,
    /// Whether it may dial, or only finds peers.
    dials: bool,
    trackers: bool,
    /// Why it could not take the hash.
    error: Option<String>,
    /// It has said that it has nobody left to try or to ask.
    exhausted: bool,
    in_hand: HashMap<PeerAddr, InHand>,
    /// Every peer that it was given, or found by itself.
    engaged: HashMap<PeerAddr, Engaged>,
}

/// What it knows of a peer it is dealing with.
pub(super) struct InHand {
    pub(super) phase: Phase,
    pub(super) since: Instant,
    /// When it went into its present phase.
    pub(super) changed: Instant,
    /// The latest way that connected.
    pub(super) way: Way,
    connect_time: Option<Duration>,
    why: String,
    pub(super) client: Option<String>,
    pub(super) metadata_size: Option<i64>,
    /// Its part of the hash's trace.
    span: tracing::Span,
}

impl InHand {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            phase: Phase::Connect,
            since: now,
            changed: now,
            way: Way::plain(Arm::Libtorrent),
            connect_time: None,
            why: String::new(),
            client: None,
            metadata_size: None,
            span: tracing::Span::none(),
        }
    }

    /// One of this peer.
    fn with(peer: PeerAddr) -> Self {
        let arm = Arm::Libtorrent.as_str();
        Self {
            span: traced!("peer", %peer, arm, outcome = tracing::field::Empty),
            ..Self::new()
        }
    }

    /// The phase it was in is over, and it is further on.
    fn passes(&mut self, to: Phase) {
        if to > self.phase {
            let now = Instant::now();
            let took = now.duration_since(self.changed);
            PHASE_TIME.took([Arm::Libtorrent.as_str(), self.phase.as_str()], took);
            self.changed = now;
            self.phase = to;
        }
    }
}

impl LibtorrentSide {
    /// Hands the hash to libtorrent, to fetch or, with the direct strategy, to ask trackers.
    fn join(&mut self, stations: &Stations, infohash: Infohash, trackers: Vec<String>) {
        if self.joined.is_some() {
            return;
        }
        self.joined = Some(Instant::now());
        let dials = stations.options.strategy.uses_libtorrent();
        let Some(libtorrent) = &stations.libtorrent else {
            return;
        };
        if libtorrent.free_slots() == 0 || (!dials && trackers.is_empty()) {
            return;
        }
        self.trackers = !trackers.is_empty();
        let request = FetchRequest {
            infohash,
            trackers,
            peers: Vec::new(),
            lookup_only: !dials,
        };
        match libtorrent.fetch(request) {
            Ok(fetch) => {
                self.fetch = Some(fetch);
                self.dials = dials;
            }
            Err(error) => {
                tracing::warn!("libtorrent can't take {infohash}: {error}");
                // That it is full, or has the torrent, is no fault of its own.
                if !matches!(error, SessionError::Full(_) | SessionError::Duplicate(_)) {
                    stations
                        .breakers
                        .failed(Arm::Libtorrent, &error.to_string());
                }
                self.error = Some(error.to_string());
            }
        }
    }

    /// Whether it was given the hash.
    pub(super) fn has_joined(&self) -> bool {
        self.joined.is_some()
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

    /// The peers that it is dealing with, and since when.
    pub(super) fn in_hand(&self) -> impl Iterator<Item = (PeerAddr, Instant)> {
        self.in_hand.iter().map(|(peer, it)| (*peer, it.since))
    }

    /// How many peers it is dealing with, without those that have not answered a connection request
    /// for longer than `patience`.
    pub(super) fn busy(&self, patience: Duration) -> usize {
        let is_busy = |it: &&InHand| it.phase != Phase::Connect || it.since.elapsed() < patience;
        self.in_hand.values().filter(is_busy).count()
    }

    /// Whether nothing more can come of it by itself.
    pub(super) fn is_idle(&self) -> bool {
        let idle = !self.trackers && self.in_hand.is_empty();
        self.fetch.is_none() || self.exhausted || idle
    }

    /// The peers that it is dealing with, and how far it is.
    pub(super) fn progress(&self) -> impl Iterator<Item = (&PeerAddr, &InHand)> {
        self.in_hand.iter()
    }

    pub(super) fn phase(&self) -> Option<Phase> {
        self.in_hand.values().map(|in_hand| in_hand.phase).max()
    }

    fn enter(&mut self, addr: PeerAddr, phase: Phase) -> &mut InHand {
        let in_hand = self
            .in_hand
            .entry(addr)
            .or_insert_with(|| InHand::with(addr));
        in_hand.passes(phase);
        self.engaged.insert(addr, Engaged::In(in_hand.phase));
        in_hand
    }
}

impl Work<'_> {
    /// Hands the hash to libtorrent, if that was not done yet.
    pub(super) fn join_libtorrent(&mut self) {
        let trackers = self.trackers.clone();
        self.libtorrent
            .join(self.stations, self.wanted.infohash, trackers);
    }

    pub(super) fn begin_libtorrent(&mut self, choice: &Choice, why: String) {
        let in_hand = self.libtorrent.enter(choice.peer, Phase::Connect);
        in_hand.way = choice.way;
        in_hand.why = why;
        if let Some(fetch) = &self.libtorrent.fetch {
            fetch.connect(&[(choice.peer, choice.way)]);
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
            self.on_failure(Arm::Libtorrent);
            return None;
        };
        match event {
            FetchEvent::Peer { addr, source } => {
                if self.peers.add(addr, source) {
                    self.stations.counters.peers.add(1);
                    self.found_peers(source, 1);
                    self.explain(format_args!("{addr} from {}", source.as_str()));
                    self.unread.push(addr);
                    // Until the store has been asked, by what is known of its like.
                    self.estimate(addr);
                }
                self.libtorrent.exhausted = false;
                // libtorrent dials what it learns by itself.
                if self.libtorrent.dials && !self.libtorrent.engaged.contains_key(&addr) {
                    let why = format!("libtorrent found it: {}", source.as_str());
                    self.libtorrent.enter(addr, Phase::Connect).why = why;
                }
            }
            FetchEvent::Connected { addr, way, elapsed } => {
                // A second way may connect while the first one is further on already.
                let in_hand = self.libtorrent.enter(addr, Phase::Handshake);
                if in_hand.connect_time.is_none() {
                    in_hand.way = way;
                    in_hand.connect_time = Some(elapsed);
                }
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
                if last {
                    self.explain(format_args!("libtorrent gave up {addr}: {failure}"));
                    let failed = Engaged::Failed(failure.reason);
                    self.libtorrent.engaged.insert(addr, failed);
                    self.libtorrent_ended(addr, Some(failure));
                }
                self.on_failure(Arm::Libtorrent);
            }
            FetchEvent::Tracker {
                url,
                result,
                answered,
            } => self.on_tracker(url, result, answered),
            FetchEvent::Exhausted => self.libtorrent.exhausted = true,
            FetchEvent::Metadata {
                addr, way, bytes, ..
            } => {
                if let Some(in_hand) = self.libtorrent.in_hand.get_mut(&addr) {
                    in_hand.way = way;
                    in_hand.passes(Phase::Verify);
                }
                self.libtorrent_ended(addr, None);
                return Some((Arm::Libtorrent, addr, bytes));
            }
        }
        None
    }

    fn on_tracker(&mut self, url: String, result: Result<u32, String>, answered: bool) {
        match &result {
            Ok(peers) => self.explain(format_args!("tracker {url}: {peers} peers")),
            Err(error) => self.explain(format_args!("tracker {url}: {error}")),
        }
        // Behind a proxy nobody knows whether the tracker or the proxy is silent.
        if !answered && self.stations.options.proxy().is_some() {
            return;
        }
        let outcome = match (&result, answered) {
            (Ok(_), _) => "answered",
            (Err(_), true) => "refused",
            (Err(_), false) => "failed",
        };
        TRACKER_ANNOUNCES.add([outcome], 1);
        self.stations.trackers.observe(&url, answered);
        let joined = self.libtorrent.joined;
        self.tracker_replies.push(TrackerReply {
            url,
            at_ms: now_ms(),
            elapsed: joined.map_or(Duration::ZERO, |joined| joined.elapsed()),
            result,
        });
    }

    /// Notes the end of libtorrent's attempt at a peer.
    fn libtorrent_ended(&mut self, peer: PeerAddr, failure: Option<Failure>) {
        let in_hand = self.libtorrent.in_hand.remove(&peer);
        let in_hand = in_hand.unwrap_or_else(InHand::new);
        let outcome = failure.as_ref().map_or("ok", |it| it.reason.as_str());
        in_hand.span.record("outcome", outcome);
        let facts = Facts {
            way: in_hand.way,
            peer,
            duration: in_hand.since.elapsed(),
            connect_time: in_hand.connect_time,
            why: in_hand.why,
            client: in_hand.client,
            metadata_size: in_hand.metadata_size,
        };
        self.note(facts, failure);
    }

    /// Notes the peers that had not answered a connection request for longer than `patience` when
    /// another one delivered.
    pub(super) fn note_silent_libtorrent(&mut self, patience: Duration) {
        let open = self.libtorrent.in_hand.iter();
        let silent: Vec<_> = open
            .filter(|(_, it)| it.phase == Phase::Connect && it.since.elapsed() >= patience)
            .map(|(peer, it)| (*peer, it.since.elapsed()))
            .collect();
        for (peer, waited) in silent {
            self.libtorrent_ended(peer, Some(super::direct::silent(waited)));
        }
    }

    /// Notes what was still running when the time was over.
    pub(super) fn libtorrent_out_of_time(&mut self) {
        let limit = self.limit;
        let open = self.libtorrent.in_hand.iter();
        let open: Vec<_> = open.map(|(peer, in_hand)| (*peer, in_hand.phase)).collect();
        for (peer, phase) in open {
            self.libtorrent_ended(peer, Some(choose::out_of_time(phase, limit)));
        }
    }
}
