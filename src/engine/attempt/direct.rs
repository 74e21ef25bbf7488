//! The direct arm's part in a hash.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{Bytes, Work};
use crate::direct::{Attempt, Progress, Request, Slot};
use crate::engine::attempts::Facts;
use crate::engine::choose::{self, Choice, Engaged};
use crate::engine::observe::traced;
use crate::torrent::{Arm, Failure, PeerAddr, Phase, Reason, Transport, Way};

/// Direct attempts that run. Dropping one closes its connection.
pub(super) type Running<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Attempt> + Send + 'a>>>;

/// For how long a peer is passed over for which no connection was free.
const PASSED_OVER_FOR: Duration = Duration::from_millis(500);

/// Silence for less than this says nothing of a peer: no connect timeout is shorter.
const JUST_DIALLED: Duration = Duration::from_millis(300);

/// What the direct arm does for one hash.
#[derive(Default)]
pub(super) struct DirectSide {
    /// Every peer that it has tried.
    engaged: HashMap<PeerAddr, Engaged>,
    /// The attempts that run.
    open: HashMap<PeerAddr, Open>,
    /// Peers for which no connection was free, and until when they are passed over.
    crowded: HashMap<PeerAddr, Instant>,
}

/// An attempt that runs.
struct Open {
    progress: Progress,
    since: Instant,
    why: String,
    encrypted: bool,
}

impl Open {
    /// How long it waits for the answer to its connection request, if it does. The wait for our own limits is not
    /// the peer's.
    fn is_dialling(&self) -> Option<Duration> {
        let is_dialling = self.progress.phase() == Phase::Connect;
        self.progress.dialled().filter(|_| is_dialling)
    }
}

impl DirectSide {
    pub(super) fn engaged(&self) -> &HashMap<PeerAddr, Engaged> {
        &self.engaged
    }

    /// The peers that are being tried, and since when.
    pub(super) fn in_hand(&self) -> impl Iterator<Item = (PeerAddr, Instant)> {
        self.open.iter().map(|(peer, open)| (*peer, open.since))
    }

    /// There was no free connection for this peer.
    pub(super) fn pass_over(&mut self, peer: PeerAddr, now: Instant) {
        self.crowded.insert(peer, now + PASSED_OVER_FOR);
    }

    /// Whether it is passed over at present.
    pub(super) fn is_crowded(&self, peer: &PeerAddr, now: Instant) -> bool {
        self.crowded.get(peer).is_some_and(|until| *until > now)
    }

    /// Whether some peer was passed over, and not tried since.
    pub(super) fn has_crowded(&self) -> bool {
        !self.crowded.is_empty()
    }

    /// How many attempts run, without those that have failed and listen on, and those that wait for an
    /// answer to their connection request for longer than `patience`.
    pub(super) fn busy(&self, patience: Duration) -> usize {
        let is_busy = |open: &&Open| {
            if open.progress.listens_on() {
                return false;
            }
            open.is_dialling().is_none_or(|since| since < patience)
        };
        self.open.values().filter(is_busy).count()
    }

    /// The attempts that run, since when, and how far they are.
    pub(super) fn progress(&self) -> impl Iterator<Item = (PeerAddr, Instant, &Progress)> {
        let open = self.open.iter();
        open.map(|(peer, open)| (*peer, open.since, &open.progress))
    }

    pub(super) fn phase(&self) -> Option<Phase> {
        self.open.values().map(|open| open.progress.phase()).max()
    }
}

impl<'a> Work<'a> {
    pub(super) fn begin_direct(
        &mut self,
        choice: &Choice,
        why: String,
        slot: Slot<'a>,
        running: &mut Running<'a>,
    ) {
        self.direct.crowded.remove(&choice.peer);
        let (stations, peer, since) = (self.stations, choice.peer, Instant::now());
        let progress = Progress::default();
        self.direct
            .engaged
            .insert(peer, Engaged::In(Phase::Connect));
        self.direct.open.insert(
            peer,
            Open {
                progress: progress.clone(),
                since,
                why,
                encrypted: choice.way.encrypted,
            },
        );
        let cap = stations.options.direct.connect_timeout;
        // Whoever is never waited for is never known to be slow: some get all the time there is.
        let history = &stations.history;
        let connect_timeout = history.connect_timeout(Transport::Tcp, cap, choice.explores);
        let infohash = &self.wanted.infohash;
        let request = Request {
            peer,
            connect_timeout,
            encrypted: choice.way.encrypted,
        };
        if stations.direct.listen_port().is_none()
            && let Some(port) = stations.listen_port()
        {
            stations.direct.set_listen_port(port);
        }
        let swarm = self.swarm.clone();
        let span =
            traced!("peer", %peer, arm = Arm::Direct.as_str(), outcome = tracing::field::Empty);
        let fetch = async move {
            let direct = &stations.direct;
            let attempt = direct.fetch_in(slot, &swarm, infohash, request, &progress);
            let attempt = attempt.await;
            let failure = attempt.result.as_ref().err();
            let outcome = failure.map_or("ok", |failure| failure.reason.as_str());
            tracing::Span::current().record("outcome", outcome);
            attempt
        };
        running.push(Box::pin(fetch.instrument(span)));
    }

    pub(super) fn on_direct(&mut self, attempt: Attempt) -> Bytes {
        let peer = attempt.peer;
        let open = self.direct.open.remove(&peer);
        let facts = Facts {
            way: Way::new(Arm::Direct, Transport::Tcp, attempt.encrypted),
            peer,
            duration: attempt.elapsed,
            connect_time: attempt.connect_time,
            why: open.map(|open| open.why).unwrap_or_default(),
            client: attempt.client,
            metadata_size: attempt.metadata_size,
        };
        match attempt.result {
            Err(failure) => {
                self.explain(format_args!("the direct arm gave up {peer}: {failure}"));
                self.direct
                    .engaged
                    .insert(peer, Engaged::Failed(failure.reason));
                self.note(facts, Some(failure));
                self.on_failure(Arm::Direct);
                None
            }
            Ok(bytes) => {
                self.note(facts, None);
                Some((Arm::Direct, peer, bytes))
            }
        }
    }

    /// Notes what was still running when the time was over.
    pub(super) fn direct_out_of_time(&mut self) {
        let limit = self.limit;
        for (peer, open) in std::mem::take(&mut self.direct.open) {
            // Who was not asked, or only just now, is not to blame, and nothing is known of the peer.
            let phase = open.progress.phase();
            let dialled = open.progress.dialled();
            let is_new =
                phase == Phase::Connect && dialled.is_none_or(|since| since < JUST_DIALLED);
            if phase == Phase::Lookup || is_new {
                continue;
            }
            let failure = choose::out_of_time(phase, limit);
            self.note_open_direct(peer, open, failure);
        }
    }

    /// Notes the peers that had not answered a connection request for longer than `patience` when
    /// another one delivered.
    pub(super) fn note_silent_direct(&mut self, patience: Duration) {
        for (peer, open) in std::mem::take(&mut self.direct.open) {
            if let Some(waited) = open.is_dialling()
                && waited >= patience
            {
                self.note_open_direct(peer, open, silent(waited));
            }
        }
    }

    /// The hash is resolved: whoever sent other bytes than these is known to lie, also if others had a part
    /// in what it was tried with, and however else its attempt ended.
    pub(super) fn note_liars(&mut self, right: &[u8]) {
        for peer in self.swarm.liars(right) {
            let known = self.direct.engaged.get(&peer);
            if known == Some(&Engaged::Failed(Reason::HashMismatch)) {
                continue;
            }
            self.explain(format_args!("{peer} sent blocks of something else"));
            let detail = "blocks that it served are not this torrent's";
            let failure = Failure::new(Reason::HashMismatch, Phase::Verify, detail);
            match self.direct.open.remove(&peer) {
                Some(open) => self.note_open_direct(peer, open, failure),
                None => self.amend(Arm::Direct, peer, failure),
            }
        }
    }

    fn note_open_direct(&mut self, peer: PeerAddr, open: Open, failure: Failure) {
        let facts = Facts {
            way: Way::new(Arm::Direct, Transport::Tcp, open.encrypted),
            peer,
            // What it waited for our own limits is not its time.
            duration: open.progress.dialled().unwrap_or_default(),
            connect_time: open.progress.connect_time(),
            why: open.why,
            client: None,
            metadata_size: None,
        };
        self.note(facts, Some(failure));
    }
}

/// The failure of a peer that was silent until another one delivered.
pub(super) fn silent(waited: Duration) -> Failure {
    Failure::new(
        Reason::ConnectTimeout,
        Phase::Connect,
        format!("no answer in {waited:.0?}, when another peer delivered"),
    )
}
