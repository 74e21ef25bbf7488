//! The arm: one session for each way to a peer, opened when that way is first taken.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::bridge::ffi;
use super::dht::{self, keeper, saved};
use super::fetch::{Fetch, FetchRequest};
use super::lock;
use super::node::{Health, Node};
use super::session::{Command, Commands, Session};
use super::settings::{Settings, Way};
use crate::discovery::dht::Owner;
use crate::torrent::{Infohash, PeerAddr};
use crate::wire::krpc::{NodeAddr, NodeId};

/// How long a shutdown may take before sessions are left to end by themselves.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(2);

/// How long the identities may take to name their states.
const STATE_WITHIN: Duration = Duration::from_secs(5);

/// Why the arm can't do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// libtorrent refused to start a session.
    #[error("libtorrent could not start a session: {0}; check the libtorrent settings")]
    Open(String),
    /// Sessions deliver their events through a tokio runtime.
    #[error("the libtorrent arm needs a running tokio runtime: call it from inside one")]
    NoRuntime,
    /// One torrent can be in a session only once.
    #[error("{0} is being fetched already: join that fetch, or wait for its end")]
    Duplicate(Infohash),
    /// As many fetches as `max_torrents` allows are under way.
    #[error("{0} torrents are being fetched already: wait for one to end, or raise `max_torrents`")]
    Full(usize),
    /// The arm was shut down.
    #[error("the libtorrent arm was shut down: open a new one")]
    Closed,
}

/// What the arm and its fetches share.
pub(crate) struct Arm {
    settings: Settings,
    node: Arc<Node>,
    sessions: Mutex<HashMap<Way, Session>>,
    /// Wire ids of the hashes in flight.
    claims: Mutex<HashSet<[u8; 20]>>,
    next_key: AtomicU64,
    in_flight: AtomicUsize,
    closed: AtomicBool,
}

impl Arm {
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn may_dial(&self, addr: &PeerAddr) -> bool {
        self.node.may_dial(addr)
    }

    /// The commands of the session of this way, which is opened where it is not.
    pub(crate) fn commands(&self, way: Way) -> Result<Commands, SessionError> {
        let mut sessions = lock(&self.sessions);
        if let Some(session) = sessions.get(&way) {
            return Ok(session.commands().clone());
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(SessionError::Closed);
        }
        let session = Session::open(&self.settings, way, &self.node)?;
        let commands = session.commands().clone();
        if let (Some(dht), Some(at)) = (&self.settings.dht, way.identity()) {
            self.node.add_identity(commands.clone());
            let keeper = keeper::keep(Arc::clone(&self.node), dht.clone(), at, commands.clone());
            tokio::spawn(keeper);
        }
        sessions.insert(way, session);
        Ok(commands)
    }

    pub(crate) fn end(&self, key: u64, infohash: &Infohash) {
        self.node.end_route(key);
        let mut claims = lock(&self.claims);
        for id in ids(infohash) {
            claims.remove(&id);
        }
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Arm {
    fn drop(&mut self) {
        self.node.end_all();
    }
}

/// The ids that stand for this torrent in handshakes: SHA-1, and SHA-256 cut short.
fn ids(infohash: &Infohash) -> impl Iterator<Item = [u8; 20]> {
    let v1 = infohash.v1().copied();
    let v2 = infohash.v2().map(|v2| Infohash::V2(*v2).wire_id());
    v1.into_iter().chain(v2)
}

/// The libtorrent arm. Clones are handles of the same sessions, which end with the last handle and
/// the last [`Fetch`].
///
/// A torrent can be in it only once. Two fetches of one hash, or of the two hashes of one hybrid
/// where both requests name them, are refused; where nobody can know yet that a v1 and a v2 hash
/// belong together, both are fetched, which is safe here since no torrent is ever given its metadata.
#[derive(Clone)]
pub struct Libtorrent {
    arm: Arc<Arm>,
}

impl Libtorrent {
    /// Opens the listening session. Must be called inside a tokio runtime. A port that is taken is
    /// no error: see [`Libtorrent::health`].
    pub fn open(settings: &Settings) -> Result<Self, SessionError> {
        let settings = settings.clone().in_effect();
        let identities = settings.dht.as_ref().map_or(1, |dht| dht.identities);
        let arm = Arc::new(Arm {
            node: Arc::new(Node::new(&settings)),
            settings,
            sessions: Mutex::default(),
            claims: Mutex::default(),
            next_key: AtomicU64::new(1),
            in_flight: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        });
        arm.commands(Way::Tcp)?;
        for number in 1..identities {
            arm.commands(Way::Identity(number))?;
        }
        Ok(Self { arm })
    }

    /// Lends the DHT node: sends the queries of the [`Dht`](crate::discovery::dht::Dht) whose owner's
    /// end this is, and tells it what other nodes ask, until the sessions end. Without a DHT every
    /// query ends at once. Must be called inside a tokio runtime, once.
    pub fn serve_dht(&self, owner: Owner) {
        if self.arm.settings.dht.is_some() && !self.arm.closed.load(Ordering::Acquire) {
            tokio::spawn(dht::serve(Arc::clone(&self.arm.node), owner));
        }
    }

    /// The nodes of the routing tables.
    pub async fn dht_live_nodes(&self) -> Vec<NodeAddr> {
        let mut all = Vec::new();
        let identities = self.arm.node.identities();
        for (at, identity) in identities.iter().enumerate() {
            all.extend(self.arm.node.live_nodes(at, &identity.commands).await);
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Our own node ids, one for each socket of each identity, as far as they are known.
    #[must_use]
    pub fn dht_ids(&self) -> Vec<NodeId> {
        (self.arm.node.identities().into_iter())
            .flat_map(|identity| identity.ids)
            .collect()
    }

    /// The version of libtorrent-rasterbar that is loaded, such as `2.0.8.0`.
    #[must_use]
    pub fn version() -> String {
        ffi::library_version()
    }

    /// Begins a fetch: its peers are dialled at once.
    pub fn fetch(&self, request: FetchRequest) -> Result<Fetch, SessionError> {
        let arm = &self.arm;
        if arm.closed.load(Ordering::Acquire) {
            return Err(SessionError::Closed);
        }
        let limit = arm.settings.max_torrents;
        {
            let mut claims = lock(&arm.claims);
            if arm.in_flight.load(Ordering::Acquire) >= limit {
                return Err(SessionError::Full(limit));
            }
            if ids(&request.infohash).any(|id| claims.contains(&id)) {
                return Err(SessionError::Duplicate(request.infohash));
            }
            claims.extend(ids(&request.infohash));
            arm.in_flight.fetch_add(1, Ordering::AcqRel);
        }
        let key = arm.next_key.fetch_add(1, Ordering::Relaxed);
        let events = arm.node.route(key);
        Fetch::begin(arm, key, request, events)
    }

    /// How the arm is. The number of DHT nodes is the last that is known, and is asked for anew.
    #[must_use]
    pub fn health(&self) -> Health {
        for identity in self.arm.node.identities() {
            identity.commands.send(Command::PostDhtNodes);
        }
        let torrents = self.arm.in_flight.load(Ordering::Acquire);
        self.arm.node.health(torrents)
    }

    /// Waits until the DHT knows another node, whichever identity of it; false where it does not `within` this time.
    pub async fn dht_ready(&self, within: Duration) -> bool {
        if self.arm.settings.dht.is_none() {
            return false;
        }
        let deadline = Instant::now() + within;
        let mut nodes = self.arm.node.dht_nodes();
        while !self.arm.closed.load(Ordering::Acquire) {
            for identity in self.arm.node.identities() {
                identity.commands.send(Command::PostDhtNodes);
            }
            // libtorrent has no event for a first node, so it is asked for its count.
            let again = (Instant::now() + Duration::from_millis(100)).min(deadline);
            match timeout_at(again, nodes.wait_for(|nodes| *nodes > 0)).await {
                Ok(ready) => return ready.is_ok(),
                Err(_) if Instant::now() >= deadline => return false,
                Err(_) => {}
            }
        }
        false
    }

    /// The DHT's node ids and nodes, of every identity, for [`DhtSettings::state`](super::DhtSettings) of the next run.
    /// `None` where an identity does not name its own in time: what was saved before is better than a part.
    pub async fn dht_state(&self) -> Option<Vec<u8>> {
        self.arm.settings.dht.as_ref()?;
        let asked = (self.arm.node.identities().into_iter()).map(|identity| {
            let (reply, state) = oneshot::channel();
            identity.commands.send(Command::DhtState(reply));
            state
        });
        let states = timeout(STATE_WITHIN, try_join_all(asked))
            .await
            .ok()?
            .ok()?;
        let states: Vec<Vec<u8>> = states.into_iter().collect::<Option<_>>()?;
        states
            .iter()
            .any(|state| !state.is_empty())
            .then(|| saved::join(&states))
    }

    /// How many more fetches may begin.
    #[must_use]
    pub fn free_slots(&self) -> usize {
        let in_flight = self.arm.in_flight.load(Ordering::Acquire);
        self.arm.settings.max_torrents.saturating_sub(in_flight)
    }

    /// Ends every fetch, lookup and session, within two seconds.
    pub async fn shutdown(&self) {
        self.arm.closed.store(true, Ordering::Release);
        self.arm.node.end_all();
        let mut sessions: Vec<Session> = lock(&self.arm.sessions).drain().map(|(_, s)| s).collect();
        let mut ended = Vec::new();
        for session in &sessions {
            let (reply, end) = oneshot::channel();
            session.commands().send(Command::Close(Some(reply)));
            ended.push(end);
        }
        let all = async {
            for end in ended {
                let _ = end.await;
            }
        };
        if timeout(SHUTDOWN_WITHIN, all).await.is_err() {
            tracing::warn!("a libtorrent session is slow to end and is left behind");
            sessions.iter_mut().for_each(Session::leave_behind);
        }
    }
}
