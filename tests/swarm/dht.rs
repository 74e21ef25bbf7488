//! A DHT (BEP 5, IPv4) that knows itself: every node holds the nodes closest to it and some others.
//! Answers `ping`, `find_node`, `get_peers`, `announce_peer` and `sample_infohashes` (BEP 51).

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha1::{Digest as _, Sha1};
use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::TestTorrent;
use super::wire::{self, Random, Value};

/// Nodes in an answer, and nodes that store an announce (BEP 5).
const K: usize = 8;

/// The nodes of a DHT. They stop with the swarm.
#[derive(Clone, Debug)]
pub struct Dht {
    /// Where to begin: some of the nodes.
    pub bootstrap: Vec<SocketAddr>,
    nodes: Vec<Arc<Node>>,
}

#[derive(Debug)]
struct Node {
    id: [u8; 20],
    addr: SocketAddr,
    secret: u64,
    stored: Mutex<BTreeMap<[u8; 20], BTreeSet<SocketAddr>>>,
    queries: AtomicU64,
    announces: AtomicU64,
}

impl Dht {
    /// Stores the peer at the 8 nodes closest to the torrent, as its own announces would.
    pub fn announce(&self, torrent: &TestTorrent, peer: SocketAddr) {
        for id in torrent.wire_ids() {
            for node in closest(&self.nodes, id, K) {
                node.stored
                    .lock()
                    .unwrap()
                    .entry(id)
                    .or_default()
                    .insert(peer);
            }
        }
    }

    /// The peers of this torrent that some node stores: announced here, or by clients.
    pub fn stored(&self, torrent: &TestTorrent) -> BTreeSet<SocketAddr> {
        let mut peers = BTreeSet::new();
        for id in torrent.wire_ids() {
            for node in &self.nodes {
                peers.extend(node.stored.lock().unwrap().get(&id).into_iter().flatten());
            }
        }
        peers
    }

    /// How many queries all nodes have received.
    pub fn queries(&self) -> u64 {
        self.nodes
            .iter()
            .map(|node| node.queries.load(Relaxed))
            .sum()
    }

    /// How many announces with a good token all nodes have received.
    pub fn announces(&self) -> u64 {
        self.nodes
            .iter()
            .map(|node| node.announces.load(Relaxed))
            .sum()
    }

    /// The addresses of all nodes.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.addr).collect()
    }
}

fn distance(a: [u8; 20], b: [u8; 20]) -> [u8; 20] {
    std::array::from_fn(|at| a[at] ^ b[at])
}

fn closest(nodes: &[Arc<Node>], target: [u8; 20], count: usize) -> Vec<&Arc<Node>> {
    let mut sorted: Vec<_> = nodes.iter().collect();
    sorted.sort_by_key(|node| distance(node.id, target));
    sorted.truncate(count);
    sorted
}

pub(super) async fn start(
    count: usize,
    seed: u64,
) -> io::Result<(Dht, Vec<impl Future<Output = ()> + Send + 'static>)> {
    assert!(
        (1..=250).contains(&count),
        "a DHT has 1 to 250 nodes, not {count}"
    );
    let mut random = Random::new(seed);
    let mut sockets = Vec::new();
    let mut nodes = Vec::new();
    for number in 1..=u8::try_from(count).unwrap() {
        // Clients that limit requests or routing table entries per IP see as many hosts as nodes.
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, number), 0)).await?;
        nodes.push(Arc::new(Node {
            id: random.id(),
            addr: socket.local_addr()?,
            secret: random.next(),
            stored: Mutex::default(),
            queries: AtomicU64::default(),
            announces: AtomicU64::default(),
        }));
        sockets.push(socket);
    }
    let mut tasks = Vec::new();
    for (node, socket) in nodes.iter().zip(sockets) {
        let mut known = closest(&nodes, node.id, K + 1);
        known.remove(0);
        let far = (0..2 * K).map(|_| &nodes[random.below(count)]);
        known.extend(far.filter(|other| other.id != node.id));
        known.sort_by_key(|other| other.id);
        known.dedup_by_key(|other| other.id);
        let known = known.into_iter().cloned().collect();
        tasks.push(run(Arc::clone(node), known, socket));
    }
    let bootstrap = nodes.iter().take(K).map(|node| node.addr).collect();
    Ok((Dht { bootstrap, nodes }, tasks))
}

async fn run(node: Arc<Node>, known: Vec<Arc<Node>>, socket: UdpSocket) {
    let mut buffer = vec![0; 4096];
    loop {
        // An error is an ICMP answer to an earlier packet, most likely.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            sleep(Duration::from_millis(1)).await;
            continue;
        };
        let Some((query, _)) = Value::decode(&buffer[..length]) else {
            continue;
        };
        if query.string("y") != Some(b"q") {
            continue;
        }
        let Some(transaction) = query.string("t") else {
            continue;
        };
        node.queries.fetch_add(1, Relaxed);
        let (kind, body) = match node.answer(&query, &known, from) {
            Ok(body) => ("r", body),
            Err((code, text)) => ("e", Value::List(vec![Value::Int(code), Value::bytes(text)])),
        };
        let reply = Value::dict([
            (kind, body),
            ("t", Value::bytes(transaction)),
            ("y", Value::bytes(kind)),
        ]);
        let _ = socket.send_to(&reply.encode(), from).await;
    }
}

impl Node {
    fn answer(
        &self,
        query: &Value,
        known: &[Arc<Self>],
        from: SocketAddr,
    ) -> Result<Value, (i64, &'static str)> {
        const MISSING: (i64, &str) = (203, "missing or malformed argument");
        let args = query.get("a").ok_or(MISSING)?;
        let id_under = |key| <[u8; 20]>::try_from(args.string(key).unwrap_or(&[])).or(Err(MISSING));
        id_under("id")?;
        let nodes_near = |target| {
            let near = closest(known, target, K);
            let compact = near
                .iter()
                .map(|node| [&node.id[..], &wire::compact(node.addr)].concat());
            Value::Bytes(compact.collect::<Vec<_>>().concat())
        };
        let mut reply = vec![("id", Value::bytes(self.id))];
        match query.string("q").unwrap_or(&[]) {
            b"ping" => {}
            b"find_node" => reply.push(("nodes", nodes_near(id_under("target")?))),
            b"get_peers" => {
                let infohash = id_under("info_hash")?;
                reply.push(("nodes", nodes_near(infohash)));
                reply.push(("token", Value::Bytes(self.token(from))));
                let stored = self.stored.lock().unwrap();
                if let Some(peers) = stored.get(&infohash) {
                    // 100 peers of 8 bytes fit a datagram with the rest.
                    let values = peers
                        .iter()
                        .take(100)
                        .map(|peer| Value::Bytes(wire::compact(*peer)));
                    reply.push(("values", Value::List(values.collect())));
                }
            }
            b"announce_peer" => {
                let infohash = id_under("info_hash")?;
                if args.string("token") != Some(&self.token(from)) {
                    return Err((203, "wrong token"));
                }
                let port = match args.int("implied_port") {
                    Some(1) => from.port(),
                    _ => args
                        .int("port")
                        .and_then(|port| port.try_into().ok())
                        .ok_or(MISSING)?,
                };
                let peer = SocketAddr::new(from.ip(), port);
                self.announces.fetch_add(1, Relaxed);
                self.stored
                    .lock()
                    .unwrap()
                    .entry(infohash)
                    .or_default()
                    .insert(peer);
            }
            b"sample_infohashes" => {
                reply.push(("nodes", nodes_near(id_under("target")?)));
                let stored = self.stored.lock().unwrap();
                let samples: Vec<u8> = stored.keys().take(20).flatten().copied().collect();
                reply.push(("interval", Value::Int(10)));
                reply.push(("num", Value::Int(i64::try_from(stored.len()).unwrap())));
                reply.push(("samples", Value::Bytes(samples)));
            }
            _ => return Err((204, "method unknown")),
        }
        Ok(Value::dict(reply))
    }

    /// A token is good for the IP it was given to (BEP 5).
    fn token(&self, from: SocketAddr) -> Vec<u8> {
        let ip = match from {
            SocketAddr::V4(from) => from.ip().octets(),
            SocketAddr::V6(_) => [0; 4],
        };
        let hash = Sha1::new()
            .chain_update(self.secret.to_le_bytes())
            .chain_update(ip)
            .finalize();
        hash[..8].to_vec()
    }
}
