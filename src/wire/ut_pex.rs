//! `ut_pex` (BEP 11): peers that a peer knows, as it comes to know and to lose them.

use super::bencode::{BencodeError, Limits, Node, encode_dict, parse_prefix};
use super::compact;
use crate::torrent::PeerAddr;

/// Peers that are taken from one message, of each list. BEP 11 allows 50 in a minute; the first message
/// after connecting may have more.
const MOST: usize = 200;

/// What is said of a peer that was added (`added.f`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PexFlags(pub u8);

impl PexFlags {
    /// It prefers encryption.
    pub const ENCRYPTION: u8 = 0x01;
    /// It has the whole torrent, so it has its metadata.
    pub const SEED: u8 = 0x02;
    /// It speaks uTP.
    pub const UTP: u8 = 0x04;
    /// It takes part in holepunching (BEP 55).
    pub const HOLEPUNCH: u8 = 0x08;
    /// The sender connected to it, so it can be connected to.
    pub const REACHABLE: u8 = 0x10;

    /// Whether all of these bits are set.
    #[must_use]
    pub fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}

/// One `ut_pex` message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UtPex {
    /// Peers that the sender is connected to now, those of IPv4 first; unchecked.
    pub added: Vec<(PeerAddr, PexFlags)>,
    /// Peers that it is no longer connected to, those of IPv4 first; unchecked.
    pub dropped: Vec<PeerAddr>,
}

impl UtPex {
    /// The payload for an extended message. Lists without a peer are left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let addrs: Vec<PeerAddr> = self.added.iter().map(|(addr, _)| *addr).collect();
        let flags = |is_v4: bool| -> Vec<u8> {
            let of = |(addr, _): &&(PeerAddr, PexFlags)| addr.ip().is_ipv4() == is_v4;
            let added = self.added.iter().filter(of);
            added.map(|(_, flags)| flags.0).collect()
        };
        let (added, added6) = compact::encode(&addrs);
        let (dropped, dropped6) = compact::encode(&self.dropped);
        let lists: [(&[u8], Vec<u8>); 6] = [
            (b"added", added),
            (b"added.f", flags(true)),
            (b"added6", added6),
            (b"added6.f", flags(false)),
            (b"dropped", dropped),
            (b"dropped6", dropped6),
        ];
        encode_dict(|dict| {
            for (key, list) in &lists {
                if !list.is_empty() {
                    dict.emit_pair_with(key, |e| e.emit_bytes(list))?;
                }
            }
            Ok(())
        })
    }

    /// Reads a peer's payload: 200 peers of each list at the most. Lists of an odd type are as if they
    /// were not there, a partial entry at the end of one is ignored, and a peer without flags has none.
    ///
    /// # Errors
    /// It is not bencode.
    pub fn decode(payload: &[u8]) -> Result<Self, BencodeError> {
        let (dict, _) = parse_prefix(payload, Limits::MESSAGE)?;
        let list = |key: &str| dict.get(key).and_then(Node::as_bytes).unwrap_or_default();
        let flags = |key: &str| {
            let flags = list(key).iter().copied();
            flags.map(PexFlags).chain(std::iter::repeat(PexFlags(0)))
        };
        let v4 = compact::parse_v4(list("added")).zip(flags("added.f"));
        let v6 = compact::parse_v6(list("added6")).zip(flags("added6.f"));
        let dropped = compact::parse_v4(list("dropped")).take(MOST);
        let dropped6 = compact::parse_v6(list("dropped6")).take(MOST);
        Ok(Self {
            added: v4.take(MOST).chain(v6.take(MOST)).collect(),
            dropped: dropped.chain(dropped6).collect(),
        })
    }
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
    fn both_kinds_of_addresses_with_their_flags() {
        let message =
            b"d5:added12:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x00\x017:added.f2:\x12\x00\
                        6:added618:\x2a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe18:added6.f1:\x02\
                        7:dropped6:\x09\x09\x09\x09\0\x01e";
        let pex = UtPex::decode(message).unwrap();
        assert_eq!(
            pex.added,
            [
                (addr("1.2.3.4:6881"), PexFlags(0x12)),
                (addr("5.6.7.8:1"), PexFlags(0)),
                (addr("[2a00::1]:6881"), PexFlags(PexFlags::SEED)),
            ]
        );
        assert!(pex.added[0].1.has(PexFlags::SEED | PexFlags::REACHABLE));
        assert!(!pex.added[0].1.has(PexFlags::SEED | PexFlags::UTP));
        assert_eq!(pex.dropped, [addr("9.9.9.9:1")]);
        assert_eq!(pex.encode(), message);
    }

    #[test]
    fn what_is_odd_or_missing_is_as_if_not_there() {
        for payload in [
            &b"de"[..],
            b"le",
            b"i1e",
            b"d5:addedi1ee",
            b"d5:addedlee",
            b"d5:added5:\x01\x02\x03\x04\x05e",
            b"d7:added.f3:\x01\x01\x01e",
            b"d5:added0:e",
        ] {
            assert_eq!(UtPex::decode(payload), Ok(UtPex::default()));
        }
        // Fewer flags than peers, and more.
        let few = UtPex::decode(
            b"d5:added12:\x01\x02\x03\x04\0\x01\x01\x02\x03\x04\0\x027:added.f1:\x02e",
        );
        let flags: Vec<u8> = few
            .unwrap()
            .added
            .iter()
            .map(|(_, flags)| flags.0)
            .collect();
        assert_eq!(flags, [2, 0]);
        let many = UtPex::decode(b"d5:added6:\x01\x02\x03\x04\0\x017:added.f4:\x02\x02\x02\x02e");
        assert_eq!(many.unwrap().added.len(), 1);
        for payload in [&b""[..], b"d5:added7:\x01", b"d", b"\0"] {
            assert!(UtPex::decode(payload).is_err());
        }
    }

    #[test]
    fn memory_is_bounded() {
        let list = |name: &str, bytes: usize| {
            let mut list = format!("{}:{name}{bytes}:", name.len()).into_bytes();
            list.resize(list.len() + bytes, 1);
            list
        };
        let message = [
            b"d".to_vec(),
            list("added", 6000),
            list("added6", 6012),
            list("dropped", 6000),
            b"e".to_vec(),
        ]
        .concat();
        let pex = UtPex::decode(&message).unwrap();
        assert_eq!((pex.added.len(), pex.dropped.len()), (2 * MOST, MOST));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(
            added in prop::collection::vec((any::<SocketAddr>(), any::<u8>()), 0..20),
            dropped in prop::collection::vec(any::<SocketAddr>(), 0..20),
        ) {
            let added = added.into_iter().map(|(addr, flags)| (PeerAddr::from(addr), PexFlags(flags)));
            let mut pex = UtPex {
                added: added.collect(),
                dropped: dropped.into_iter().map(PeerAddr::from).collect(),
            };
            let bytes = pex.encode();
            prop_assert!(super::super::bencode::is_canonical(&bytes));
            pex.added.sort_by_key(|(addr, _)| addr.ip().is_ipv6());
            pex.dropped.sort_by_key(|addr| addr.ip().is_ipv6());
            prop_assert_eq!(UtPex::decode(&bytes), Ok(pex));
        }

        #[test]
        fn arbitrary_bytes_never_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = UtPex::decode(&payload);
        }
    }
}
