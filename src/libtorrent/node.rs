//! What the process has once: the routes from events to fetches, the listening sockets, the DHT.

mod health;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::bridge::{DhtTraffic, Event, EventKind};
use super::dht::identity::{Identity, Sender, listen_of};
use super::dht::requests::Requests;
use super::dht::traffic;
use super::events;
use super::lock;
use super::port;
use super::session::{Command, Commands};
use super::settings::{Settings, Way, alert_mask, listen_interfaces, setting};
use crate::discovery::dht::{ObservedKind, ObservedSender};
use crate::proxy::Proxy;
use crate::torrent::PeerAddr;
use crate::wire::krpc::{NodeAddr, NodeId};

pub use self::health::{DhtHealth, Health};

/// How long libtorrent may take to name the nodes of its routing table.
const LIVE_NODES_WITHIN: Duration = Duration::from_secs(2);

/// What a session has to say to a fetch.
pub(crate) enum FromSession {
    Event(Way, Event),
    WayFailed(Way, String),
}

struct State {
    alerts_dropped: u64,
    /// The listening session's, and then those of the other identities.
    identities: Vec<Identity>,
    /// Of each identity, what the log was last told of its health.
    said: Vec<Option<health::Word>>,
}

type LiveNodes = HashMap<NodeId, Vec<oneshot::Sender<Vec<NodeAddr>>>>;

/// The receiving end of every session's events.
pub(crate) struct Node {
    settings: Settings,
    routes: Mutex<HashMap<u64, mpsc::UnboundedSender<FromSession>>>,
    state: Mutex<State>,
    dht_nodes: watch::Sender<u64>,
    requests: Requests,
    live_nodes: Mutex<LiveNodes>,
    /// The sessions of the identities.
    senders: Mutex<Vec<Commands>>,
    observed: Mutex<Option<ObservedSender>>,
    closed: CancellationToken,
}

/// Whether a listen error is one of this address. Those of an unspecified address name each interface.
fn is_about(said: &str, addr: SocketAddr) -> bool {
    let named = said
        .split_once(": ")
        .and_then(|(named, _)| named.parse::<SocketAddr>().ok());
    named.is_some_and(|named| {
        let is_any = addr.ip().is_unspecified() && addr.is_ipv4() == named.is_ipv4();
        named.port() == addr.port() && (named.ip() == addr.ip() || is_any)
    })
}

impl Node {
    pub(crate) fn new(settings: &Settings) -> Self {
        let count = settings.dht.as_ref().map_or(1, |dht| dht.identities.max(1));
        let identities =
            (0..count).map(|number| Identity::new(listen_of(&settings.listen, number)));
        Self {
            settings: settings.clone(),
            routes: Mutex::default(),
            state: Mutex::new(State {
                alerts_dropped: 0,
                identities: identities.collect(),
                said: vec![None; usize::from(count)],
            }),
            dht_nodes: watch::Sender::new(0),
            requests: Requests::default(),
            live_nodes: Mutex::default(),
            senders: Mutex::default(),
            observed: Mutex::default(),
            closed: CancellationToken::new(),
        }
    }

    /// Cancelled when the sessions end.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// The queries of the DHT that wait for an answer.
    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// The sessions that have a DHT node, in order.
    pub(crate) fn add_identity(&self, commands: Commands) {
        lock(&self.senders).push(commands);
    }

    /// Those that queries can leave from, in order.
    pub(crate) fn identities(&self) -> Vec<Sender> {
        let senders = lock(&self.senders);
        let state = lock(&self.state);
        (senders.iter().zip(&state.identities))
            .map(|(commands, identity)| Sender {
                works: self
                    .settings
                    .dht
                    .as_ref()
                    .is_some_and(|dht| identity.works(dht)),
                ids: identity.ids.values().copied().collect(),
                commands: commands.clone(),
            })
            .collect()
    }

    /// The node ids of one identity.
    pub(crate) fn own_ids(&self, at: usize) -> Vec<NodeId> {
        (lock(&self.state).identities.get(at))
            .map(|identity| identity.ids.values().copied().collect())
            .unwrap_or_default()
    }

    /// A bootstrap of this identity has been tried.
    pub(crate) fn bootstrap_ended(&self, at: usize) {
        if let Some(identity) = lock(&self.state).identities.get_mut(at) {
            identity.tried = identity.nodes == 0;
        }
    }

    /// Where observed queries go.
    pub(crate) fn observe_for(&self, observed: ObservedSender) {
        *lock(&self.observed) = Some(observed);
    }

    /// Takes what other nodes asked of ours.
    pub(crate) fn observed(&self, traffic: &DhtTraffic) {
        if traffic.entries.is_empty() && traffic.lost == 0 && traffic.flooded == 0 {
            return;
        }
        let observed = lock(&self.observed);
        let Some(sender) = &*observed else { return };
        sender.not_seen(traffic.lost, traffic.flooded);
        for (observed, own) in traffic::observations(&traffic.entries) {
            let is_other = observed.kind == ObservedKind::Other;
            if self.may_dial(&observed.from) && (is_other || observed.is_plausible(&own)) {
                sender.send(observed);
            }
        }
    }

    /// The nodes of the routing tables of one identity.
    pub(crate) async fn live_nodes(&self, at: usize, commands: &Commands) -> Vec<NodeAddr> {
        let mut all = Vec::new();
        for id in self.own_ids(at) {
            let (reply, nodes) = oneshot::channel();
            lock(&self.live_nodes).entry(id).or_default().push(reply);
            commands.send(Command::PostLiveNodes(id.0));
            match timeout(LIVE_NODES_WITHIN, nodes).await {
                Ok(nodes) => all.extend(nodes.unwrap_or_default()),
                Err(_) => {
                    lock(&self.live_nodes).remove(&id);
                }
            }
        }
        all
    }

    pub(crate) fn route(&self, key: u64) -> mpsc::UnboundedReceiver<FromSession> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.routes).insert(key, sender);
        receiver
    }

    pub(crate) fn end_route(&self, key: u64) {
        lock(&self.routes).remove(&key);
    }

    /// Ends every fetch and every query.
    pub(crate) fn end_all(&self) {
        self.closed.cancel();
        lock(&self.routes).clear();
        lock(&self.live_nodes).clear();
    }

    pub(crate) fn way_failed(&self, key: u64, way: Way, detail: &str) {
        if let Some(fetch) = lock(&self.routes).get(&key) {
            let _ = fetch.send(FromSession::WayFailed(way, detail.to_owned()));
        }
    }

    /// What everything goes through, if anything.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.settings.proxy.as_ref()
    }

    /// Whether this address may be dialled.
    pub(crate) fn may_dial(&self, addr: &PeerAddr) -> bool {
        addr.is_public() || (self.settings.allow_local_peers && addr.is_local())
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
            lock(&self.state).alerts_dropped += 1;
            tracing::warn!(
                ?way,
                "libtorrent dropped alerts: its alert queue is too small"
            );
        }
        let Some(at) = way.identity() else { return };
        match event.kind {
            EventKind::Listening => self.listening(at, &event, commands),
            EventKind::ListenFailed => self.listen_failed(at, &event, commands),
            EventKind::DhtAnswer => {
                let key = u64::from_ne_bytes(event.number.to_ne_bytes());
                self.requests.answered(key, event.peer.into(), event.data);
            }
            EventKind::DhtBootstrapped => {
                self.with_identity(at, |identity, node| {
                    identity.bootstrapped = true;
                    node.apply_alert_mask(identity, commands);
                });
                commands.send(Command::PostDhtNodes);
            }
            EventKind::DhtNodes => {
                let nodes = u64::try_from(event.number).unwrap_or(0);
                let mut heard = false;
                self.with_identity(at, |identity, _| {
                    heard = identity.counted(nodes, event.micros);
                });
                if heard && let Some(observed) = &*lock(&self.observed) {
                    observed.heard();
                }
                let state = lock(&self.state);
                let all = (state.identities.iter())
                    .map(|identity| identity.nodes)
                    .sum();
                self.dht_nodes.send_replace(all);
            }
            EventKind::DhtId => {
                // Where the DHT has not started, libtorrent names one of zeros.
                if let Ok(id) = event.data.as_slice().try_into()
                    && id != [0; 20]
                {
                    let socket = PeerAddr::from(event.peer).socket_addr();
                    self.with_identity(at, |identity, _| identity.ids.insert(socket, NodeId(id)));
                }
            }
            EventKind::DhtLiveNodes => {
                if let Some((own, nodes)) = events::live_nodes(&event.data) {
                    let waiting = lock(&self.live_nodes).remove(&own);
                    for reply in waiting.into_iter().flatten() {
                        let _ = reply.send(nodes.clone());
                    }
                }
            }
            EventKind::DhtFailed => {
                let error = event.detail;
                self.with_identity(at, |identity, _| {
                    if identity.error.as_ref() != Some(&error) {
                        tracing::warn!(identity = at, error, "the DHT reports an error");
                        identity.error = Some(error);
                    }
                });
            }
            _ => {}
        }
    }

    fn with_identity<T>(&self, at: usize, what: impl FnOnce(&mut Identity, &Self) -> T) {
        if let Some(identity) = lock(&self.state).identities.get_mut(at) {
            what(identity, self);
        }
    }

    fn listening(&self, at: usize, event: &Event, commands: &Commands) {
        let addr = PeerAddr::from(event.peer).socket_addr();
        let is_udp = event.number == 1;
        let mut starts = false;
        self.with_identity(at, |identity, node| {
            let list = if is_udp {
                &mut identity.udp
            } else {
                &mut identity.tcp
            };
            if !list.contains(&addr) {
                list.push(addr);
            }
            node.apply_alert_mask(identity, commands);
            if is_udp && node.settings.dht.is_some() {
                identity.error = None;
                starts = !identity.is_started();
                if starts {
                    identity.start();
                }
            }
        });
        if starts {
            commands.send(Command::Apply(vec![setting("enable_dht", true)]));
            commands.send(Command::PostDhtNodes);
        }
    }

    fn apply_alert_mask(&self, identity: &Identity, commands: &Commands) {
        let all = identity.listen.len();
        let sockets_pending =
            identity.udp.len() < all || (self.settings.incoming && identity.tcp.len() < all);
        let bootstrap_pending = self.settings.dht.is_some() && !identity.bootstrapped;
        commands.send(Command::Apply(vec![alert_mask(
            sockets_pending,
            bootstrap_pending,
        )]));
    }

    /// Listens again at those ports that were taken at the start, or later, and are free now.
    pub(crate) fn take_ports_again(&self, at: usize, commands: &Commands) {
        let mut taken = Vec::new();
        self.with_identity(at, |identity, _| taken = identity.taken());
        taken.retain(|addr| port::try_udp(*addr).is_ok() && port::try_tcp(*addr).is_ok());
        if taken.is_empty() {
            return;
        }
        self.with_identity(at, |identity, node| {
            identity.take_again(&taken);
            for addr in &taken {
                tracing::warn!("{addr} is free again, and is listened at");
                (identity.listen_errors).retain(|said| !is_about(said, *addr));
            }
            node.apply_alert_mask(identity, commands);
            commands.send(Command::Apply(vec![listen_interfaces(&identity.listen)]));
        });
    }

    fn listen_failed(&self, at: usize, event: &Event, commands: &Commands) {
        let addr = PeerAddr::from(event.peer).socket_addr();
        let is_taken = matches!(
            Errno::from_raw_os_error(event.code),
            Errno::ADDRINUSE | Errno::ACCESS
        );
        self.with_identity(at, |identity, node| {
            let replaced = is_taken
                && addr.port() != 0
                && identity.listen.iter_mut().any(|listen| {
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
                identity.listen_errors.push(said);
                identity.tcp.retain(|tcp| *tcp != addr);
                identity.udp.retain(|udp| *udp != addr);
                identity.listens_anew();
                node.apply_alert_mask(identity, commands);
                commands.send(Command::Apply(vec![listen_interfaces(&identity.listen)]));
            } else {
                let said = format!("{addr}: {}", event.detail);
                let is_known = (identity.listen_errors.iter()).any(|known| {
                    known
                        .strip_prefix(&addr.to_string())
                        .is_some_and(|rest| rest.starts_with(':'))
                });
                if !is_known {
                    tracing::warn!("can't listen at {said}");
                    identity.listen_errors.push(said);
                }
            }
            if node.settings.dht.is_some() && identity.udp.is_empty() {
                identity.error = Some(format!("no UDP socket listens: {}", event.detail));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listen_error_is_about_its_address_alone() {
        let addr = |text: &str| text.parse().unwrap();
        let said = "127.0.0.1:6881: in use; another port was taken instead";
        assert!(is_about(said, addr("127.0.0.1:6881")));
        assert!(is_about(said, addr("0.0.0.0:6881")));
        for other in ["127.0.0.2:6881", "127.0.0.1:6882", "[::]:6881"] {
            assert!(!is_about(said, addr(other)), "{other}");
        }
        let said = "[::1]:6881: in use";
        assert!(is_about(said, addr("[::]:6881")) && !is_about(said, addr("0.0.0.0:6881")));
        assert!(!is_about("nonsense", addr("0.0.0.0:6881")));
    }
}
