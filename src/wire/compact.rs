//! Compact peer lists: 6 bytes a peer for IPv4 (BEP 23), 18 for IPv6 (BEP 7).

use std::net::IpAddr;

use crate::torrent::PeerAddr;

/// The peers of a list of 6-byte entries. A partial entry at its end is ignored. Ports and
/// addresses are as they came: see [`PeerAddr::is_public`].
pub fn parse_v4(bytes: &[u8]) -> impl Iterator<Item = PeerAddr> + '_ {
    entries::<4>(bytes)
}

/// The peers of a list of 18-byte entries, as [`parse_v4`] does it.
pub fn parse_v6(bytes: &[u8]) -> impl Iterator<Item = PeerAddr> + '_ {
    entries::<16>(bytes)
}

/// The peers as two lists: one of 6-byte entries (IPv4) and one of 18-byte entries (IPv6).
#[must_use]
pub fn encode(peers: &[PeerAddr]) -> (Vec<u8>, Vec<u8>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for peer in peers {
        let list = match peer.ip() {
            IpAddr::V4(ip) => {
                v4.extend_from_slice(&ip.octets());
                &mut v4
            }
            IpAddr::V6(ip) => {
                v6.extend_from_slice(&ip.octets());
                &mut v6
            }
        };
        list.extend_from_slice(&peer.port().to_be_bytes());
    }
    (v4, v6)
}

/// Entries of an address of `N` bytes and a port of two.
fn entries<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = PeerAddr> + '_
where
    IpAddr: From<[u8; N]>,
{
    bytes.chunks_exact(N + 2).filter_map(|entry| {
        let (ip, port) = entry.split_first_chunk::<N>()?;
        let port = u16::from_be_bytes(port.try_into().ok()?);
        Some(PeerAddr::new(IpAddr::from(*ip), port))
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    fn addr(text: &str) -> PeerAddr {
        text.parse().unwrap()
    }

    #[test]
    fn entries_are_big_endian_and_partial_ones_ignored() {
        let v4 = b"\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x00\x00\xff";
        assert_eq!(
            parse_v4(v4).collect::<Vec<_>>(),
            [addr("1.2.3.4:6881"), addr("5.6.7.8:0")]
        );
        assert_eq!(parse_v4(b"\x01\x02\x03\x04\x1a").count(), 0);
        let v6 = b"\x2a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1\x2a";
        assert_eq!(parse_v6(v6).collect::<Vec<_>>(), [addr("[2a00::1]:6881")]);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(peers in prop::collection::vec(any::<SocketAddr>(), 0..20)) {
            let peers: Vec<PeerAddr> = peers.into_iter().map(PeerAddr::from).collect();
            let (v4, v6) = encode(&peers);
            let mut read: Vec<_> = parse_v4(&v4).chain(parse_v6(&v6)).collect();
            let mut peers = peers;
            read.sort_unstable();
            peers.sort_unstable();
            prop_assert_eq!(read, peers);
        }
    }
}
