//! One hash: its peers, its events, and the torrents it has in the sessions.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{Notify, mpsc};

use super::arm::{Arm, SessionError};
use super::bridge::{Peer, Torrent};
use super::events::FetchEvent;
use super::lock;
use super::node::FromSession;
use super::session::Command;
use super::settings::Way;
use super::ways::{Dial, Ways};
use crate::torrent::{self, Infohash, PeerAddr, Phase, Reason};

/// What to fetch, and from whom.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// The hash.
    pub infohash: Infohash,
    /// Trackers to ask: `http`, `https` and `udp` URLs.
    pub trackers: Vec<String>,
    /// Peers to dial at once, each with the way to take first.
    pub peers: Vec<(PeerAddr, torrent::Way)>,
    /// Only ask the trackers, and report the peers they name: nobody is dialled.
    pub lookup_only: bool,
}

/// The torrent of one fetch, in every session it has come to.
struct Torrents {
    ways: Ways,
    /// Sessions that have the torrent.
    added: u8,
}

/// A fetch under way. Its events come as long as [`Fetch::next`] is called, and so do the second
/// ways to a peer; dropping it removes the torrent from every session.
pub struct Fetch {
    arm: Arc<Arm>,
    key: u64,
    request: FetchRequest,
    torrents: Mutex<Torrents>,
    events: mpsc::UnboundedReceiver<FromSession>,
    connected: Notify,
    /// The next event, while it is found out whether the proxy is to blame.
    judged: Option<FetchEvent>,
}

impl Fetch {
    pub(crate) fn begin(
        arm: &Arc<Arm>,
        key: u64,
        mut request: FetchRequest,
        events: mpsc::UnboundedReceiver<FromSession>,
    ) -> Result<Self, SessionError> {
        request.trackers.sort();
        request.trackers.dedup();
        let peers = std::mem::take(&mut request.peers);
        let ways = Ways::new(
            &request.trackers,
            request.lookup_only,
            arm.settings().encryption,
        );
        let fetch = Self {
            arm: Arc::clone(arm),
            key,
            request,
            torrents: Mutex::new(Torrents { ways, added: 0 }),
            events,
            connected: Notify::new(),
            judged: None,
        };
        let first = if fetch.request.lookup_only {
            Way::Lookup
        } else {
            Way::Tcp
        };
        {
            let mut torrents = lock(&fetch.torrents);
            let dials = torrents
                .ways
                .add(&peers, Instant::now(), |addr| arm.may_dial(addr));
            // The first session takes the torrent in any case: it has the trackers, and the port
            // that peers connect to.
            let (firsts, others) = dials
                .into_iter()
                .partition::<Vec<_>, _>(|dial| dial.0 == first);
            let firsts = firsts.into_iter().flat_map(|(_, peers)| peers).collect();
            fetch.dial(&mut torrents, (first, firsts))?;
            for dial in others {
                fetch.dial_or_fail(&mut torrents, dial);
            }
        }
        Ok(fetch)
    }

    /// The next event; `None` once the metadata was handed out, or the session was shut down.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<FetchEvent> {
        if self.judged.is_none() {
            self.judged = self.next_unjudged().await;
        }
        // What libtorrent says of a peer that it could not connect to may be true of the proxy.
        if let Some(proxy) = &self.arm.settings().proxy
            && let Some(FetchEvent::PeerFailed { failure, .. }) = &mut self.judged
            && failure.phase == Phase::Connect
            && failure.reason != Reason::Internal
        {
            *failure = proxy.judge(failure.clone()).await;
        }
        self.judged.take()
    }

    async fn next_unjudged(&mut self) -> Option<FetchEvent> {
        loop {
            let due = {
                let mut torrents = lock(&self.torrents);
                if let Some(event) = torrents.ways.out.pop_front() {
                    return Some(event);
                }
                torrents.ways.check_exhausted();
                if let Some(event) = torrents.ways.out.pop_front() {
                    return Some(event);
                }
                if torrents.ways.is_finished() {
                    return None;
                }
                torrents.ways.next_due()
            };
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.events.recv() => self.take(event?),
                () = self.connected.notified() => {}
                () = timer => {
                    let mut torrents = lock(&self.torrents);
                    let dial = torrents.ways.due(Instant::now());
                    self.dial_or_fail(&mut torrents, dial);
                }
            }
        }
    }

    /// Dials more peers, at once, each on the way that is to be taken first. One that this fetch
    /// knows already is not dialled again, and with `lookup_only` nobody is.
    pub fn connect(&self, peers: &[(PeerAddr, torrent::Way)]) {
        let mut torrents = lock(&self.torrents);
        let dials = torrents
            .ways
            .add(peers, Instant::now(), |addr| self.arm.may_dial(addr));
        for dial in dials {
            self.dial_or_fail(&mut torrents, dial);
        }
        self.connected.notify_one();
    }

    fn take(&self, event: FromSession) {
        let mut torrents = lock(&self.torrents);
        match event {
            FromSession::Event(way, event) => {
                if let Some(dial) = torrents.ways.handle(way, event, Instant::now()) {
                    self.dial_or_fail(&mut torrents, dial);
                }
                if torrents.ways.is_finished() {
                    self.remove(&mut torrents);
                }
            }
            FromSession::WayFailed(way, detail) => torrents.ways.way_failed(way, &detail),
        }
    }

    fn dial_or_fail(&self, torrents: &mut Torrents, (way, peers): Dial) {
        if peers.is_empty() {
            return;
        }
        if let Err(error) = self.dial(torrents, (way, peers)) {
            torrents.ways.way_failed(way, &error.to_string());
        }
    }

    fn dial(&self, torrents: &mut Torrents, (way, peers): Dial) -> Result<(), SessionError> {
        let commands = self.arm.commands(way)?;
        let peers: Vec<Peer> = peers.into_iter().map(Peer::from).collect();
        if torrents.added & way.bit() != 0 {
            commands.send(Command::Connect(self.key, peers));
            return Ok(());
        }
        torrents.added |= way.bit();
        // Only the session that listens has a port worth announcing; the lookup session has its own.
        let announces = matches!(way, Way::Tcp | Way::Lookup);
        let trackers = if announces {
            self.request.trackers.clone()
        } else {
            Vec::new()
        };
        let infohash = &self.request.infohash;
        commands.send(Command::Add(Torrent {
            key: self.key,
            v1: infohash.v1().map(|v1| v1.to_vec()).unwrap_or_default(),
            v2: infohash.v2().map(|v2| v2.to_vec()).unwrap_or_default(),
            trackers,
            peers,
            pex: self.arm.settings().pex,
            lsd: self.arm.settings().lsd && announces,
            anonymous: self.arm.settings().anonymous,
        }));
        Ok(())
    }

    fn remove(&self, torrents: &mut Torrents) {
        for way in [Way::Tcp, Way::TcpMse, Way::Utp, Way::UtpMse, Way::Lookup] {
            if torrents.added & way.bit() != 0
                && let Ok(commands) = self.arm.commands(way)
            {
                commands.send(Command::Remove(self.key));
            }
        }
        torrents.added = 0;
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        let mut torrents = lock(&self.torrents);
        self.remove(&mut torrents);
        drop(torrents);
        self.arm.end(self.key, &self.request.infohash);
    }
}
