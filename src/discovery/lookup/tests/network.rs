//! A network that is a function.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::discovery::dht::{Dht, RawQuery};
use crate::discovery::lookup::{LookupOptions, Lookups, Nodes};
use crate::torrent::PeerAddr;
use crate::wire::compact;
use crate::wire::krpc::{NodeAddr, NodeId};

pub(super) const HASH: NodeId = NodeId([0x5a; 20]);

/// What the node at this address answers, and after which time; `None`: nothing, ever.
type Answers = Box<dyn Fn(&NodeAddr) -> Option<(Duration, Vec<u8>)> + Send>;

/// Honest nodes all over the key space, each on an address of its own, and hostile ones anywhere.
pub(super) struct Network {
    pub(super) nodes: Vec<NodeAddr>,
    /// Who is asked instead, by address.
    others: HashMap<PeerAddr, NodeAddr>,
    /// Nodes with these numbers never answer.
    pub(super) dead: HashSet<usize>,
    answers: Option<Answers>,
    pub(super) peers: Vec<PeerAddr>,
    pub(super) asked: Arc<AtomicU32>,
}

pub(super) fn peer(number: u8) -> PeerAddr {
    PeerAddr::new([8, 8, 8, number].into(), 6881)
}

pub(super) fn addr(text: &str) -> PeerAddr {
    text.parse().unwrap()
}

/// Numbers without an order, always the same.
pub(super) fn mixed(number: usize) -> u64 {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

pub(super) fn node(number: usize) -> NodeAddr {
    let mut id = [0; 20];
    id[..8].copy_from_slice(&mixed(number).to_be_bytes());
    let [.., high, low] = number.to_be_bytes();
    NodeAddr {
        id: NodeId(id),
        addr: PeerAddr::new([9, high, low, 1].into(), 6881),
    }
}

/// An id that shares its first `bits` bits with the hash, and no more.
pub(super) fn near(bits: u32, salt: u64) -> NodeId {
    let mut id = HASH.0;
    let at = usize::try_from(bits / 8).unwrap();
    id[at] ^= 0x80 >> (bits % 8);
    for (byte, noise) in id[at + 1..].iter_mut().rev().zip(salt.to_le_bytes()) {
        *byte ^= noise;
    }
    NodeId(id)
}

/// An answer of this id with these nodes and peers.
pub(super) fn answer(id: NodeId, nodes: &[NodeAddr], peers: &[PeerAddr]) -> Vec<u8> {
    let mut message = b"d1:rd2:id20:".to_vec();
    message.extend(id.0);
    for (key, length) in [("5:nodes", 26), ("6:nodes6", 38)] {
        let mut list = Vec::new();
        for node in nodes {
            let (v4, v6) = compact::encode(&[node.addr]);
            let entry = [&node.id.0[..], &v4, &v6].concat();
            if entry.len() == length {
                list.extend(entry);
            }
        }
        message.extend(format!("{key}{}:", list.len()).into_bytes());
        message.extend(list);
    }
    message.extend(b"6:valuesl");
    for peer in peers {
        let (v4, v6) = compact::encode(&[*peer]);
        let entry = [v4, v6].concat();
        message.extend(format!("{}:", entry.len()).into_bytes());
        message.extend(entry);
    }
    message.extend(b"ee1:t1:a1:y1:re");
    message
}

impl Network {
    pub(super) fn of(count: usize) -> Self {
        Self {
            nodes: (0..count).map(node).collect(),
            others: HashMap::new(),
            dead: HashSet::new(),
            answers: None,
            peers: Vec::new(),
            asked: Arc::default(),
        }
    }

    /// Honest nodes but those closest to the hash, which `answers` speaks for.
    pub(super) fn hostile(
        count: usize,
        closest: usize,
        answers: impl Fn(&NodeAddr) -> Option<(Duration, Vec<u8>)> + Send + 'static,
    ) -> Self {
        let mut network = Self::of(count);
        for node in network.closest(&HASH, closest) {
            network.others.insert(node.addr, node);
        }
        network.answers = Some(Box::new(answers));
        network
    }

    pub(super) fn closest(&self, point: &NodeId, count: usize) -> Vec<NodeAddr> {
        let mut nodes = self.nodes.clone();
        nodes.sort_by_key(|node| node.id.distance(point));
        nodes.truncate(count);
        nodes
    }

    fn answer(&self, to: &PeerAddr) -> Option<(Duration, Vec<u8>)> {
        let rtt = Duration::from_millis(20);
        if let Some(answers) = &self.answers {
            if let Some(other) = self.others.get(to) {
                return answers(other);
            }
            let number = self.nodes.iter().position(|node| node.addr == *to);
            if number.is_none() {
                return answers(&NodeAddr {
                    id: NodeId([0; 20]),
                    addr: *to,
                });
            }
        }
        let number = self.nodes.iter().position(|node| node.addr == *to)?;
        let own = self.nodes.get(number)?;
        if self.dead.contains(&number) {
            return None;
        }
        // It knows all nodes near itself, and of those farther off every fourth.
        let known = self.nodes.iter().enumerate().filter(|(other, node)| {
            node.id.shared_bits(&own.id) >= 6 || mixed(other ^ (number << 8)).is_multiple_of(4)
        });
        let mut known: Vec<NodeAddr> = known.map(|(_, node)| *node).collect();
        known.retain(|node| node != own);
        known.sort_by_key(|node| node.id.distance(&HASH));
        known.truncate(8);
        let stores = self.closest(&HASH, 8).contains(own);
        let peers: &[PeerAddr] = if stores { &self.peers } else { &[] };
        Some((rtt, answer(own.id, &known, peers)))
    }

    /// Lookups in this network, which know some of its nodes.
    pub(super) fn lookups(self, options: LookupOptions) -> Lookups {
        let (sender, mut queries) = mpsc::channel::<RawQuery>(16);
        let known = Nodes::default();
        known.extend(
            self.nodes
                .iter()
                .step_by(self.nodes.len().div_ceil(10))
                .copied(),
        );
        tokio::spawn(async move {
            let mut unanswered = Vec::new();
            while let Some(query) = queries.recv().await {
                self.asked.fetch_add(1, Ordering::Relaxed);
                match self.answer(&query.to) {
                    Some((after, message)) => {
                        tokio::spawn(async move {
                            sleep(after).await;
                            let _ = query.reply.send(message);
                        });
                    }
                    None => unanswered.push(query.reply),
                }
            }
        });
        Lookups::new(Dht::new(sender), options, known)
    }
}
