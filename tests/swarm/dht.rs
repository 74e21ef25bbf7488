//! A DHT (BEP 5, IPv4) of many nodes in one process, each on an address of its own. A node knows what
//! a Kademlia node knows: some nodes of each distance, and all those next to it.
//!
//! Answers `ping`, `find_node`, `get_peers` with scrapes (BEP 33), `announce_peer` and
//! `sample_infohashes` (BEP 51). A [`DhtMix`] says how many nodes are dead, slow or lie, and each node
//! counts what it is asked.

mod bloom;
mod conduct;
mod counters;
mod key_space;
mod node;

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::TestTorrent;
use super::wire::Random;
pub use conduct::{Conduct, DhtMix, Lie};
pub use counters::{NodeReport, Queries};
use key_space::KeySpace;
use node::{Common, Node};

/// Nodes in an answer, and nodes that store an announce (BEP 5).
const K: usize = 8;
/// Nodes with one IP address each in a /24: 1 to 250.
const PER_NET: usize = 250;

/// What a DHT is to be like.
#[derive(Clone, Copy, Debug)]
pub struct DhtOptions {
    /// How many nodes it has, 1 to 50,000.
    pub nodes: usize,
    /// How they behave.
    pub mix: DhtMix,
    /// The `interval` of BEP 51: a node's samples change when it is over. Zero: with each query.
    pub interval: Duration,
    /// The median time after which an honest node answers; a node's own is half of it to four times
    /// as much.
    pub latency: Duration,
    /// Samples are hashes that nobody has, others each time: a network that never ends.
    pub endless: bool,
}

impl Default for DhtOptions {
    fn default() -> Self {
        Self {
            nodes: 100,
            mix: DhtMix::HONEST,
            interval: Duration::from_secs(10),
            latency: Duration::ZERO,
            endless: false,
        }
    }
}

/// The nodes of a DHT. They stop with the swarm.
#[derive(Clone, Debug)]
pub struct Dht {
    /// Where to begin: some of the nodes that answer as they should.
    pub bootstrap: Vec<SocketAddr>,
    /// Sorted by id.
    nodes: Arc<[Arc<Node>]>,
    space: Arc<KeySpace>,
    common: Arc<Common>,
}

impl Dht {
    /// Stores the peer, which has not all of it, at the 8 closest nodes that answer, as its own
    /// announces would.
    pub fn announce(&self, torrent: &TestTorrent, peer: SocketAddr) {
        for id in torrent.wire_ids() {
            self.announce_id(id, peer, false);
        }
    }

    /// Stores a peer for an infohash of 20 bytes, as [`Dht::announce`] does; as a seed, or not
    /// (BEP 33).
    pub fn announce_id(&self, infohash: [u8; 20], peer: SocketAddr, seed: bool) {
        let answers = |at: &usize| self.nodes[*at].conduct != Conduct::Dead;
        for at in self.space.by_distance(infohash).filter(answers).take(K) {
            self.nodes[at].store(infohash, peer, seed);
        }
    }

    /// The peers of this torrent that some node stores: announced here, or by clients.
    pub fn stored(&self, torrent: &TestTorrent) -> BTreeSet<SocketAddr> {
        let ids = torrent.wire_ids();
        ids.iter().flat_map(|id| self.stored_id(*id)).collect()
    }

    /// The peers of this infohash that an honest node stores, be it slow.
    pub fn stored_id(&self, infohash: [u8; 20]) -> BTreeSet<SocketAddr> {
        let honest = self.nodes.iter().filter(|node| node.conduct.is_honest());
        honest.flat_map(|node| node.stored(infohash)).collect()
    }

    /// How many queries all nodes have received.
    pub fn queries(&self) -> u64 {
        self.nodes.iter().map(|n| n.counters.queries().all()).sum()
    }

    /// How many announces with a good token all nodes have received.
    pub fn announces(&self) -> u64 {
        let accepted = |node: &Arc<Node>| node.counters.announces.load(Relaxed);
        self.nodes.iter().map(accepted).sum()
    }

    /// The addresses of all nodes.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.addr).collect()
    }

    /// What each node is, and what it was asked until now.
    pub fn reports(&self) -> Vec<NodeReport> {
        self.nodes.iter().map(|node| node.report()).collect()
    }

    /// How often a node was asked for samples before its `interval` was over since the last time.
    pub fn sampled_too_soon(&self) -> usize {
        let interval = self.common.interval;
        let too_soon = |report: &NodeReport| {
            let times = report.sampled_at.windows(2);
            times.filter(|pair| pair[1] - pair[0] < interval).count()
        };
        let reports = self.reports();
        let says_interval = reports
            .iter()
            .filter(|r| r.samples && r.conduct.is_honest());
        says_interval.map(too_soon).sum()
    }

    /// As if the network were away: with `true` no node hears anything, until it is `false` again.
    pub fn cut_off(&self, away: bool) {
        self.common.away.store(away, Relaxed);
    }
}

pub(super) async fn start(
    options: DhtOptions,
    seed: u64,
) -> io::Result<(Dht, Vec<impl Future<Output = ()> + Send + 'static>)> {
    let count = options.nodes;
    assert!(
        (1..=50_000).contains(&count),
        "a DHT has 1 to 50000 nodes, not {count}"
    );
    let mut random = Random::new(seed);
    let mut ids: Vec<[u8; 20]> = (0..count).map(|_| random.id()).collect();
    ids.sort_unstable();
    let space = Arc::new(KeySpace::new(ids));
    let characters = options.mix.characters(count, &mut random);
    let common = Arc::new(Common {
        interval: options.interval,
        started: std::time::Instant::now(),
        endless: options.endless,
        away: AtomicBool::new(false),
    });
    let mut nodes: Vec<Arc<Node>> = Vec::with_capacity(count);
    let mut sockets = Vec::with_capacity(count);
    for (number, (id, character)) in space.ids().iter().zip(characters).enumerate() {
        let ip = match character.conduct {
            Conduct::Liar(Lie::Crowd) => Ipv4Addr::new(127, 63, 0, 1),
            // Clients that limit requests or routing table entries per IP see as many hosts as
            // nodes. Neighbours in the key space are no neighbours here.
            _ => address(number),
        };
        let socket = UdpSocket::bind((ip, 0)).await?;
        nodes.push(Arc::new(Node::new(
            *id,
            socket.local_addr()?,
            character,
            options.latency,
            random.next(),
        )));
        sockets.push(socket);
    }
    let contacts: Vec<_> = nodes.iter().map(|node| (node.id, node.addr)).collect();
    let mut tasks = Vec::with_capacity(count);
    for (at, (node, socket)) in nodes.iter().zip(sockets).enumerate() {
        let known = space.routing_table(at, K, &mut random);
        let known = known.into_iter().map(|at| contacts[at]).collect();
        let (node, common) = (Arc::clone(node), Arc::clone(&common));
        tasks.push(node::run(node, known, common, socket));
    }
    let honest = nodes.iter().filter(|node| node.conduct == Conduct::Honest);
    let mut bootstrap: Vec<_> = honest.map(|node| node.addr).collect();
    for at in 0..bootstrap.len().min(K) {
        let rest = bootstrap.len() - at;
        bootstrap.swap(at, at + random.below(rest));
    }
    bootstrap.truncate(K);
    let dht = Dht {
        bootstrap,
        nodes: nodes.into(),
        space,
        common,
    };
    Ok((dht, tasks))
}

/// An address in 127.64.0.0/10 for each number: nodes that follow each other are in other /24s.
fn address(number: usize) -> Ipv4Addr {
    let nets = 50_000 / PER_NET;
    let (net, host) = (number % nets, number / nets + 1);
    Ipv4Addr::new(127, 64, net.try_into().unwrap(), host.try_into().unwrap())
}
