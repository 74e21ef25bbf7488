//! Attempt: both arms at work on one hash, until verified bytes or a classified failure.

mod direct;
mod libtorrent;
mod pace;

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use self::direct::{DirectSide, Running};
use self::libtorrent::LibtorrentSide;
use super::attempts::Attempts;
use super::choose::{self, DirectStart};
use super::intake::Wanted;
use super::lookup::{Found, Lookup};
use super::station::Stations;
use super::verify::verify;
use crate::discovery::Peers;
use crate::history::Attempt;
use crate::libtorrent::{DhtHealth, FetchEvent};
use crate::torrent::{Arm, Failure, Info, PeerAddr, Phase, Reason};

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
    /// The failure says nothing about the hash: our own DHT node never had an answer, or it is to
    /// be tried again at once.
    pub(super) says_nothing: bool,
}

impl Ended {
    /// Whether another try may end better.
    pub(super) fn retry(&self) -> bool {
        let reason = self.result.as_ref().err().map(|failure| failure.reason);
        reason.is_some_and(|reason| reason.is_retryable() && reason != Reason::Cancelled)
    }
}

/// One hash in work.
struct Work<'a> {
    stations: &'a Stations,
    wanted: &'a Wanted,
    started: Instant,
    deadline: Instant,
    peers: Peers,
    libtorrent: LibtorrentSide,
    direct: DirectSide,
    attempts: Attempts,
}

/// Works on one hash until it is resolved, nothing is left to try, the time is over or the engine
/// stops.
pub(super) async fn run(stations: &Arc<Stations>, wanted: &Arc<Wanted>) -> Ended {
    let mut lookup = Some(Lookup::start(stations.clone(), wanted.clone()));
    let mut work = Work::new(stations, wanted);
    let mut running: Running<'_> = FuturesUnordered::new();
    let result = loop {
        work.feed_libtorrent();
        work.start_direct(&mut running);
        if lookup.is_none() && running.is_empty() && work.is_exhausted() {
            break Err(work.nothing_left());
        }
        let wake_at = work.wake_at(running.len());
        let next = tokio::select! {
            biased;
            () = stations.stop.cancelled() => Next::Stopped,
            Some(attempt) = running.next(), if !running.is_empty() => Next::Direct(attempt),
            event = work.libtorrent.next() => Next::Libtorrent(event),
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
        says_nothing: matches!(&result, Err(failure) if failure.reason == Reason::NoPeers)
            && work.dht_is_silent(),
        result,
        attempts: work.attempts.into_list(),
    }
}

/// What a hash in work waits for.
enum Next {
    Stopped,
    Woken,
    Direct(crate::direct::Attempt),
    Libtorrent(Option<FetchEvent>),
    /// `None`: the lookup has ended.
    Found(Option<Found>),
}

/// What the lookup found; never ready once it has ended.
async fn next_found(lookup: Option<&mut Lookup>) -> Option<Found> {
    match lookup {
        Some(lookup) => lookup.next().await,
        None => std::future::pending().await,
    }
}

/// Bytes that are to be verified, and whence they came.
type Bytes = Option<(Arm, PeerAddr, Vec<u8>)>;

impl<'a> Work<'a> {
    fn new(stations: &'a Stations, wanted: &'a Wanted) -> Self {
        let now = Instant::now();
        let options = &stations.options;
        let libtorrent = LibtorrentSide::start(stations, wanted, now);
        let start =
            choose::direct_start(options.strategy, libtorrent.dials(), options.fallback_after);
        let work = Self {
            stations,
            wanted,
            started: now,
            deadline: now + options.timeout,
            peers: Peers::new(options.allow_local_peers),
            libtorrent,
            direct: DirectSide::new(start, options, now),
            attempts: Attempts::default(),
        };
        if let DirectStart::Now(why) = start {
            work.explain(format_args!("the direct arm starts at once: {why}"));
        }
        work
    }

    fn explain(&self, what: std::fmt::Arguments<'_>) {
        let after = self.started.elapsed().as_secs_f64();
        tracing::info!(target: "metafetch::explain", "{} +{after:.3}s {what}", self.wanted.infohash);
    }

    fn on_found(&mut self, found: Found) {
        let source = found.source.as_str();
        let mut new = 0;
        for (peer, deliveries) in found.peers {
            if self.peers.add(peer, found.source) {
                new += 1;
            }
            if deliveries > 0 {
                self.explain(format_args!("{peer} delivered {deliveries} times before"));
                self.peers.set_deliveries(peer, deliveries);
            }
        }
        if new > 0 {
            self.explain(format_args!("{new} peers from {source}"));
        }
    }

    /// When there is something to do again, if nothing happens before.
    fn wake_at(&self, running: usize) -> Instant {
        let libtorrent = self
            .libtorrent
            .due(&self.peers, self.direct.engaged(), self.stations);
        let direct = (running < self.stations.options.peers_at_once)
            .then(|| self.direct.due(&self.peers, self.libtorrent.engaged()))
            .flatten();
        let dues = [libtorrent, direct].into_iter().flatten();
        dues.fold(self.deadline, Instant::min)
    }

    /// Whether no peer is left that any arm could still try, apart from running direct attempts.
    fn is_exhausted(&self) -> bool {
        self.libtorrent
            .has_none_left(&self.peers, self.direct.engaged())
            && self
                .direct
                .has_none_left(&self.peers, self.libtorrent.engaged())
    }

    /// How far the hash has come.
    fn phase(&self) -> Phase {
        self.libtorrent
            .phase()
            .max(self.direct.phase())
            .unwrap_or(Phase::Lookup)
    }

    fn out_of_time(&mut self) -> Failure {
        self.libtorrent_out_of_time();
        self.direct_out_of_time();
        self.nothing_left()
    }

    /// The failure that speaks for the hash.
    fn nothing_left(&self) -> Failure {
        if let Some(failure) = self.attempts.verdict() {
            return failure;
        }
        match self.libtorrent.error() {
            Some(error) if !self.stations.options.strategy.uses_direct() => Failure::new(
                Reason::Internal,
                Phase::Lookup,
                format!("libtorrent: {error}"),
            ),
            _ => Failure::new(Reason::NoPeers, Phase::Lookup, self.asked()),
        }
    }

    /// Whether the DHT was to be asked, and no node of it has ever answered.
    fn dht_is_silent(&self) -> bool {
        let libtorrent = self.stations.libtorrent.as_ref();
        self.stations.options.dht
            && libtorrent.is_none_or(|arm| !matches!(arm.health().dht, DhtHealth::Ready { .. }))
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
        if self.libtorrent.asks_trackers() {
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
}
