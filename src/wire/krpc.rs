//! KRPC, the messages of the DHT (BEP 5), with IPv6 (BEP 32), scrapes (BEP 33) and samples (BEP 51).
//!
//! Only what one node asks of another and is told: the transaction ids, the sender's own node id and
//! the answers to others are the business of whoever owns the socket.

use std::fmt;
use std::net::IpAddr;

use super::bencode::{BencodeError, Limits, Node, encode_dict, parse_prefix};
use super::compact;
use crate::torrent::PeerAddr;

/// Nodes that are taken from one answer, of each address family. BEP 5 has 8; some send more.
const MAX_NODES: usize = 32;
/// Peers that are taken from one answer. No more fit into a datagram of 1,500 bytes.
const MAX_VALUES: usize = 200;
/// Infohashes that are taken from one answer: 20 fit beside nodes, some send over a hundred.
const MAX_SAMPLES: usize = 512;
/// Bytes of a token that are kept. Those in use have 4 to 20.
const MAX_TOKEN: usize = 128;
/// Bytes of a BEP 33 filter.
const FILTER: usize = 256;

/// The id of a DHT node, or a point of the key space: infohashes share it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub [u8; 20]);

impl NodeId {
    /// The distance between two points, as Kademlia has it: smaller is closer.
    #[must_use]
    pub fn distance(&self, other: &Self) -> [u8; 20] {
        std::array::from_fn(|at| self.0.get(at).unwrap_or(&0) ^ other.0.get(at).unwrap_or(&0))
    }

    /// How many of their first bits two points share, 0 to 160.
    #[must_use]
    pub fn shared_bits(&self, other: &Self) -> u32 {
        let mut shared = 0;
        for byte in self.distance(other) {
            shared += byte.leading_zeros();
            if byte != 0 {
                break;
            }
        }
        shared
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node of the DHT, as an answer names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeAddr {
    /// Its id, as whoever named it claims.
    pub id: NodeId,
    /// Its UDP endpoint, unchecked: may be private, reserved, or have port 0.
    pub addr: PeerAddr,
}

/// What is asked of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Are you there?
    Ping,
    /// Which nodes are close to this point?
    FindNode {
        /// The point.
        target: NodeId,
    },
    /// Who has this torrent, or else, which nodes are close to it?
    GetPeers {
        /// The infohash, in the 20 bytes that the DHT uses.
        infohash: NodeId,
        /// Whether filters of seeds and of leeches are wanted too (BEP 33).
        scrape: bool,
    },
    /// I have this torrent.
    AnnouncePeer {
        /// The infohash.
        infohash: NodeId,
        /// The port at which we listen for peers; `None`: the port this message comes from.
        port: Option<u16>,
        /// What the node's answer to `get_peers` gave.
        token: Vec<u8>,
    },
    /// Which infohashes do you store (BEP 51)?
    SampleInfohashes {
        /// Where the nodes that come with the answer should be close to.
        target: NodeId,
    },
    /// What is stored under this point (BEP 44)?
    Get {
        /// The point.
        target: NodeId,
    },
    /// Store this, under its SHA-1 (BEP 44, immutable).
    Put {
        /// The value, bencoded, 1,000 bytes at most.
        value: Vec<u8>,
        /// What the node's answer to `get` gave.
        token: Vec<u8>,
    },
}

/// Which address families are asked for (BEP 32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Want {
    /// Those of the address the query comes from.
    #[default]
    Same,
    /// IPv4 and IPv6.
    Both,
}

impl Query {
    /// The query's name on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::FindNode { .. } => "find_node",
            Self::GetPeers { .. } => "get_peers",
            Self::AnnouncePeer { .. } => "announce_peer",
            Self::SampleInfohashes { .. } => "sample_infohashes",
            Self::Get { .. } => "get",
            Self::Put { .. } => "put",
        }
    }

    /// The point of the key space that is asked for, if there is one.
    #[must_use]
    pub fn target(&self) -> Option<NodeId> {
        match self {
            Self::FindNode { target }
            | Self::SampleInfohashes { target }
            | Self::Get { target } => Some(*target),
            Self::GetPeers { infohash, .. } | Self::AnnouncePeer { infohash, .. } => {
                Some(*infohash)
            }
            Self::Ping | Self::Put { .. } => None,
        }
    }

    /// The message, bencoded, without what the owner of the socket puts in: the transaction `t`, the
    /// kind `y` and our node id in `a`.
    #[must_use]
    pub fn encode(&self, want: Want) -> Vec<u8> {
        encode_dict(|message| {
            message.emit_pair_with(b"a", |args| {
                args.emit_unsorted_dict(|args| {
                    let families = matches!(
                        self,
                        Self::FindNode { .. }
                            | Self::GetPeers { .. }
                            | Self::SampleInfohashes { .. }
                    );
                    if families && want == Want::Both {
                        args.emit_pair_with(b"want", |list| {
                            list.emit_list(|list| {
                                list.emit_bytes(b"n4")?;
                                list.emit_bytes(b"n6")
                            })
                        })?;
                    }
                    match self {
                        Self::Ping => Ok(()),
                        Self::FindNode { target }
                        | Self::SampleInfohashes { target }
                        | Self::Get { target } => {
                            args.emit_pair_with(b"target", |e| e.emit_bytes(&target.0))
                        }
                        Self::GetPeers { infohash, scrape } => {
                            args.emit_pair_with(b"info_hash", |e| e.emit_bytes(&infohash.0))?;
                            if *scrape {
                                args.emit_pair(b"scrape", 1)?;
                            }
                            Ok(())
                        }
                        Self::AnnouncePeer {
                            infohash,
                            port,
                            token,
                        } => {
                            args.emit_pair_with(b"info_hash", |e| e.emit_bytes(&infohash.0))?;
                            args.emit_pair(b"implied_port", u8::from(port.is_none()))?;
                            // Nodes without `implied_port` want some port.
                            args.emit_pair(b"port", port.unwrap_or(1))?;
                            args.emit_pair_with(b"token", |e| e.emit_bytes(token))
                        }
                        Self::Put { value, token } => {
                            args.emit_pair_with(b"token", |e| e.emit_bytes(token))?;
                            args.emit_pair_with(b"v", |e| e.emit_bytes(value))
                        }
                    }
                })
            })?;
            message.emit_pair(b"q", self.name())
        })
    }
}

/// A filter of BEP 33: how many addresses were put in, estimated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ScrapeFilter([u8; FILTER]);

impl fmt::Debug for ScrapeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScrapeFilter(about {:.0})", self.estimate())
    }
}

impl ScrapeFilter {
    /// No address is in it.
    pub const EMPTY: Self = Self([0; FILTER]);

    /// The 256 bytes of a filter, or `None` where there are more or fewer.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Puts in what is in another one too.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own |= other;
        }
    }

    /// About how many addresses are in it: `log(c / m) / (k · log(1 - 1 / m))`, with m = 2048 bits,
    /// k = 2 hashes and c bits that are zero. A full filter counts as one with a single zero.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        let ones: u32 = self.0.iter().map(|byte| byte.count_ones()).sum();
        let bits = 2048.0_f64;
        let zeros = (bits - f64::from(ones)).max(1.0);
        (zeros / bits).ln() / (2.0 * (-1.0 / bits).ln_1p())
    }
}

/// What a node answered. All of it is the node's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The id that the node claims.
    pub id: NodeId,
    /// Nodes it names, those of IPv4 before those of IPv6.
    pub nodes: Vec<NodeAddr>,
    /// Peers of the torrent that was asked for.
    pub peers: Vec<PeerAddr>,
    /// What an `announce_peer` or `put` to this node must carry.
    pub token: Option<Vec<u8>>,
    /// Infohashes it stores, some of them (BEP 51); `None` where it does not say: most nodes
    /// that do not know `sample_infohashes` answer as to `find_node`.
    pub samples: Option<Vec<NodeId>>,
    /// Seconds until a node may be asked for samples again (BEP 51).
    pub interval: Option<u32>,
    /// How many infohashes it stores (BEP 51).
    pub num: Option<u64>,
    /// Seeds of the torrent (BEP 33).
    pub seeds: Option<ScrapeFilter>,
    /// Leeches of the torrent (BEP 33).
    pub leeches: Option<ScrapeFilter>,
    /// Client and version of the node, as in `v`, where it is printable.
    pub version: Option<[u8; 4]>,
}

/// A message that is no answer to a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KrpcError {
    /// Not bencode.
    #[error("the node's answer can't be read: {0}")]
    Bencode(#[from] BencodeError),
    /// The node says that it will not, or can not.
    #[error("the node answered with error {code}: {text}")]
    Error {
        /// 201 generic, 202 server, 203 protocol, 204 method unknown.
        code: i64,
        /// What it says, without control characters, 100 characters at most.
        text: String,
    },
    /// No dictionary `r` with a node id of 20 bytes.
    #[error("the node's answer has no node id")]
    NoId,
}

impl Answer {
    /// Reads a whole message. Keys we don't know, values of odd types and lists of a wrong length are
    /// as if they were not there.
    pub fn decode(message: &[u8]) -> Result<Self, KrpcError> {
        let (dict, _) = parse_prefix(message, Limits::MESSAGE)?;
        if let Some([code, text, ..]) = dict.get("e").and_then(Node::as_list) {
            let text = String::from_utf8_lossy(text.as_bytes().unwrap_or_default())
                .chars()
                .filter(|char| !char.is_control())
                .take(100)
                .collect();
            return Err(KrpcError::Error {
                code: code.as_int().unwrap_or(0),
                text,
            });
        }
        let reply = dict.get("r").ok_or(KrpcError::NoId)?;
        let bytes = |key: &str| reply.get(key).and_then(Node::as_bytes);
        let id = bytes("id").and_then(node_id).ok_or(KrpcError::NoId)?;
        let nodes4 = nodes::<4>(bytes("nodes").unwrap_or_default());
        let nodes6 = nodes::<16>(bytes("nodes6").unwrap_or_default());
        let values = reply.get("values").and_then(Node::as_list);
        let values = values.unwrap_or_default().iter().filter_map(|value| {
            let bytes = value.as_bytes()?;
            match bytes.len() {
                6 => compact::parse_v4(bytes).next(),
                18 => compact::parse_v6(bytes).next(),
                _ => None,
            }
        });
        let filter = |key| bytes(key).and_then(ScrapeFilter::from_bytes);
        Ok(Self {
            id,
            nodes: nodes4.chain(nodes6).collect(),
            peers: values.take(MAX_VALUES).collect(),
            token: bytes("token")
                .filter(|token| token.len() <= MAX_TOKEN)
                .map(<[u8]>::to_vec),
            samples: bytes("samples").map(|list| {
                let ids = list.chunks_exact(20).filter_map(node_id);
                ids.take(MAX_SAMPLES).collect()
            }),
            interval: (reply.get("interval").and_then(Node::as_int))
                .and_then(|seconds| u32::try_from(seconds).ok()),
            num: (reply.get("num").and_then(Node::as_int)).and_then(|num| u64::try_from(num).ok()),
            seeds: filter("BFsd"),
            leeches: filter("BFpe"),
            version: (dict.get("v").and_then(Node::as_bytes))
                .and_then(|version| <[u8; 4]>::try_from(version).ok()),
        })
    }
}

fn node_id(bytes: &[u8]) -> Option<NodeId> {
    bytes.try_into().ok().map(NodeId)
}

/// Nodes of a list of entries of 20 bytes, an address of `N` bytes and a port of two.
fn nodes<const N: usize>(list: &[u8]) -> impl Iterator<Item = NodeAddr> + '_
where
    IpAddr: From<[u8; N]>,
{
    let entries = list.chunks_exact(20 + N + 2).filter_map(|entry| {
        let (id, endpoint) = entry.split_first_chunk::<20>()?;
        let (ip, port) = endpoint.split_first_chunk::<N>()?;
        let port = u16::from_be_bytes(port.try_into().ok()?);
        Some(NodeAddr {
            id: NodeId(*id),
            addr: PeerAddr::new(IpAddr::from(*ip), port),
        })
    });
    entries.take(MAX_NODES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(query: &Query, want: Want) -> String {
        String::from_utf8(query.encode(want)).unwrap()
    }

    #[test]
    fn queries_are_those_of_the_beps() {
        let point = NodeId(*b"mnopqrstuvwxyz123456");
        assert_eq!(text(&Query::Ping, Want::Both), "d1:ade1:q4:pinge");
        assert_eq!(
            text(&Query::FindNode { target: point }, Want::Same),
            "d1:ad6:target20:mnopqrstuvwxyz123456e1:q9:find_nodee"
        );
        let get_peers = Query::GetPeers {
            infohash: point,
            scrape: true,
        };
        assert_eq!(
            text(&get_peers, Want::Both),
            "d1:ad9:info_hash20:mnopqrstuvwxyz1234566:scrapei1e4:wantl2:n42:n6ee1:q9:get_peerse"
        );
        let announce = |port| Query::AnnouncePeer {
            infohash: point,
            port,
            token: b"aoeusnth".to_vec(),
        };
        assert_eq!(
            text(&announce(Some(6881)), Want::Same),
            "d1:ad12:implied_porti0e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe\
             1:q13:announce_peere"
        );
        assert!(text(&announce(None), Want::Same).contains("12:implied_porti1e"));
        assert_eq!(
            text(&Query::SampleInfohashes { target: point }, Want::Same),
            "d1:ad6:target20:mnopqrstuvwxyz123456e1:q17:sample_infohashese"
        );
    }

    #[test]
    fn an_answer_is_read() {
        let message = b"d1:rd2:id20:abcdefghij01234567895:nodes26:mnopqrstuvwxyz123456\x01\x02\x03\x04\x1a\xe1\
            5:token8:aoeusnth6:valuesl6:\x05\x06\x07\x08\x00\x505:shorte\
            e1:t2:aa1:v4:LT\x02\x081:y1:re";
        let answer = Answer::decode(message).unwrap();
        assert_eq!(answer.id, NodeId(*b"abcdefghij0123456789"));
        assert_eq!(
            answer.nodes,
            [NodeAddr {
                id: NodeId(*b"mnopqrstuvwxyz123456"),
                addr: "1.2.3.4:6881".parse().unwrap()
            }]
        );
        assert_eq!(answer.token.as_deref(), Some(&b"aoeusnth"[..]));
        assert_eq!(answer.peers.first(), Some(&"5.6.7.8:80".parse().unwrap()));
        assert_eq!(answer.peers.len(), 1);
        assert_eq!(answer.samples, None);
        assert_eq!(answer.version, Some(*b"LT\x02\x08"));
    }

    #[test]
    fn samples_are_read_and_bounded() {
        let mut message =
            b"d1:rd2:id20:abcdefghij01234567898:intervali21600e3:numi7e7:samples".to_vec();
        message.extend(b"20000:");
        message.extend(vec![7; 20_000]);
        message.extend(b"e1:y1:re");
        let answer = Answer::decode(&message).unwrap();
        assert_eq!((answer.interval, answer.num), (Some(21_600), Some(7)));
        let samples = answer.samples.unwrap();
        assert_eq!(samples.len(), MAX_SAMPLES);
        assert_eq!(samples.first(), Some(&NodeId([7; 20])));
    }

    #[test]
    fn errors_and_rubbish_are_told_apart() {
        assert_eq!(
            Answer::decode(b"d1:eli204e14:Method Unknowne1:t2:aa1:y1:ee"),
            Err(KrpcError::Error {
                code: 204,
                text: "Method Unknown".to_owned()
            })
        );
        for bad in [&b"d1:rd2:id3:abcee"[..], b"de", b"d1:rlee", b"le"] {
            assert_eq!(Answer::decode(bad), Err(KrpcError::NoId));
        }
        assert!(matches!(
            Answer::decode(b"d1:r"),
            Err(KrpcError::Bencode(_))
        ));
    }

    #[test]
    fn distances_are_kademlias() {
        let zero = NodeId([0; 20]);
        let mut near = [0; 20];
        near[19] = 1;
        let mut far = [0; 20];
        far[0] = 0x20;
        assert_eq!(zero.shared_bits(&zero), 160);
        assert_eq!(zero.shared_bits(&NodeId(near)), 159);
        assert_eq!(zero.shared_bits(&NodeId(far)), 2);
        assert!(zero.distance(&NodeId(near)) < zero.distance(&NodeId(far)));
    }

    #[test]
    fn a_filter_estimates_as_the_bep_says() {
        // BEP 33's test vector: 192.0.2.0 to .255 and 2001:db8:: to 2001:db8::3e7 put in.
        let vector = "F6C3F5EAA07FFD91BDE89F777F26FB2BFF37BDB8FB2BBAA2FD3DDDE7BACFFF75EE7CCBAE\
                      FE5EEDB1FBFAFF67F6ABFF5E43DDBCA3FD9B9FFDF4FFD3E9DFF12D1BDF59DB53DBE9FA5B\
                      7FF3B8FDFCDE1AFB8BEDD7BE2F3EE71EBBBFE93BCDEEFE148246C2BC5DBFF7E7EFDCF24F\
                      D8DC7ADFFD8FFFDFDDFFF7A4BBEEDF5CB95CE81FC7FCFF1FF4FFFFDFE5F7FDCBB7FD79B3\
                      FA1FC77BFE07FFF905B7B7FFC7FEFEFFE0B8370BB0CD3F5B7F2BD93FEB4386CFDD6F7FD5\
                      BFAF2E9EBFFFFEECD67ADBF7C67F17EFD5D75EBA6FFEBA7FFF47A91EB1BFBB53E8ABFB57\
                      62ABE8FF237279BFEFBFEEF5FFC5FEBFDFE5ADFFADFEE1FB737FFFFBFD9F6AEFFEEE76B6\
                      FD8F72EF";
        let hex: String = vector.chars().filter(char::is_ascii_hexdigit).collect();
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        let filter = ScrapeFilter::from_bytes(&bytes).unwrap();
        assert!((filter.estimate() - 1224.9308).abs() < 0.001, "{filter:?}");
        let mut merged = ScrapeFilter::EMPTY;
        assert!(merged.estimate().abs() < f64::EPSILON);
        merged.merge(&filter);
        assert_eq!(merged, filter);
        assert!(ScrapeFilter([0xff; FILTER]).estimate().is_finite());
        assert_eq!(ScrapeFilter::from_bytes(&[0; 255]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Answer::decode(&bytes);
        }
    }
}
