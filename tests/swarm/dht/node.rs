//! One node of a DHT.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sha1::{Digest as _, Sha1};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::wire::{self, Random, Value};
use super::conduct::{Character, Conduct, Lie, Sampling};
use super::counters::{Counters, NodeReport};
use super::key_space::distance;
use super::{K, bloom};

/// Infohashes in one answer (BEP 51): what fits a datagram with the rest.
const SAMPLES: usize = 20;
/// Peers in one answer: of 8 bytes each, they fit a datagram with the rest.
const VALUES: usize = 100;

/// What all nodes of a DHT share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) interval: Duration,
    pub(super) started: Instant,
    /// See [`DhtOptions::endless`](super::DhtOptions::endless).
    pub(super) endless: bool,
    /// Nobody hears anything.
    pub(super) away: AtomicBool,
}

/// A node that another one knows.
type Contact = ([u8; 20], SocketAddr);

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: [u8; 20],
    pub(super) addr: SocketAddr,
    pub(super) conduct: Conduct,
    pub(super) counters: Counters,
    sampling: Sampling,
    latency: Duration,
    secret: u64,
    random: Mutex<Random>,
    stored: Mutex<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    /// Peers, and whether each is a seed.
    peers: BTreeMap<[u8; 20], BTreeMap<SocketAddr, bool>>,
    /// Infohashes in the order in which they came.
    order: Vec<[u8; 20]>,
    /// Queries for samples.
    sampled: u64,
}

/// Answers queries until it is dropped.
pub(super) async fn run(
    node: Arc<Node>,
    known: Vec<Contact>,
    common: Arc<Common>,
    socket: UdpSocket,
) {
    let socket = Arc::new(socket);
    let mut late = JoinSet::new();
    loop {
        tokio::select! {
            ready = socket.readable() => if ready.is_err() {
                sleep(Duration::from_millis(1)).await;
            },
            Some(_) = late.join_next() => continue,
        }
        // No buffer is kept for each of thousands of nodes that wait.
        let mut buffer = [0; 2048];
        // An error is an ICMP answer to an earlier packet, or that there is nothing more.
        while let Ok((length, from)) = socket.try_recv_from(&mut buffer) {
            let Some(reply) = node.reply(&buffer[..length], &known, &common, from) else {
                continue;
            };
            let delay = node.delay();
            if delay.is_zero() {
                let _ = socket.try_send_to(&reply, from);
            } else {
                let socket = Arc::clone(&socket);
                late.spawn(async move {
                    sleep(delay).await;
                    let _ = socket.try_send_to(&reply, from);
                });
            }
        }
    }
}

impl Node {
    pub(super) fn new(
        id: [u8; 20],
        addr: SocketAddr,
        character: Character,
        latency: Duration,
        seed: u64,
    ) -> Self {
        let mut random = Random::new(seed);
        // Half of the median to four times as much, most of them near it.
        let eighths = [4, 5, 6, 7, 8, 9, 10, 12, 16, 32][random.below(10)];
        Self {
            id,
            addr,
            conduct: character.conduct,
            counters: Counters::default(),
            sampling: character.sampling,
            latency: latency * eighths / 8,
            secret: random.next(),
            random: Mutex::new(random),
            stored: Mutex::default(),
        }
    }

    pub(super) fn store(&self, infohash: [u8; 20], peer: SocketAddr, seed: bool) {
        let mut stored = self.stored.lock().unwrap();
        if !stored.peers.contains_key(&infohash) {
            stored.order.push(infohash);
        }
        let peers = stored.peers.entry(infohash).or_default();
        peers.insert(peer, seed);
    }

    pub(super) fn stored(&self, infohash: [u8; 20]) -> Vec<SocketAddr> {
        let stored = self.stored.lock().unwrap();
        let peers = stored.peers.get(&infohash);
        peers
            .into_iter()
            .flat_map(BTreeMap::keys)
            .copied()
            .collect()
    }

    pub(super) fn report(&self) -> NodeReport {
        NodeReport {
            addr: self.addr,
            id: self.id,
            conduct: self.conduct,
            samples: self.sampling == Sampling::Samples,
            stored: self.stored.lock().unwrap().order.len(),
            queries: self.counters.queries(),
            sampled_at: self.counters.sampled_at(),
        }
    }

    fn delay(&self) -> Duration {
        match self.conduct {
            Conduct::Slow => {
                let millis = 1000 + self.random.lock().unwrap().next() % 2000;
                Duration::from_millis(millis)
            }
            _ => self.latency,
        }
    }

    fn lies(&self, lie: Lie) -> bool {
        self.conduct == Conduct::Liar(lie)
    }

    /// The answer to a message, if it is to get one.
    fn reply(
        &self,
        message: &[u8],
        known: &[Contact],
        common: &Common,
        from: SocketAddr,
    ) -> Option<Vec<u8>> {
        if common.away.load(Relaxed) {
            return None;
        }
        let (query, _) = Value::decode(message)?;
        if query.string("y") != Some(b"q") {
            return None;
        }
        let transaction = query.string("t")?;
        self.counters.count(query.string("q").unwrap_or_default());
        if self.conduct == Conduct::Dead {
            return None;
        }
        let (kind, body) = match self.answer(&query, known, common, from) {
            Ok(body) => ("r", body),
            Err((code, text)) => ("e", Value::List(vec![Value::Int(code), Value::bytes(text)])),
        };
        let reply = Value::dict([
            (kind, body),
            ("t", Value::bytes(transaction)),
            ("y", Value::bytes(kind)),
        ]);
        Some(reply.encode())
    }

    fn answer(
        &self,
        query: &Value,
        known: &[Contact],
        common: &Common,
        from: SocketAddr,
    ) -> Result<Value, (i64, &'static str)> {
        const MISSING: (i64, &str) = (203, "missing or malformed argument");
        let args = query.get("a").ok_or(MISSING)?;
        let id_under = |key| <[u8; 20]>::try_from(args.string(key).unwrap_or(&[])).or(Err(MISSING));
        id_under("id")?;
        let own_id = if self.lies(Lie::OtherId) {
            self.random.lock().unwrap().id()
        } else {
            self.id
        };
        let mut reply = vec![("id", Value::bytes(own_id))];
        match query.string("q").unwrap_or(&[]) {
            b"ping" => {}
            b"find_node" => reply.push(("nodes", self.nodes_near(known, id_under("target")?))),
            b"get_peers" => {
                let infohash = id_under("info_hash")?;
                reply.push(("nodes", self.nodes_near(known, infohash)));
                reply.push(("token", Value::Bytes(self.token(from))));
                let peers = self.peers(known, infohash);
                if args.int("scrape") == Some(1) && !peers.is_empty() {
                    let of_kind = |seed: bool| {
                        let of_kind = peers.iter().filter(move |peer| peer.1 == seed);
                        Value::Bytes(bloom::filter(of_kind.map(|peer| peer.0.ip())))
                    };
                    reply.push(("BFsd", of_kind(true)));
                    reply.push(("BFpe", of_kind(false)));
                }
                if !peers.is_empty() {
                    let mut values = Vec::new();
                    let start = self.random.lock().unwrap().below(peers.len());
                    let some = peers.iter().cycle().skip(start);
                    for (peer, _) in some.take(peers.len().min(VALUES)) {
                        values.push(Value::Bytes(wire::compact(*peer)));
                    }
                    reply.push(("values", Value::List(values)));
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
                self.counters.announces.fetch_add(1, Relaxed);
                let seed = args.int("seed") == Some(1);
                self.store(infohash, SocketAddr::new(from.ip(), port), seed);
            }
            b"sample_infohashes" if self.sampling != Sampling::Error => {
                reply.push(("nodes", self.nodes_near(known, id_under("target")?)));
                if self.sampling == Sampling::Samples {
                    reply.extend(self.samples(common));
                }
            }
            _ => return Err((204, "method unknown")),
        }
        Ok(Value::dict(reply))
    }

    fn nodes_near(&self, known: &[Contact], target: [u8; 20]) -> Value {
        let random = || {
            let mut random = self.random.lock().unwrap();
            let mut id = target;
            id[16..].copy_from_slice(&random.bytes(4));
            (id, random.next().to_le_bytes())
        };
        let near: Vec<Contact> = if self.lies(Lie::Crowd) {
            (0..K).map(|_| (random().0, self.addr)).collect()
        } else if self.lies(Lie::Nowhere) {
            let nowhere = |_| {
                let (id, [a, b, c, ..]) = random();
                (id, SocketAddr::from(([127, 0xc0 | a, b, c], 6881)))
            };
            (0..K).map(nowhere).collect()
        } else {
            let mut known = known.to_vec();
            if known.len() > K {
                known.select_nth_unstable_by_key(K, |node| distance(node.0, target));
                known.truncate(K);
            }
            known.sort_unstable_by_key(|node| distance(node.0, target));
            known
        };
        let compact = near
            .iter()
            .map(|(id, addr)| [&id[..], &wire::compact(*addr)].concat());
        Value::Bytes(compact.collect::<Vec<_>>().concat())
    }

    /// The peers that it names, and whether each is a seed.
    fn peers(&self, known: &[Contact], infohash: [u8; 20]) -> Vec<(SocketAddr, bool)> {
        match self.conduct {
            Conduct::Liar(Lie::Ghosts) => {
                let nodes = known.iter().take(K).map(|node| (node.1, false));
                let nobody = ["0.0.0.0:80", "255.255.255.255:1", "127.0.0.1:0"];
                let nobody = nobody.map(|addr| (addr.parse().unwrap(), false));
                nodes.chain(nobody).collect()
            }
            Conduct::Liar(_) => Vec::new(),
            _ => {
                let stored = self.stored.lock().unwrap();
                let peers = stored.peers.get(&infohash);
                let peers = peers.into_iter().flatten();
                peers.map(|(peer, seed)| (*peer, *seed)).collect()
            }
        }
    }

    /// Twenty of what it stores, the next ones when the interval is over.
    fn samples(&self, common: &Common) -> Vec<(&'static str, Value)> {
        let mut stored = self.stored.lock().unwrap();
        let (samples, count, seconds) = if self.lies(Lie::Samples) {
            let samples = self.random.lock().unwrap().bytes(20 * SAMPLES);
            (samples, 1_000_000, 0)
        } else if common.endless {
            let mut random = self.random.lock().unwrap();
            let near = (0..SAMPLES).flat_map(|_| {
                let mut hash = random.id();
                hash[0] = self.id[0];
                hash[1] = hash[1] & 0x0f | self.id[1] & 0xf0;
                hash
            });
            (near.collect(), 100_000, common.interval.as_secs())
        } else {
            let round = match common.interval.as_nanos() {
                0 => u128::from(stored.sampled),
                interval => common.started.elapsed().as_nanos() / interval,
            };
            stored.sampled += 1;
            let count = stored.order.len();
            let rounds = count.div_ceil(SAMPLES).max(1);
            let round = usize::try_from(round % rounds as u128).unwrap();
            let from = stored.order.iter().skip(round * SAMPLES).take(SAMPLES);
            let samples = from.flatten().copied().collect();
            (samples, count, common.interval.as_secs())
        };
        vec![
            ("interval", Value::Int(i64::try_from(seconds).unwrap())),
            ("num", Value::Int(i64::try_from(count).unwrap())),
            ("samples", Value::Bytes(samples)),
        ]
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
