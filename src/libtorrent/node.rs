//! What the process has once: the routes from events to fetches, the listening sockets, the DHT.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use tokio::sync::{mpsc, watch};

use super::bridge::{Event, EventKind};
use super::events;
use super::lock;
use super::session::{Command, Commands};
use super::settings::{Settings, Way, alert_mask, listen_interfaces, setting};
use crate::torrent::PeerAddr;

/// Peers of one hash that are kept for a lookup that joins later.
const MAX_KEPT_PEERS: usize = 1000;

/// What a session has to say to a fetch.
pub(crate) enum FromSession {
    Event(Way, Event),
    WayFailed(Way, String),
}

/// How the arm is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// TCP endpoints we listen at.
    pub tcp: Vec<SocketAddr>,
    /// UDP endpoints we listen at; the DHT and uTP share them.
    pub udp: Vec<SocketAddr>,
    /// Endpoints that could not be listened at, each once, with the reason and what was done.
    pub listen_errors: Vec<String>,
    /// The DHT node.
    pub dht: DhtHealth,
    /// How often libtorrent has said that it dropped alerts.
    pub alerts_dropped: u64,
    /// Fetches in flight.
    pub torrents: usize,
}

/// How the DHT node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DhtHealth {
    /// It was not asked for.
    #[default]
    Off,
    /// It knows no other node yet.
    Starting,
    /// It works.
    Ready {
        /// Nodes in the routing table.
        nodes: u64,
    },
    /// It can't work, for now.
    Failed(String),
}

struct Lookup {
    subscribers: HashMap<u64, mpsc::UnboundedSender<Vec<PeerAddr>>>,
    seen: HashSet<PeerAddr>,
}

struct State {
    health: Health,
    /// What the listening session was last told to listen at.
    listen: Vec<SocketAddr>,
    dht_started: bool,
    dht_bootstrapped: bool,
    dht_error: Option<String>,
    lookups: HashMap<[u8; 20], Lookup>,
}

/// The receiving end of every session's events.
pub(crate) struct Node {
    settings: Settings,
    routes: Mutex<HashMap<u64, mpsc::UnboundedSender<FromSession>>>,
    state: Mutex<State>,
    dht_nodes: watch::Sender<u64>,
    next_subscriber: AtomicU64,
}

impl Node {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            routes: Mutex::default(),
            state: Mutex::new(State {
                health: Health::default(),
                listen: settings.listen.clone(),
                dht_started: false,
                dht_bootstrapped: false,
                dht_error: None,
                lookups: HashMap::new(),
            }),
            dht_nodes: watch::Sender::new(0),
            next_subscriber: AtomicU64::new(0),
        }
    }

    pub(crate) fn route(&self, key: u64) -> mpsc::UnboundedReceiver<FromSession> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.routes).insert(key, sender);
        receiver
    }

    pub(crate) fn end_route(&self, key: u64) {
        lock(&self.routes).remove(&key);
    }

    /// Ends every fetch and every lookup.
    pub(crate) fn end_all(&self) {
        lock(&self.routes).clear();
        lock(&self.state).lookups.clear();
    }

    pub(crate) fn way_failed(&self, key: u64, way: Way, detail: &str) {
        if let Some(fetch) = lock(&self.routes).get(&key) {
            let _ = fetch.send(FromSession::WayFailed(way, detail.to_owned()));
        }
    }

    /// Whether this address may be dialled.
    pub(crate) fn may_dial(&self, addr: &PeerAddr) -> bool {
        addr.is_public() || (self.settings.allow_local_peers && addr.is_local())
    }

    pub(crate) fn health(&self, torrents: usize) -> Health {
        let state = lock(&self.state);
        let mut health = state.health.clone();
        health.torrents = torrents;
        health.dht = match (&self.settings.dht, *self.dht_nodes.borrow()) {
            (None, _) => DhtHealth::Off,
            (Some(_), nodes) if nodes > 0 => DhtHealth::Ready { nodes },
            (Some(_), _) => match &state.dht_error {
                Some(error) => DhtHealth::Failed(error.clone()),
                None => DhtHealth::Starting,
            },
        };
        health
    }

    pub(crate) fn dht_nodes(&self) -> watch::Receiver<u64> {
        self.dht_nodes.subscribe()
    }

    /// Takes one event of the session of this way.
    pub(crate) fn handle(&self, way: Way, event: Event, commands: &Commands) {
        if event.torrent != 0 {
            // A fetch that has ended meanwhile has no route.
            if let Some(fetch) = lock(&self.routes).get(&event.torrent) {
                let _ = fetch.send(FromSession::Event(way, event));
            }
            return;
        }
        if event.kind == EventKind::AlertsDropped {
            lock(&self.state).health.alerts_dropped += 1;
            tracing::warn!(
                ?way,
                "libtorrent dropped alerts: its alert queue is too small"
            );
        }
        if way != Way::Tcp {
            return;
        }
        match event.kind {
            EventKind::Listening => self.listening(&event, commands),
            EventKind::ListenFailed => self.listen_failed(&event, commands),
            EventKind::DhtBootstrapped => {
                let mut state = lock(&self.state);
                state.dht_bootstrapped = true;
                self.apply_alert_mask(&state, commands);
                commands.send(Command::PostDhtNodes);
            }
            EventKind::DhtNodes => {
                let nodes = u64::try_from(event.number).unwrap_or(0);
                self.dht_nodes.send_replace(nodes);
            }
            EventKind::DhtFailed => {
                tracing::warn!(error = event.detail, "the DHT reports an error");
                lock(&self.state).dht_error = Some(event.detail);
            }
            EventKind::DhtPeers => self.deliver(&event.data),
            _ => {}
        }
    }

    fn listening(&self, event: &Event, commands: &Commands) {
        let addr = PeerAddr::from(event.peer).socket_addr();
        let is_udp = event.number == 1;
        let mut state = lock(&self.state);
        let list = if is_udp {
            &mut state.health.udp
        } else {
            &mut state.health.tcp
        };
        if !list.contains(&addr) {
            list.push(addr);
        }
        self.apply_alert_mask(&state, commands);
        if !is_udp || self.settings.dht.is_none() {
            return;
        }
        state.dht_error = None;
        if !state.dht_started {
            state.dht_started = true;
            commands.send(Command::Apply(vec![setting("enable_dht", true)]));
            for infohash in state.lookups.keys() {
                commands.send(Command::GetPeers(*infohash));
            }
        }
    }

    fn apply_alert_mask(&self, state: &State, commands: &Commands) {
        let all = state.listen.len();
        let sockets_pending = state.health.udp.len() < all
            || (self.settings.incoming && state.health.tcp.len() < all);
        let bootstrap_pending = self.settings.dht.is_some() && !state.dht_bootstrapped;
        commands.send(Command::Apply(vec![alert_mask(
            sockets_pending,
            bootstrap_pending,
        )]));
    }

    fn listen_failed(&self, event: &Event, commands: &Commands) {
        let addr = PeerAddr::from(event.peer).socket_addr();
        let mut state = lock(&self.state);
        let is_taken = matches!(
            Errno::from_raw_os_error(event.code),
            Errno::ADDRINUSE | Errno::ACCESS
        );
        let replaced = is_taken
            && addr.port() != 0
            && state.listen.iter_mut().any(|listen| {
                // libtorrent names each interface of an unspecified address.
                let is_any = listen.ip().is_unspecified()
                    && listen.is_ipv4() == addr.is_ipv4()
                    && listen.port() == addr.port();
                let is_this = *listen == addr || is_any;
                if is_this {
                    listen.set_port(0);
                }
                is_this
            });
        if replaced {
            let said = format!("{addr}: {}; another port was taken instead", event.detail);
            tracing::warn!("can't listen at {said}");
            state.health.listen_errors.push(said);
            state.health.tcp.retain(|tcp| *tcp != addr);
            state.health.udp.retain(|udp| *udp != addr);
            self.apply_alert_mask(&state, commands);
            commands.send(Command::Apply(vec![listen_interfaces(&state.listen)]));
        } else {
            let said = format!("{addr}: {}", event.detail);
            let is_known = (state.health.listen_errors.iter()).any(|known| {
                known
                    .strip_prefix(&addr.to_string())
                    .is_some_and(|rest| rest.starts_with(':'))
            });
            if !is_known {
                tracing::warn!("can't listen at {said}");
                state.health.listen_errors.push(said);
            }
        }
        if self.settings.dht.is_some() && state.health.udp.is_empty() {
            state.dht_error = Some(format!("no UDP socket listens: {}", event.detail));
        }
    }

    /// Begins, or joins, the lookup of a hash.
    pub(crate) fn look_up(
        &self,
        infohash: [u8; 20],
        commands: &Commands,
    ) -> (u64, mpsc::UnboundedReceiver<Vec<PeerAddr>>) {
        let id = self.next_subscriber.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::unbounded_channel();
        if self.settings.dht.is_none() {
            return (id, receiver);
        }
        let mut state = lock(&self.state);
        let is_started = state.dht_started;
        let lookup = state.lookups.entry(infohash).or_insert_with(|| Lookup {
            subscribers: HashMap::new(),
            seen: HashSet::new(),
        });
        if !lookup.seen.is_empty() {
            let _ = sender.send(lookup.seen.iter().copied().collect());
        }
        if lookup.subscribers.is_empty() && is_started {
            commands.send(Command::GetPeers(infohash));
        }
        lookup.subscribers.insert(id, sender);
        (id, receiver)
    }

    pub(crate) fn end_look_up(&self, infohash: &[u8; 20], id: u64) {
        let mut state = lock(&self.state);
        if let Some(lookup) = state.lookups.get_mut(infohash) {
            lookup.subscribers.remove(&id);
            if lookup.subscribers.is_empty() {
                state.lookups.remove(infohash);
            }
        }
    }

    fn deliver(&self, data: &[u8]) {
        let Some((infohash, mut peers)) = events::dht_peers(data) else {
            return;
        };
        peers.retain(|addr| self.may_dial(addr));
        if peers.is_empty() {
            return;
        }
        if let Some(lookup) = lock(&self.state).lookups.get_mut(&infohash) {
            let room = MAX_KEPT_PEERS.saturating_sub(lookup.seen.len());
            lookup.seen.extend(peers.iter().take(room));
            for subscriber in lookup.subscribers.values() {
                let _ = subscriber.send(peers.clone());
            }
        }
    }
}

/// Peers of one hash, as DHT nodes list them. Dropping it ends the lookup.
pub struct PeerLookup {
    pub(crate) arm: std::sync::Arc<super::arm::Arm>,
    pub(crate) infohash: [u8; 20],
    pub(crate) id: u64,
    pub(crate) peers: mpsc::UnboundedReceiver<Vec<PeerAddr>>,
}

impl PeerLookup {
    /// The peers that one more DHT node lists; the same peer may come again, from another node. The
    /// DHT never says that there are no more, so the caller has a deadline; `None` comes only where
    /// there is no DHT, or when the session is shut down. Cancel-safe.
    pub async fn next(&mut self) -> Option<Vec<PeerAddr>> {
        self.peers.recv().await
    }
}

impl Drop for PeerLookup {
    fn drop(&mut self) {
        self.arm.node().end_look_up(&self.infohash, self.id);
    }
}
