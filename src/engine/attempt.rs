//! Attempt: both arms at work on one hash, until verified bytes or a classified failure.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::attempts::{Attempts, Facts};
use super::choose::{self, DirectStart, Engaged};
use super::intake::Wanted;
use super::lookup::{Found, Lookup};
use super::station::Stations;
use super::verify::verify;
use crate::direct::{self, Progress};
use crate::discovery::Peers;
use crate::libtorrent::{DhtHealth, Fetch, FetchEvent, FetchRequest};
use crate::store::Attempt;
use crate::torrent::{Arm, Failure, Info, PeerAddr, PeerSource, Phase, Reason};

/// Verified metadata, and who delivered it.
pub(super) struct Fetched {
    pub(super) info: Info,
    pub(super) raw: Vec<u8>,
    pub(super) arm: Arm,
    pub(super) peer: PeerAddr,
}

/// How one try at a hash ended.
pub(super) struct Ended {
    pub(super) result: Result<Fetched, Failure>,
    /// Every attempt that came to an end of its own, or was cut short by the deadline.
    pub(super) attempts: Vec<Attempt>,
}

/// What libtorrent knows of a peer it is dealing with.
struct InHand {
    phase: Phase,
    since: Instant,
    client: Option<String>,
    metadata_size: Option<i64>,
}

type DirectAttempt<'a> = Pin<Box<dyn Future<Output = direct::Attempt> + Send + 'a>>;

/// One hash in work.
struct Work<'a> {
    stations: &'a Stations,
    wanted: &'a Wanted,
    started: Instant,
    deadline: Instant,
    peers: Peers,
    /// Trackers that libtorrent was given.
    trackers: bool,
    libtorrent: Option<Fetch>,
    /// Whether libtorrent may dial, or only finds peers.
    libtorrent_dials: bool,
    libtorrent_exhausted: bool,
    in_hand: HashMap<PeerAddr, InHand>,
    engaged: HashMap<PeerAddr, Engaged>,
    direct_start: Option<Instant>,
    next_direct: Instant,
    direct_tried: HashSet<PeerAddr>,
    direct_progress: HashMap<PeerAddr, (Progress, Instant)>,
    attempts: Attempts,
}

/// Works on one hash until it is resolved, nothing is left to try, the time is over or the engine
/// stops.
pub(super) async fn run(stations: &Arc<Stations>, wanted: &Arc<Wanted>) -> Ended {
    let mut lookup = Some(Lookup::start(stations.clone(), wanted.clone()));
    let mut work = Work::new(stations, wanted);
    let mut running: FuturesUnordered<DirectAttempt<'_>> = FuturesUnordered::new();
    let result = loop {
        work.start_direct(&mut running);
        if lookup.is_none() && running.is_empty() && work.is_exhausted() {
            break Err(work.nothing_left());
        }
        let wake_at = work.wake_at();
        let next = tokio::select! {
            biased;
            () = stations.stop.cancelled() => Next::Stopped,
            Some(attempt) = running.next(), if !running.is_empty() => Next::Direct(attempt),
            event = next_event(work.libtorrent.as_mut()) => Next::Libtorrent(event),
            found = next_found(lookup.as_mut()) => Next::Found(found),
            () = sleep_until(wake_at) => Next::Woken,
        };
        let bytes = match next {
            Next::Stopped => {
                let detail = "stopped before it was done";
                break Err(Failure::new(Reason::Cancelled, work.phase(), detail));
            }
            Next::Woken if Instant::now() >= work.deadline => break Err(work.out_of_time()),
            Next::Woken => None,
            Next::Direct(attempt) => work.on_direct(attempt),
            Next::Libtorrent(event) => work.on_libtorrent(event),
            Next::Found(Some(found)) => {
                work.on_found(found);
                None
            }
            Next::Found(None) => {
                lookup = None;
                None
            }
        };
        let Some((arm, peer, bytes)) = bytes else {
            continue;
        };
        match verify(wanted.infohash, bytes).await {
            Ok((info, raw)) => {
                break Ok(Fetched {
                    info,
                    raw,
                    arm,
                    peer,
                });
            }
            // The right hash over a broken dictionary: no other peer can have a better one.
            Err(failure) if failure.reason == Reason::InvalidInfoDict => break Err(failure),
            Err(failure) => work.attempts.amend(arm, peer, failure),
        }
    };
    Ended {
        result,
        attempts: work.attempts.into_list(),
    }
}

/// What a hash in work waits for.
enum Next {
    Stopped,
    Woken,
    Direct(direct::Attempt),
    Libtorrent(Option<FetchEvent>),
    /// `None`: the lookup has ended.
    Found(Option<Found>),
}

/// libtorrent's next event; never ready where it has no part in this hash.
async fn next_event(fetch: Option<&mut Fetch>) -> Option<FetchEvent> {
    match fetch {
        Some(fetch) => fetch.next().await,
        None => std::future::pending().await,
    }
}

/// What the lookup found; never ready once it has ended.
async fn next_found(lookup: Option<&mut Lookup>) -> Option<Found> {
    match lookup {
        Some(lookup) => lookup.next().await,
        None => std::future::pending().await,
    }
}

type Bytes = Option<(Arm, PeerAddr, Vec<u8>)>;

impl<'a> Work<'a> {
    fn new(stations: &'a Stations, wanted: &'a Wanted) -> Self {
        let now = Instant::now();
        let options = &stations.options;
        let mut work = Self {
            stations,
            wanted,
            started: now,
            deadline: now + options.timeout,
            peers: Peers::new(options.allow_local_peers),
            trackers: false,
            libtorrent: None,
            libtorrent_dials: false,
            libtorrent_exhausted: false,
            in_hand: HashMap::new(),
            engaged: HashMap::new(),
            direct_start: None,
            next_direct: now,
            direct_tried: HashSet::new(),
            direct_progress: HashMap::new(),
            attempts: Attempts::default(),
        };
        work.start_libtorrent();
        let start = choose::direct_start(
            options.strategy,
            work.libtorrent_dials,
            options.fallback_after,
        );
        work.direct_start = match start {
            DirectStart::Now(why) => {
                work.explain(format_args!("the direct arm starts at once: {why}"));
                Some(now)
            }
            DirectStart::After(wait) => Some(now + wait),
            DirectStart::Never => None,
        };
        work
    }

    /// Hands the hash to libtorrent, to fetch or, with the direct strategy, to ask trackers.
    fn start_libtorrent(&mut self) {
        let options = &self.stations.options;
        let dials = options.strategy.uses_libtorrent();
        let mut trackers = Vec::new();
        if let Some(further) = &options.trackers {
            trackers.extend(self.wanted.trackers.iter().chain(further).cloned());
        }
        let Some(libtorrent) = &self.stations.libtorrent else {
            return;
        };
        if libtorrent.free_slots() == 0 || (!dials && trackers.is_empty()) {
            return;
        }
        self.trackers = !trackers.is_empty();
        let request = FetchRequest {
            infohash: self.wanted.infohash,
            trackers,
            peers: Vec::new(),
            lookup_only: !dials,
        };
        match libtorrent.fetch(request) {
            Ok(fetch) => {
                self.libtorrent = Some(fetch);
                self.libtorrent_dials = dials;
            }
            Err(error) => tracing::warn!("libtorrent can't take {}: {error}", self.wanted.infohash),
        }
    }

    fn explain(&self, what: std::fmt::Arguments<'_>) {
        let after = self.started.elapsed().as_secs_f64();
        tracing::info!(target: "metafetch::explain", "{} +{after:.3}s {what}", self.wanted.infohash);
    }

    fn on_found(&mut self, found: Found) {
        let mut new = Vec::new();
        for (peer, deliveries) in found.peers {
            if self.peers.add(peer, found.source) {
                new.push((peer, found.source));
            }
            if deliveries > 0 {
                self.explain(format_args!("{peer} delivered {deliveries} times before"));
                self.peers.set_deliveries(peer, deliveries);
            }
        }
        if !new.is_empty() {
            self.explain(format_args!(
                "{} peers from {}",
                new.len(),
                found.source.as_str()
            ));
            self.give_libtorrent(&new);
        }
    }

    fn give_libtorrent(&mut self, new: &[(PeerAddr, PeerSource)]) {
        if !self.libtorrent_dials {
            return;
        }
        if let Some(fetch) = &self.libtorrent {
            fetch.connect(new);
            self.libtorrent_exhausted = false;
            for (peer, _) in new {
                self.in_hand.entry(*peer).or_insert_with(InHand::new);
                self.engaged.insert(*peer, Engaged::In(Phase::Connect));
            }
        }
    }

    fn on_libtorrent(&mut self, event: Option<FetchEvent>) -> Bytes {
        let Some(event) = event else {
            // The session has ended: what it had in hand is the direct arm's now.
            self.libtorrent = None;
            self.libtorrent_dials = false;
            self.engaged.clear();
            self.in_hand.clear();
            self.hasten_direct("libtorrent has stopped");
            return None;
        };
        match event {
            FetchEvent::Peer { addr, source } => {
                if self.peers.add(addr, source) {
                    self.explain(format_args!("{addr} from {}", source.as_str()));
                    self.libtorrent_exhausted = false;
                    if self.libtorrent_dials {
                        // libtorrent dials what it learns by itself.
                        self.in_hand.insert(addr, InHand::new());
                        self.engaged.insert(addr, Engaged::In(Phase::Connect));
                    }
                }
            }
            FetchEvent::Connected { addr, .. } => self.enter(addr, Phase::Handshake),
            FetchEvent::Handshake { addr, client } => {
                self.enter(addr, Phase::Extension);
                self.in_hand.entry(addr).or_insert_with(InHand::new).client = client;
            }
            FetchEvent::Extension {
                addr,
                metadata_size,
                client,
            } => {
                self.enter(addr, Phase::Transfer);
                let in_hand = self.in_hand.entry(addr).or_insert_with(InHand::new);
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
                if last {
                    self.explain(format_args!("libtorrent gave up {addr}: {failure}"));
                    self.engaged.insert(addr, Engaged::Failed(failure.reason));
                    self.libtorrent_ended(addr, Some(failure));
                }
            }
            FetchEvent::Tracker { url, result } => match result {
                Ok(peers) => self.explain(format_args!("tracker {url}: {peers} peers")),
                Err(error) => self.explain(format_args!("tracker {url}: {error}")),
            },
            FetchEvent::Exhausted => self.libtorrent_exhausted = true,
            FetchEvent::Metadata { addr, bytes, .. } => {
                self.libtorrent_ended(addr, None);
                return Some((Arm::Libtorrent, addr, bytes));
            }
        }
        None
    }

    fn enter(&mut self, addr: PeerAddr, phase: Phase) {
        self.in_hand.entry(addr).or_insert_with(InHand::new).phase = phase;
        self.engaged.insert(addr, Engaged::In(phase));
    }

    /// With [`super::Strategy::Auto`], libtorrent's first failure ends its time alone.
    fn hasten_direct(&mut self, why: &str) {
        let now = Instant::now();
        if let Some(start) = self.direct_start.as_mut()
            && *start > now
        {
            *start = now;
            self.explain(format_args!("the direct arm joins: {why}"));
        }
    }

    /// Starts direct attempts: not too many at a time, and not all at once.
    fn start_direct(&mut self, running: &mut FuturesUnordered<DirectAttempt<'a>>) {
        let now = Instant::now();
        let stations = self.stations;
        if self.direct_start.is_none_or(|start| start > now) {
            return;
        }
        while running.len() < stations.options.direct_peers && self.next_direct <= now {
            let Some(peer) = choose::next_direct(&self.peers, &self.direct_tried, &self.engaged)
            else {
                return;
            };
            self.explain(format_args!("the direct arm tries {peer}"));
            self.direct_tried.insert(peer);
            let progress = Progress::default();
            self.direct_progress.insert(peer, (progress.clone(), now));
            let infohash = &self.wanted.infohash;
            running.push(Box::pin(async move {
                stations.direct.fetch(infohash, peer, &progress).await
            }));
            self.next_direct = now + stations.options.stagger;
        }
    }

    fn on_direct(&mut self, attempt: direct::Attempt) -> Bytes {
        self.direct_progress.remove(&attempt.peer);
        // Somebody is free again: no need to wait for the next one's turn.
        self.next_direct = Instant::now();
        let peer = attempt.peer;
        let facts = Facts {
            arm: Arm::Direct,
            peer,
            duration: attempt.elapsed,
            connected: attempt.connected,
            client: attempt.client,
            metadata_size: attempt.metadata_size,
        };
        match attempt.result {
            Err(failure) => {
                self.explain(format_args!("{peer}: {failure}"));
                self.attempts
                    .push(facts, self.peers.get(&peer), Some(failure));
                None
            }
            Ok(bytes) => {
                self.attempts.push(facts, self.peers.get(&peer), None);
                Some((Arm::Direct, peer, bytes))
            }
        }
    }

    fn wake_at(&self) -> Instant {
        let direct = match self.direct_start {
            Some(start) if start > Instant::now() => Some(start),
            Some(_) if self.next_direct > Instant::now() => Some(self.next_direct),
            _ => None,
        };
        direct.map_or(self.deadline, |at| at.min(self.deadline))
    }

    /// Whether no peer is left that any arm could still try, apart from running direct attempts.
    fn is_exhausted(&self) -> bool {
        let direct_has_none = self.direct_start.is_none()
            || choose::next_direct(&self.peers, &self.direct_tried, &self.engaged).is_none();
        let idle = !self.trackers && self.engaged.is_empty();
        let libtorrent_has_none = self.libtorrent.is_none() || self.libtorrent_exhausted || idle;
        direct_has_none && libtorrent_has_none
    }

    /// How far the hash has come.
    fn phase(&self) -> Phase {
        let libtorrent = self.in_hand.values().map(|in_hand| in_hand.phase);
        let direct = self
            .direct_progress
            .values()
            .map(|(progress, _)| progress.phase());
        libtorrent.chain(direct).max().unwrap_or(Phase::Lookup)
    }

    fn out_of_time(&mut self) -> Failure {
        let limit = self.stations.options.timeout;
        let libtorrent: Vec<_> = self
            .in_hand
            .iter()
            .map(|(peer, in_hand)| (*peer, in_hand.phase))
            .collect();
        for (peer, phase) in libtorrent {
            self.libtorrent_ended(peer, Some(choose::out_of_time(phase, limit)));
        }
        let direct: Vec<_> = self.direct_progress.drain().collect();
        for (peer, (progress, since)) in direct {
            let failure = choose::out_of_time(progress.phase(), limit);
            let facts = Facts {
                arm: Arm::Direct,
                peer,
                duration: since.elapsed(),
                connected: failure.phase > Phase::Connect,
                client: None,
                metadata_size: None,
            };
            self.attempts
                .push(facts, self.peers.get(&peer), Some(failure));
        }
        self.nothing_left()
    }

    /// The failure that speaks for the hash.
    fn nothing_left(&self) -> Failure {
        self.attempts
            .verdict()
            .unwrap_or_else(|| Failure::new(Reason::NoPeers, Phase::Lookup, self.asked()))
    }

    /// Who was asked for peers, for a hash that has none.
    fn asked(&self) -> String {
        let mut asked = Vec::new();
        if !self.wanted.peers.is_empty() {
            asked.push(format!("{} hints", self.wanted.peers.len()));
        }
        match &self.stations.libtorrent {
            Some(libtorrent) if self.stations.options.dht => {
                asked.push(match libtorrent.health().dht {
                    DhtHealth::Ready { nodes } => format!("the DHT ({nodes} nodes)"),
                    DhtHealth::Starting => "the DHT (no node has answered yet)".to_owned(),
                    DhtHealth::Failed(error) => format!("the DHT (which does not work: {error})"),
                    DhtHealth::Off => "the DHT (which is off)".to_owned(),
                });
            }
            _ => {}
        }
        if self.trackers {
            asked.push("trackers".into());
        }
        let mut detail = if asked.is_empty() {
            "nobody was asked: no hints, no DHT, no trackers".to_owned()
        } else {
            format!("asked {}", asked.join(", "))
        };
        if self.peers.refused() > 0 {
            let refused = self.peers.refused();
            detail = format!(
                "{detail}; {refused} addresses are private, loopback or reserved (see \
                 --allow-local-peers)"
            );
        }
        detail
    }

    /// Notes the end of libtorrent's attempt at a peer.
    fn libtorrent_ended(&mut self, peer: PeerAddr, failure: Option<Failure>) {
        let in_hand = self.in_hand.remove(&peer).unwrap_or_else(InHand::new);
        let facts = Facts {
            arm: Arm::Libtorrent,
            peer,
            duration: in_hand.since.elapsed(),
            connected: in_hand.phase > Phase::Connect,
            client: in_hand.client,
            metadata_size: in_hand.metadata_size,
        };
        self.attempts.push(facts, self.peers.get(&peer), failure);
    }
}

impl InHand {
    fn new() -> Self {
        Self {
            phase: Phase::Connect,
            since: Instant::now(),
            client: None,
            metadata_size: None,
        }
    }
}
