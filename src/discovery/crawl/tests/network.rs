//! A DHT in memory: nodes behind a channel instead of a socket, in virtual time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::discovery::dht::{Dht, RawQuery};
use crate::torrent::PeerAddr;
use crate::wire::bencode::{Limits, parse_prefix};
use crate::wire::krpc::{NodeAddr, NodeId};

/// Nodes that store a torrent, and nodes of one bucket and of one answer.
const K: usize = 8;
/// Infohashes of one answer.
const SAMPLES: usize = 20;
/// After so many lies in its answers it is known what a liar is worth.
const LIES_THAT_TELL: usize = 3;
/// A node that did not answer is no use for so long.
const DEAD_FOR: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conduct {
    Honest,
    Slow,
    Dead,
    /// Another id in each answer.
    OtherId,
    /// Names nodes that do not exist.
    Nowhere,
    /// Invents samples, and may be asked again at once.
    Invents,
    /// Names nobody but itself, under many ids.
    NamesItself,
}

pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) addr: PeerAddr,
    pub(super) conduct: Conduct,
    pub(super) bep51: bool,
    /// Seconds; `None` where it does not say.
    interval: Option<u32>,
    latency: Duration,
    table: Vec<NodeAddr>,
    pub(super) stored: Vec<NodeId>,
    answers: usize,
    silent_at: Option<Instant>,
    sampled_at: Option<Instant>,
    sample: Vec<NodeId>,
    told_no_bep51: bool,
}

/// What the nodes saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) queries: usize,
    pub(super) sample_queries: usize,
    /// Samples that were asked for before the interval had passed.
    pub(super) too_early: usize,
    /// The same, of slow nodes: nobody may have heard what their interval is.
    pub(super) unheard: usize,
    /// Queries to nodes of which it was known that they are no use, and for samples too early.
    pub(super) useless: usize,
    /// Torrents whose hash was in an honest answer.
    pub(super) handed_out: HashSet<NodeId>,
    /// Queries to addresses where no node ever was.
    pub(super) nowhere: usize,
}

pub(super) struct Network {
    pub(super) nodes: Vec<Node>,
    by_addr: HashMap<PeerAddr, usize>,
    random: StdRng,
    pub(super) seen: Seen,
    pub(super) away: bool,
}

pub(super) type Shared = Arc<Mutex<Network>>;

/// The start of an id as a number: enough to order a few thousand nodes by distance, and fast.
fn start(id: &NodeId) -> u64 {
    u64::from_be_bytes(id.0[..8].try_into().unwrap())
}

fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap()
}

fn random_id(random: &mut StdRng) -> NodeId {
    NodeId(random.random())
}

impl Network {
    /// 12 % dead, 6 % slow, 2 % lying, 80 % with BEP 51; each torrent at the eight nodes closest to it.
    pub(super) fn new(nodes: usize, torrents: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut nodes: Vec<Node> = (0..nodes)
            .map(|at| {
                let conduct = match at * 100 / nodes {
                    0..12 => Conduct::Dead,
                    12..18 => Conduct::Slow,
                    18..20 => [
                        Conduct::OtherId,
                        Conduct::Nowhere,
                        Conduct::Invents,
                        Conduct::NamesItself,
                    ][at % 4],
                    _ => Conduct::Honest,
                };
                let intervals = [Some(0), Some(10), Some(60), Some(60), Some(90), Some(120)];
                let others = [Some(300), None, Some(21_600)];
                let millis = if conduct == Conduct::Slow {
                    random.random_range(1_000..3_000)
                } else {
                    random.random_range(20..400)
                };
                Node {
                    id: random_id(&mut random),
                    addr: PeerAddr::new([20, byte(at / 256), byte(at % 256), 1].into(), 6881),
                    conduct,
                    bep51: random.random_bool(0.8),
                    interval: if random.random_bool(0.9) {
                        *intervals.choose(&mut random).unwrap()
                    } else {
                        *others.choose(&mut random).unwrap()
                    },
                    latency: Duration::from_millis(millis),
                    table: Vec::new(),
                    stored: Vec::new(),
                    answers: 0,
                    silent_at: None,
                    sampled_at: None,
                    sample: Vec::new(),
                    told_no_bep51: false,
                }
            })
            .collect();
        let named = nodes.iter().map(|node| NodeAddr {
            id: node.id,
            addr: node.addr,
        });
        let named: Vec<NodeAddr> = named.collect();
        for node in &mut nodes {
            let mut buckets: HashMap<u32, Vec<NodeAddr>> = HashMap::new();
            for other in named.iter().filter(|other| other.id != node.id) {
                let shared = (start(&other.id) ^ start(&node.id)).leading_zeros();
                buckets.entry(shared).or_default().push(*other);
            }
            for mut bucket in buckets.into_values() {
                bucket.shuffle(&mut random);
                node.table.extend(bucket.into_iter().take(K));
            }
        }
        // Those that are closest to a torrent share its first bits.
        let first_bits = if nodes.len() < 1_000 { 2 } else { 5 };
        let region_of = |id: &NodeId| usize::from(id.0[0] >> (8 - first_bits));
        let mut regions: Vec<Vec<(u64, usize)>> = vec![Vec::new(); 1 << first_bits];
        for (at, node) in nodes.iter().enumerate() {
            regions[region_of(&node.id)].push((start(&node.id), at));
        }
        for _ in 0..torrents {
            let infohash = random_id(&mut random);
            let region = &mut regions[region_of(&infohash)];
            region.sort_unstable_by_key(|(id, _)| id ^ start(&infohash));
            for (_, at) in &region[..K] {
                nodes[*at].stored.push(infohash);
            }
        }
        let by_addr = nodes
            .iter()
            .enumerate()
            .map(|(at, node)| (node.addr, at))
            .collect();
        Self {
            nodes,
            by_addr,
            random,
            seen: Seen::default(),
            away: false,
        }
    }

    /// Serves the network behind a DHT handle.
    pub(super) fn serve(self) -> (Dht, Shared) {
        let (sender, mut queries) = mpsc::channel::<RawQuery>(100);
        let network = Arc::new(Mutex::new(self));
        let served = Arc::clone(&network);
        tokio::spawn(async move {
            while let Some(query) = queries.recv().await {
                let answer = served.lock().unwrap().answer(&query);
                tokio::spawn(async move {
                    if let Some((latency, message)) = answer {
                        sleep(latency).await;
                        let _ = query.reply.send(message);
                    } else {
                        // Nobody tells that no answer will come.
                        sleep(Duration::from_secs(20)).await;
                        drop(query);
                    }
                });
            }
        });
        (Dht::new(sender), network)
    }

    /// Honest nodes to start from.
    pub(super) fn some_nodes(&self, count: usize) -> Vec<NodeAddr> {
        let honest = self
            .nodes
            .iter()
            .filter(|node| node.conduct == Conduct::Honest);
        honest
            .map(|node| NodeAddr {
                id: node.id,
                addr: node.addr,
            })
            .take(count)
            .collect()
    }

    /// The torrents that can be found by samples: at a node that answers, and has BEP 51.
    pub(super) fn findable(&self) -> HashSet<NodeId> {
        let gives =
            |node: &&Node| node.bep51 && matches!(node.conduct, Conduct::Honest | Conduct::Slow);
        let stored = self
            .nodes
            .iter()
            .filter(gives)
            .flat_map(|node| &node.stored);
        stored.copied().collect()
    }

    fn answer(&mut self, query: &RawQuery) -> Option<(Duration, Vec<u8>)> {
        let now = Instant::now();
        self.seen.queries += 1;
        let (message, _) = parse_prefix(&query.message, Limits::MESSAGE).unwrap();
        let for_samples = message.get("q").unwrap().as_bytes().unwrap() == b"sample_infohashes";
        let target = message.get("a").unwrap().get("target").unwrap();
        let target = NodeId(target.as_bytes().unwrap().try_into().unwrap());
        self.seen.sample_queries += usize::from(for_samples);
        if self.away {
            return None;
        }
        let Some(at) = self.by_addr.get(&query.to) else {
            self.seen.nowhere += 1;
            return None;
        };
        let node = &mut self.nodes[*at];
        let random = &mut self.random;
        if node.conduct == Conduct::Dead {
            let known = node.silent_at.is_some_and(|at| now - at < DEAD_FOR);
            self.seen.useless += usize::from(known);
            node.silent_at = Some(now);
            return None;
        }
        node.answers += 1;
        let lies = !matches!(node.conduct, Conduct::Honest | Conduct::Slow);
        let mut useless = lies && node.answers > LIES_THAT_TELL;
        let mut reply = HashMap::from([("id", string(&node.id.0))]);
        if node.conduct == Conduct::OtherId {
            reply.insert("id", string(&random_id(random).0));
        }
        let mut nodes = node.table.clone();
        nodes.sort_unstable_by_key(|other| start(&other.id) ^ start(&target));
        nodes.truncate(K);
        for (number, named) in nodes.iter_mut().enumerate() {
            match node.conduct {
                Conduct::NamesItself => named.addr = node.addr,
                Conduct::Nowhere => {
                    named.id = NodeId(
                        target
                            .0
                            .map(|byte| byte ^ u8::from(random.random::<bool>())),
                    );
                    let [a, b] = random.random();
                    named.addr = PeerAddr::new([30, a, b, byte(number)].into(), 6881);
                }
                _ => {}
            }
        }
        reply.insert("nodes", string(&compact(&nodes)));
        if for_samples && !node.bep51 {
            useless |= node.told_no_bep51;
            node.told_no_bep51 = true;
            if node.id.0[19].is_multiple_of(2) {
                self.seen.useless += usize::from(useless);
                return Some((
                    node.latency,
                    b"d1:eli204e14:method unknowne1:y1:ee".to_vec(),
                ));
            }
        } else if for_samples {
            let interval = Duration::from_secs(node.interval.unwrap_or(0).into());
            let passed = node.sampled_at.is_none_or(|at| now - at >= interval);
            let counter = if node.conduct == Conduct::Slow {
                &mut self.seen.unheard
            } else {
                &mut self.seen.too_early
            };
            *counter += usize::from(!passed);
            useless |= !passed;
            if passed {
                node.sampled_at = Some(now);
                node.sample = node.stored.sample(random, SAMPLES).copied().collect();
            }
            let mut num = node.stored.len();
            if node.conduct == Conduct::Invents {
                node.sample = (0..SAMPLES).map(|_| random_id(random)).collect();
                num = 1_000;
            } else {
                self.seen.handed_out.extend(&node.sample);
            }
            let sample = node
                .sample
                .iter()
                .flat_map(|hash| hash.0)
                .collect::<Vec<_>>();
            reply.insert("samples", string(&sample));
            reply.insert("num", format!("i{num}e").into_bytes());
            if let Some(interval) = node.interval {
                reply.insert("interval", format!("i{interval}e").into_bytes());
            }
        }
        self.seen.useless += usize::from(useless);
        let mut message = b"d1:rd".to_vec();
        for (key, value) in reply {
            message.extend(string(key.as_bytes()));
            message.extend(value);
        }
        message.extend(b"e1:y1:re");
        Some((node.latency, message))
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [format!("{}:", bytes.len()).as_bytes(), bytes].concat()
}

fn compact(nodes: &[NodeAddr]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for node in nodes {
        bytes.extend(node.id.0);
        match node.addr.ip() {
            std::net::IpAddr::V4(ip) => bytes.extend(ip.octets()),
            std::net::IpAddr::V6(_) => unreachable!("IPv4 only"),
        }
        bytes.extend(node.addr.port().to_be_bytes());
    }
    bytes
}
