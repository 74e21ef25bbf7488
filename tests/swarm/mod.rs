//! A BitTorrent swarm on loopback: peers that serve metadata, or fail to in every known way; a DHT;
//! trackers. Black-box tests include it with `mod swarm;`, the example `swarm` serves it for
//! benchmarks and by hand. It shares no code with the crate under test.
//!
//! Everything listens on loopback with a port of the system's choice, comes out the same from the
//! same seed, and stops when the [`Swarm`] is dropped.
//!
//! The peers are tasks of the runtime that started them. A test that blocks, say on a child process,
//! needs `#[tokio::test(flavor = "multi_thread")]`, or the swarm blocks with it.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each crate that includes this module uses a part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "support for tests: a fault here is to fail the test"
)]

mod announcer;
mod behaviour;
mod connection;
mod dht;
mod http_tracker;
mod mse;
mod peer;
mod port;
mod torrent;
mod udp_tracker;
pub mod wire;

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

pub use announcer::{announce, ask};
pub use behaviour::{Behaviour, Mix};
pub use dht::{Conduct, Dht, DhtMix, DhtOptions, Lie, NodeReport, Queries};
pub use peer::Counters;
pub use port::{free_address, reserved_address};
pub use torrent::{Invalid, Kind, TestTorrent};

/// Everything that runs. Dropping it ends all of it.
#[derive(Debug)]
pub struct Swarm {
    seed: u64,
    started: AtomicU64,
    tasks: Mutex<JoinSet<()>>,
    peers: Mutex<HashMap<SocketAddr, Arc<peer::Peer>>>,
}

impl Swarm {
    /// An empty swarm. What is random in it follows from the seed and the order of the calls.
    pub fn start(seed: u64) -> Self {
        Self {
            seed,
            started: AtomicU64::new(0),
            tasks: Mutex::default(),
            peers: Mutex::default(),
        }
    }

    /// Starts a peer on 127.0.0.1 that holds these torrents, and says where it is.
    pub async fn peer(&self, behaviour: Behaviour, torrents: &[TestTorrent]) -> SocketAddr {
        self.peer_on(Ipv4Addr::LOCALHOST.into(), behaviour, torrents)
            .await
    }

    /// Starts a peer on this loopback address, such as `::1` or 127.0.2.1. Clients that allow one
    /// connection per IP and torrent need different ones.
    pub async fn peer_on(
        &self,
        ip: IpAddr,
        behaviour: Behaviour,
        torrents: &[TestTorrent],
    ) -> SocketAddr {
        assert!(ip.is_loopback(), "{ip} is not loopback");
        let peer = Arc::new(peer::Peer::new(behaviour, torrents, self.next_seed()));
        let (addr, task) = peer::listen(ip, Arc::clone(&peer)).await.unwrap();
        self.spawn(task);
        self.peers.lock().unwrap().insert(addr, peer);
        addr
    }

    /// What the peer at `addr` has counted until now.
    pub fn counters(&self, addr: SocketAddr) -> Counters {
        let peers = self.peers.lock().unwrap();
        peers
            .get(&addr)
            .unwrap_or_else(|| panic!("no peer at {addr}"))
            .counters()
    }

    /// Has the peer at `addr` name these peers to whoever takes them (BEP 11).
    pub fn name_peers(&self, addr: SocketAddr, named: &[SocketAddr]) {
        self.name_peers_as(addr, named, 0);
    }

    /// The same, and these flags of each of them.
    pub fn name_peers_as(&self, addr: SocketAddr, named: &[SocketAddr], flags: u8) {
        let peers = self.peers.lock().unwrap();
        let named = named.iter().map(|named| (*named, flags)).collect();
        *peers[&addr].named.lock().unwrap() = named;
    }

    /// The addresses from which clients have connected to the peer at `addr`.
    pub fn clients(&self, addr: SocketAddr) -> Vec<IpAddr> {
        let peers = self.peers.lock().unwrap();
        peers[&addr]
            .clients
            .lock()
            .unwrap()
            .iter()
            .copied()
            .collect()
    }

    /// The counters of all peers together.
    pub fn totals(&self) -> Counters {
        let peers = self.peers.lock().unwrap();
        peers.values().map(|peer| peer.counters()).sum()
    }

    /// Starts a DHT of that many nodes, all of them honest.
    pub async fn dht(&self, nodes: usize) -> Dht {
        let honest = DhtOptions::default();
        self.dht_with(DhtOptions { nodes, ..honest }).await
    }

    /// Starts a DHT, each of its nodes on an address of its own in 127.64.0.0/16.
    pub async fn dht_with(&self, options: DhtOptions) -> Dht {
        let (dht, tasks) = dht::start(options, self.next_seed()).await.unwrap();
        for task in tasks {
            self.spawn(task);
        }
        dht
    }

    /// Starts an HTTP tracker on 127.0.0.1.
    pub async fn http_tracker(&self) -> Tracker {
        let (addr, state, task) = http_tracker::start().await.unwrap();
        self.spawn(task);
        Tracker {
            url: format!("http://{addr}/announce"),
            state,
        }
    }

    /// Starts a UDP tracker on 127.0.0.1.
    pub async fn udp_tracker(&self) -> Tracker {
        let (addr, state, task) = udp_tracker::start(self.next_seed()).await.unwrap();
        self.spawn(task);
        Tracker {
            url: format!("udp://{addr}/announce"),
            state,
        }
    }

    fn next_seed(&self) -> u64 {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        wire::Random::new(self.seed ^ number.rotate_left(32)).next()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap().spawn(task);
    }
}

/// A tracker. Peers come from [`Tracker::announce`] only: clients that announce are counted, not
/// listed, so that no client finds itself.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// The announce URL.
    pub url: String,
    state: Arc<Mutex<TrackerState>>,
}

#[derive(Debug, Default)]
struct TrackerState {
    peers: HashMap<[u8; 20], Vec<SocketAddr>>,
    announces: HashMap<[u8; 20], usize>,
    refuse_unknown: bool,
}

impl Tracker {
    /// Lists this peer for this torrent.
    pub fn announce(&self, torrent: &TestTorrent, peer: SocketAddr) {
        let mut state = self.state.lock().unwrap();
        for id in torrent.wire_ids() {
            state.peers.entry(id).or_default().push(peer);
        }
    }

    /// Whether an announce of a torrent without peers gets an error (a failure reason) instead of
    /// an empty list.
    pub fn refuse_unknown(&self, refuse: bool) {
        self.state.lock().unwrap().refuse_unknown = refuse;
    }

    /// How many announces came for this torrent.
    pub fn announces(&self, torrent: &TestTorrent) -> usize {
        let state = self.state.lock().unwrap();
        let ids = torrent.wire_ids();
        ids.iter().filter_map(|id| state.announces.get(id)).sum()
    }
}

impl TrackerState {
    /// Counts an announce. The peers for it, or `None` if it is to be refused.
    fn answer(&mut self, infohash: [u8; 20]) -> Option<Vec<SocketAddr>> {
        *self.announces.entry(infohash).or_default() += 1;
        match self.peers.get(&infohash) {
            Some(peers) => Some(peers.clone()),
            None if self.refuse_unknown => None,
            None => Some(Vec::new()),
        }
    }
}
