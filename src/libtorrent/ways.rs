//! Which way each peer of a fetch is tried next. No I/O: it is told events and says whom to dial.
//!
//! TCP comes first and plain, unless the caller knows of a way that has worked. A peer that can't be connected to, or is not connected after a second,
//! is tried over uTP as well; one that hangs up on the plain handshake is tried again encrypted, and
//! over uTP where it hangs up on that too.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::bridge::{Event, EventKind};
use super::events::{self, FetchEvent};
use super::failure::{asks_for_encryption, failure, more_telling};
use super::settings::Way;
use crate::torrent::{self, Encryption, Failure, PeerAddr, PeerSource, Phase, Reason};

/// How long TCP may take to connect before uTP is tried beside it.
const UTP_JOINS_AFTER: Duration = Duration::from_secs(1);

/// How long a tracker that failed at one address may still answer at another.
const TRACKER_GRACE: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Peer {
    /// Ways that are under way.
    open: u8,
    /// Ways that were ever taken.
    tried: u8,
    connected: bool,
    inbound: bool,
    failure: Option<Failure>,
}

/// Peers to dial on one way.
pub(crate) type Dial = (Way, Vec<PeerAddr>);

/// The peers and trackers of one fetch.
#[derive(Default)]
pub(crate) struct Ways {
    peers: HashMap<PeerAddr, Peer>,
    /// Peers with an open way.
    open_peers: usize,
    /// Trackers that have not answered, and since when each has failed. libtorrent announces from
    /// every address it listens at, and tells each failure: an IPv4 tracker fails on IPv6 at once.
    trackers: HashMap<String, Option<(Instant, String)>>,
    /// When TCP was begun, oldest first.
    dialled: VecDeque<(Instant, PeerAddr)>,
    /// Nobody is dialled.
    lookup_only: bool,
    encryption: Encryption,
    exhausted: bool,
    finished: bool,
    /// What the caller has not been told yet.
    pub(crate) out: VecDeque<FetchEvent>,
}

impl Ways {
    pub(crate) fn new(trackers: &[String], lookup_only: bool, encryption: Encryption) -> Self {
        Self {
            trackers: trackers.iter().map(|url| (url.clone(), None)).collect(),
            lookup_only,
            encryption,
            ..Self::default()
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Takes peers that the caller names, each with the way to take first; returns those to dial on
    /// each way. `allowed` says whom we may dial at all.
    pub(crate) fn add(
        &mut self,
        peers: &[(PeerAddr, torrent::Way)],
        now: Instant,
        allowed: impl Fn(&PeerAddr) -> bool,
    ) -> Vec<Dial> {
        if self.lookup_only || self.finished {
            return Vec::new();
        }
        let mut dials: Vec<Dial> = Vec::new();
        for &(addr, way) in peers {
            if self.peers.contains_key(&addr) {
                continue;
            }
            if allowed(&addr) {
                let way = Way::from(way).under(self.encryption);
                self.begin(addr, way, now);
                match dials.iter_mut().find(|(dialled, _)| *dialled == way) {
                    Some((_, addrs)) => addrs.push(addr),
                    None => dials.push((way, vec![addr])),
                }
            } else {
                self.peers.insert(addr, Peer::default());
                self.out.push_back(FetchEvent::PeerFailed {
                    addr,
                    failure: Failure::new(
                        Reason::Blocked,
                        Phase::Connect,
                        "a local or reserved address; `allow_local_peers` opens local ones",
                    ),
                    elapsed: Duration::ZERO,
                    last: true,
                });
            }
        }
        dials
    }

    fn begin(&mut self, addr: PeerAddr, way: Way, now: Instant) {
        let peer = self.peers.entry(addr).or_default();
        self.open_peers += usize::from(peer.open == 0);
        peer.open |= way.bit();
        peer.tried |= way.bit();
        if way == Way::Tcp {
            self.dialled.push_back((now, addr));
        }
        self.exhausted = false;
    }

    /// When the next peer is due for uTP, or a tracker that failed is given up.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let utp = self
            .dialled
            .front()
            .map(|(begun, _)| *begun + UTP_JOINS_AFTER);
        let trackers = self
            .trackers
            .values()
            .flatten()
            .map(|(failed, _)| *failed + TRACKER_GRACE);
        utp.into_iter().chain(trackers).min()
    }

    /// The peers that TCP has not reached in time.
    pub(crate) fn due(&mut self, now: Instant) -> Dial {
        let out = &mut self.out;
        self.trackers.retain(|url, failed| match failed {
            Some((since, error)) if now >= *since + TRACKER_GRACE => {
                out.push_back(FetchEvent::Tracker {
                    url: url.clone(),
                    result: Err(std::mem::take(error)),
                    answered: false,
                });
                false
            }
            _ => true,
        });
        let mut late = Vec::new();
        while let Some(&(begun, addr)) = self.dialled.front() {
            if now < begun + UTP_JOINS_AFTER {
                break;
            }
            self.dialled.pop_front();
            let waiting = self.peers.get(&addr).is_some_and(|peer| {
                !peer.connected
                    && !peer.inbound
                    && peer.open & Way::Tcp.bit() != 0
                    && peer.tried & Way::Utp.bit() == 0
            });
            if waiting && !self.finished {
                self.begin(addr, Way::Utp, now);
                late.push(addr);
            }
        }
        (Way::Utp, late)
    }

    /// A session could not take the torrent: its way is closed to every peer.
    pub(crate) fn way_failed(&mut self, way: Way, detail: &str) {
        let open: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.open & way.bit() != 0)
            .map(|(addr, _)| *addr)
            .collect();
        for addr in open {
            let failure = Failure::new(Reason::Internal, Phase::Connect, detail);
            self.fail(addr, way, failure, Duration::ZERO, Instant::now());
        }
        if matches!(way, Way::Tcp | Way::Lookup) {
            self.trackers.clear();
        }
    }

    /// Takes one event; returns whom to dial because of it.
    pub(crate) fn handle(&mut self, way: Way, event: Event, now: Instant) -> Option<Dial> {
        if self.finished {
            return None;
        }
        let addr = PeerAddr::from(event.peer);
        let elapsed = Duration::from_micros(event.micros);
        let is_open = self
            .peers
            .get(&addr)
            .is_some_and(|peer| peer.open & way.bit() != 0);
        match event.kind {
            // Of a connection that libtorrent made on its own, and whose end is nobody's business.
            EventKind::Connected | EventKind::Handshake | EventKind::Extension if !is_open => {}
            EventKind::PeerFound => self.found(addr, events::source(event.number), way, now),
            EventKind::Connected => {
                if let Some(peer) = self.peers.get_mut(&addr) {
                    peer.connected = true;
                }
                self.out.push_back(FetchEvent::Connected {
                    addr,
                    way: way.as_seen_outside(self.encryption),
                    elapsed,
                });
            }
            EventKind::Handshake => {
                let client = events::client_of(&event.data);
                self.out.push_back(FetchEvent::Handshake { addr, client });
            }
            EventKind::Extension => self.out.push_back(FetchEvent::Extension {
                addr,
                metadata_size: event.number,
                client: (!event.text.is_empty()).then_some(event.text),
            }),
            EventKind::PeerFailed => {
                return self.fail(addr, way, failure(&event), elapsed, now);
            }
            EventKind::Metadata => {
                self.finished = true;
                self.out.push_back(FetchEvent::Metadata {
                    addr,
                    way: way.as_seen_outside(self.encryption),
                    bytes: event.data,
                    elapsed,
                });
            }
            EventKind::TrackerReply => {
                self.trackers.remove(&event.text);
                self.out.push_back(FetchEvent::Tracker {
                    url: event.text,
                    result: Ok(u32::try_from(event.number).unwrap_or(0)),
                    answered: true,
                });
            }
            EventKind::TrackerError if event.number == 1 => {
                self.trackers.remove(&event.text);
                self.out.push_back(FetchEvent::Tracker {
                    url: event.text,
                    result: Err(event.detail),
                    answered: true,
                });
            }
            EventKind::TrackerError => {
                if let Some(failed) = self.trackers.get_mut(&event.text) {
                    failed.get_or_insert((now, event.detail));
                }
            }
            _ => {}
        }
        None
    }

    fn found(&mut self, addr: PeerAddr, source: PeerSource, way: Way, now: Instant) {
        if self.peers.contains_key(&addr) {
            return;
        }
        self.out.push_back(FetchEvent::Peer { addr, source });
        if self.lookup_only {
            self.peers.insert(addr, Peer::default());
            // Whoever was told that there is nothing more is told again, after this.
            self.exhausted = false;
            return;
        }
        self.begin(addr, way, now);
        if let Some(peer) = self.peers.get_mut(&addr) {
            peer.inbound = source == PeerSource::Inbound;
        }
    }

    fn fail(
        &mut self,
        addr: PeerAddr,
        way: Way,
        failure: Failure,
        elapsed: Duration,
        now: Instant,
    ) -> Option<Dial> {
        // Otherwise every way is, or none.
        let may_encrypt = self.encryption == Encryption::Prefer;
        let peer = self.peers.get_mut(&addr)?;
        if peer.open & way.bit() == 0 {
            return None;
        }
        let next = match way {
            _ if peer.inbound => None,
            _ if failure.reason == Reason::Internal => None,
            Way::Tcp if failure.phase == Phase::Connect => Some(Way::Utp),
            // A client with TCP switched off may still accept, and hang up on, a TCP connection.
            Way::Tcp if asks_for_encryption(&failure) => {
                Some(if may_encrypt { Way::TcpMse } else { Way::Utp })
            }
            Way::TcpMse if failure.phase == Phase::Connect || asks_for_encryption(&failure) => {
                Some(Way::Utp)
            }
            Way::Utp if may_encrypt && asks_for_encryption(&failure) => Some(Way::UtpMse),
            // What worked once need not work today.
            Way::Utp | Way::UtpMse if failure.phase == Phase::Connect => Some(Way::Tcp),
            _ => None,
        }
        .filter(|next| peer.tried & next.bit() == 0);
        let telling = match peer.failure.take() {
            Some(earlier) => more_telling(earlier, failure.clone()),
            None => failure.clone(),
        };
        peer.failure = Some(telling.clone());
        peer.open &= !way.bit();
        let gone = peer.open == 0;
        self.open_peers -= usize::from(gone);
        if let Some(next) = next {
            self.begin(addr, next, now);
        }
        let last = gone && next.is_none();
        self.out.push_back(FetchEvent::PeerFailed {
            addr,
            failure: if last { telling } else { failure },
            elapsed,
            last,
        });
        next.map(|next| (next, vec![addr]))
    }

    /// Says once that nothing is left to wait for.
    pub(crate) fn check_exhausted(&mut self) {
        if self.open_peers == 0 && self.trackers.is_empty() && !self.exhausted && !self.finished {
            self.exhausted = true;
            self.out.push_back(FetchEvent::Exhausted);
        }
    }
}

#[cfg(test)]
mod tests;
