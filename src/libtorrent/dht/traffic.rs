//! Queries of other nodes, out of the bridge's bytes.

use crate::discovery::dht::{Observed, ObservedKind};
use crate::libtorrent::bridge::Peer;
use crate::torrent::PeerAddr;
use crate::wire::krpc::NodeId;

/// Bytes of one entry: three points, an endpoint, a port.
const ENTRY: usize = 80;

/// The observations of whole entries, each with the id of our node that was asked.
pub(crate) fn observations(entries: &[u8]) -> impl Iterator<Item = (Observed, NodeId)> + '_ {
    entries.chunks_exact(ENTRY).filter_map(|entry| {
        let (infohash, rest) = entry.split_first_chunk::<20>()?;
        let (node, rest) = rest.split_first_chunk::<20>()?;
        let (own, rest) = rest.split_first_chunk::<20>()?;
        let (ip, rest) = rest.split_first_chunk::<16>()?;
        let (from_port, rest) = rest.split_first_chunk::<2>()?;
        let port = u16::from_be_bytes(rest.try_into().ok()?);
        let from = Peer {
            ip: *ip,
            port: u16::from_be_bytes(*from_port),
        };
        let observed = Observed {
            kind: match port {
                0 if *infohash == [0; 20] => ObservedKind::Other,
                0 => ObservedKind::GetPeers,
                port => ObservedKind::AnnouncePeer { port },
            },
            infohash: NodeId(*infohash),
            from: PeerAddr::from(from),
            node: NodeId(*node),
        };
        Some((observed, NodeId(*own)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_entries_are_read() {
        let from: PeerAddr = "1.2.3.4:6881".parse().unwrap();
        let entry = |port: u16| {
            let mut entry = [[1; 20], [2; 20], [3; 20]].concat();
            entry.extend(Peer::from(from).ip);
            entry.extend(6881_u16.to_be_bytes());
            entry.extend(port.to_be_bytes());
            entry
        };
        let mut bytes = [entry(0), entry(99)].concat();
        bytes.extend([0; ENTRY - 1]);
        let read: Vec<_> = observations(&bytes).collect();
        let expected = |kind| Observed {
            kind,
            infohash: NodeId([1; 20]),
            from,
            node: NodeId([2; 20]),
        };
        let own = NodeId([3; 20]);
        assert_eq!(
            read,
            [
                (expected(ObservedKind::GetPeers), own),
                (expected(ObservedKind::AnnouncePeer { port: 99 }), own)
            ]
        );
    }
}
