//! The direct arm's part in a hash.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::pace::Pace;
use super::{Bytes, Work};
use crate::direct::{Attempt, Progress};
use crate::discovery::Peers;
use crate::engine::Options;
use crate::engine::attempts::Facts;
use crate::engine::choose::{self, DirectStart, Engaged};
use crate::torrent::{Arm, PeerAddr, Phase, Way};

/// Direct attempts that run. Dropping one closes its connection.
pub(super) type Running<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Attempt> + Send + 'a>>>;

/// What the direct arm does for one hash.
pub(super) struct DirectSide {
    /// When it may start; never without.
    start: Option<Instant>,
    pace: Pace,
    /// Every peer that it has tried.
    engaged: HashMap<PeerAddr, Engaged>,
    progress: HashMap<PeerAddr, (Progress, Instant)>,
}

impl DirectSide {
    pub(super) fn new(start: DirectStart, options: &Options, now: Instant) -> Self {
        let start = match start {
            DirectStart::Now(_) => Some(now),
            DirectStart::After(wait) => Some(now + wait),
            DirectStart::Never => None,
        };
        Self {
            start,
            pace: Pace::new(now, options.stagger),
            engaged: HashMap::new(),
            progress: HashMap::new(),
        }
    }

    /// When it may try the next peer, if there is one.
    pub(super) fn due(
        &self,
        peers: &Peers,
        libtorrent: &HashMap<PeerAddr, Engaged>,
    ) -> Option<Instant> {
        let start = self.start?;
        choose::next_peer(Arm::Direct, peers, &self.engaged, libtorrent)?;
        Some(start.max(self.pace.due()))
    }

    pub(super) fn has_none_left(
        &self,
        peers: &Peers,
        libtorrent: &HashMap<PeerAddr, Engaged>,
    ) -> bool {
        self.start.is_none()
            || choose::next_peer(Arm::Direct, peers, &self.engaged, libtorrent).is_none()
    }

    pub(super) fn engaged(&self) -> &HashMap<PeerAddr, Engaged> {
        &self.engaged
    }

    pub(super) fn phase(&self) -> Option<Phase> {
        self.progress
            .values()
            .map(|(progress, _)| progress.phase())
            .max()
    }
}

impl<'a> Work<'a> {
    /// With [`Strategy::Auto`](crate::engine::Strategy::Auto), libtorrent's first failure ends its
    /// time alone.
    pub(super) fn hasten_direct(&mut self, why: &str) {
        let now = Instant::now();
        if let Some(start) = self.direct.start.as_mut()
            && *start > now
        {
            *start = now;
            self.explain(format_args!("the direct arm joins: {why}"));
        }
    }

    /// Starts direct attempts: not too many at a time, and not all at once.
    pub(super) fn start_direct(&mut self, running: &mut Running<'a>) {
        let now = Instant::now();
        let stations = self.stations;
        if self.direct.start.is_none_or(|start| start > now) {
            return;
        }
        while running.len() < stations.options.peers_at_once && self.direct.pace.due() <= now {
            let libtorrent = self.libtorrent.engaged();
            let Some(peer) =
                choose::next_peer(Arm::Direct, &self.peers, &self.direct.engaged, libtorrent)
            else {
                return;
            };
            self.explain(format_args!("the direct arm tries {peer}"));
            self.direct
                .engaged
                .insert(peer, Engaged::In(Phase::Connect));
            self.direct.pace.tried(now);
            let progress = Progress::default();
            self.direct.progress.insert(peer, (progress.clone(), now));
            let infohash = &self.wanted.infohash;
            running.push(Box::pin(async move {
                stations.direct.fetch(infohash, peer, &progress).await
            }));
        }
    }

    pub(super) fn on_direct(&mut self, attempt: Attempt) -> Bytes {
        let peer = attempt.peer;
        self.direct.progress.remove(&peer);
        let facts = Facts {
            way: Way::plain(Arm::Direct),
            peer,
            duration: attempt.elapsed,
            connect_time: attempt.connect_time,
            why: String::new(),
            client: attempt.client,
            metadata_size: attempt.metadata_size,
        };
        match attempt.result {
            Err(failure) => {
                self.explain(format_args!("the direct arm gave up {peer}: {failure}"));
                self.direct.pace.failed(Instant::now());
                self.direct
                    .engaged
                    .insert(peer, Engaged::Failed(failure.reason));
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

    /// Notes what was still running when the time was over.
    pub(super) fn direct_out_of_time(&mut self) {
        let limit = self.stations.options.timeout;
        for (peer, (progress, since)) in std::mem::take(&mut self.direct.progress) {
            // Without a free connection nobody was asked, and nothing is known of the peer.
            if progress.phase() == Phase::Lookup {
                continue;
            }
            let failure = choose::out_of_time(progress.phase(), limit);
            let facts = Facts {
                way: Way::plain(Arm::Direct),
                peer,
                duration: since.elapsed(),
                connect_time: progress.connect_time(),
                why: String::new(),
                client: None,
                metadata_size: None,
            };
            self.attempts
                .push(facts, self.peers.get(&peer), Some(failure));
        }
    }
}
