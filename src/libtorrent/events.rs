//! What a fetch reports, and the bridge's plain values as ours.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::bridge::Peer;
use crate::torrent::{self, Failure, PeerAddr, PeerSource};
use crate::wire::krpc::{NodeAddr, NodeId};

/// One step of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEvent {
    /// libtorrent learnt of a peer: from a tracker, PEX, LSD, or because it connected to us. It is
    /// dialled without being asked to, unless the request was `lookup_only`.
    Peer {
        /// The peer.
        addr: PeerAddr,
        /// Where it was learnt.
        source: PeerSource,
    },
    /// A connection to a peer stands.
    Connected {
        /// The peer.
        addr: PeerAddr,
        /// The way it came about.
        way: torrent::Way,
        /// Since it was dialled on this way.
        elapsed: Duration,
    },
    /// A peer's handshake is complete and names this torrent.
    Handshake {
        /// The peer.
        addr: PeerAddr,
        /// The client's mark in its peer id, such as `qB4500`.
        client: Option<String>,
    },
    /// A peer's extension handshake (BEP 10).
    Extension {
        /// The peer.
        addr: PeerAddr,
        /// The size it claims, unchecked; 0 where it claims none.
        metadata_size: i64,
        /// How the client names itself (`v`).
        client: Option<String>,
    },
    /// A way to a peer has failed.
    PeerFailed {
        /// The peer.
        addr: PeerAddr,
        /// Why. Where `last` is set, the most telling failure of all ways.
        failure: Failure,
        /// Since it was dialled on this way.
        elapsed: Duration,
        /// Whether no other way is left: the peer is not dialled again in this fetch.
        last: bool,
    },
    /// The info dictionary, verified. The fetch is over.
    Metadata {
        /// The peer that delivered it.
        addr: PeerAddr,
        /// The way it came.
        way: torrent::Way,
        /// The bytes, as they came.
        bytes: Vec<u8>,
        /// Since this peer was dialled on the way that delivered.
        elapsed: Duration,
    },
    /// A tracker answered, or failed.
    Tracker {
        /// Its URL.
        url: String,
        /// How many peers it named, or what went wrong.
        result: Result<u32, String>,
        /// Whether it answered at all, if only to refuse the torrent.
        answered: bool,
    },
    /// Every known peer has had its last verdict, and every tracker has answered or failed. Peers
    /// that are learnt later bring the fetch back to life.
    Exhausted,
}

impl From<PeerAddr> for Peer {
    fn from(addr: PeerAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self {
            ip: ip.octets(),
            port: addr.port(),
        }
    }
}

impl From<Peer> for PeerAddr {
    fn from(peer: Peer) -> Self {
        Self::new(IpAddr::V6(Ipv6Addr::from(peer.ip)), peer.port)
    }
}

/// The source of a peer from libtorrent's `peer_source_flags_t`.
pub(crate) fn source(flags: i64) -> PeerSource {
    [
        (1, PeerSource::Tracker),
        (1 << 1, PeerSource::Dht),
        (1 << 2, PeerSource::Pex),
        (1 << 3, PeerSource::Lsd),
        (1 << 5, PeerSource::Inbound),
    ]
    .into_iter()
    .find(|(bit, _)| flags & bit != 0)
    .map_or(PeerSource::Hint, |(_, source)| source)
}

/// The client's mark in a peer id of the usual form, `-XX1234-` and 12 more bytes (BEP 20).
pub(crate) fn client_of(peer_id: &[u8]) -> Option<String> {
    let mark = peer_id.strip_prefix(b"-")?.get(..6)?;
    let usual = peer_id.get(7) == Some(&b'-') && mark.iter().all(u8::is_ascii_graphic);
    usual.then(|| String::from_utf8_lossy(mark).into_owned())
}

/// Our id, and the nodes of its routing table.
pub(crate) fn live_nodes(data: &[u8]) -> Option<(NodeId, Vec<NodeAddr>)> {
    let (own, list) = data.split_first_chunk::<20>()?;
    let nodes = list
        .chunks_exact(38)
        .filter_map(|entry| {
            let (id, entry) = entry.split_first_chunk::<20>()?;
            let (ip, port) = entry.split_first_chunk::<16>()?;
            let port = u16::from_be_bytes(port.try_into().ok()?);
            Some(NodeAddr {
                id: NodeId(*id),
                addr: Peer { ip: *ip, port }.into(),
            })
        })
        .collect();
    Some((NodeId(*own), nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_cross_the_bridge_and_come_back() {
        for text in [
            "127.0.0.1:1",
            "255.1.2.3:65535",
            "[2001:db8::1]:6881",
            "[::1]:2",
        ] {
            let addr: PeerAddr = text.parse().unwrap();
            assert_eq!(PeerAddr::from(Peer::from(addr)), addr);
        }
    }

    #[test]
    fn a_peer_id_names_its_client() {
        assert_eq!(
            client_of(b"-qB4500-abcdefghijkl").as_deref(),
            Some("qB4500")
        );
        assert_eq!(client_of(b"M7-9-2--abcdefghijkl"), None);
        assert_eq!(client_of(b"-q\x004500-abcdefghijk"), None);
        assert_eq!(client_of(b"-"), None);
    }

    #[test]
    fn a_list_of_nodes_is_read_as_far_as_it_is_whole() {
        let mut data = vec![7; 20];
        let node = NodeAddr {
            id: NodeId([9; 20]),
            addr: "1.2.3.4:258".parse().unwrap(),
        };
        data.extend(node.id.0);
        data.extend(Peer::from(node.addr).ip);
        data.extend([1, 2, 99]);
        assert_eq!(live_nodes(&data), Some((NodeId([7; 20]), vec![node])));
        assert_eq!(live_nodes(&data[..19]), None);
    }
}
