//! The handshake that opens every connection (BEP 3), with the reserved bits we use.

use std::fmt;

use data_encoding::HEXLOWER;

/// What every handshake begins with.
const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// Byte and bit of the extension protocol in the reserved bytes (BEP 10).
const EXTENSION_BYTE: usize = 5;
const EXTENSION_BIT: u8 = 0x10;
/// Which reserved byte says that the sender knows the v2 hash (BEP 52), and which bit.
const V2_BYTE: usize = 7;
const V2_BIT: u8 = 0x10;

/// The id a client gives itself: 20 bytes, by convention a client prefix and random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerId(pub [u8; 20]);

impl PeerId {
    /// The prefix of our own ids (BEP 20).
    pub const PREFIX: [u8; 8] = *b"-MF0100-";

    /// A new id: our prefix and 12 random bytes.
    #[must_use]
    pub fn random() -> Self {
        let mut id = [0; 20];
        let (prefix, suffix) = id.split_at_mut(Self::PREFIX.len());
        prefix.copy_from_slice(&Self::PREFIX);
        suffix.copy_from_slice(&rand::random::<[u8; 12]>());
        Self(id)
    }

    /// A new id that names no client: 20 random bytes.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(rand::random())
    }

    /// The client by its prefix in Azureus style (BEP 20): `TR 3.0.0.0` of `-TR3000-…`. `None` for
    /// ids of other styles.
    #[must_use]
    pub fn client(&self) -> Option<String> {
        let [b'-', a, b, version @ .., b'-'] = self.0.first_chunk::<8>()? else {
            return None;
        };
        let is_code = |byte: &u8| byte.is_ascii_alphanumeric();
        if ![a, b].into_iter().chain(version).all(is_code) {
            return None;
        }
        let digits: Vec<String> = version.iter().map(|&d| char::from(d).to_string()).collect();
        let (a, b) = (char::from(*a), char::from(*b));
        Some(format!("{a}{b} {}", digits.join(".")))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.0.escape_ascii())
    }
}

/// The 68 bytes that each side sends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Capability bits.
    pub reserved: [u8; 8],
    /// The torrent: SHA-1 of the info dictionary, or its SHA-256 cut to 20 bytes (BEP 52).
    pub infohash: [u8; 20],
    /// The sender.
    pub peer_id: PeerId,
}

/// 68 bytes that are no BitTorrent handshake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Another protocol, or an encrypted connection (MSE).
    #[error(
        "the peer's first bytes are no BitTorrent handshake (they begin with {0}): \
         it speaks another protocol, or only over encrypted connections"
    )]
    Protocol(String),
}

impl Handshake {
    /// Length in bytes.
    pub const LEN: usize = 68;

    /// What the reserved bits say that the sender supports (BEP 4, 5, 6, 10, 52).
    #[must_use]
    pub fn supports(&self) -> Vec<&'static str> {
        const BITS: [(usize, u8, &str); 4] = [
            (EXTENSION_BYTE, EXTENSION_BIT, "extensions"),
            (7, 0x01, "dht"),
            (7, 0x04, "fast"),
            (V2_BYTE, V2_BIT, "v2"),
        ];
        let is_set = |&(byte, bit, _): &(usize, u8, &str)| {
            self.reserved.get(byte).is_some_and(|bits| bits & bit != 0)
        };
        let supported = BITS.iter().filter(|bit| is_set(bit));
        supported.map(|(_, _, name)| *name).collect()
    }

    /// Our handshake. Of the reserved bits only that of the extension protocol is set: others
    /// (fast, DHT) would ask for messages that a metadata fetch has no use for.
    #[must_use]
    pub fn new(infohash: [u8; 20], peer_id: PeerId) -> Self {
        let mut reserved = [0; 8];
        if let Some(byte) = reserved.get_mut(EXTENSION_BYTE) {
            *byte = EXTENSION_BIT;
        }
        Self {
            reserved,
            infohash,
            peer_id,
        }
    }

    /// With the bit which says that the sender knows the v2 hash of the torrent, too: who has the same
    /// may answer with that, cut to 20 bytes (BEP 52).
    #[must_use]
    pub fn with_v2(mut self) -> Self {
        if let Some(byte) = self.reserved.get_mut(V2_BYTE) {
            *byte |= V2_BIT;
        }
        self
    }

    /// The bytes for the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let parts = PROTOCOL
            .iter()
            .chain(&self.reserved)
            .chain(&self.infohash)
            .chain(&self.peer_id.0);
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = *part;
        }
        bytes
    }

    /// Reads a peer's handshake. Whether the infohash and the peer id are the right ones is for the
    /// caller to check.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Result<Self, HandshakeError> {
        let (protocol, rest) = bytes.split_at(PROTOCOL.len());
        if protocol != PROTOCOL {
            return Err(HandshakeError::Protocol(HEXLOWER.encode(protocol)));
        }
        let (reserved, rest) = rest.split_at(8);
        let (infohash, peer_id) = rest.split_at(20);
        let mut handshake = Self {
            reserved: [0; 8],
            infohash: [0; 20],
            peer_id: PeerId([0; 20]),
        };
        handshake.reserved.copy_from_slice(reserved);
        handshake.infohash.copy_from_slice(infohash);
        handshake.peer_id.0.copy_from_slice(peer_id);
        Ok(handshake)
    }

    /// Whether the sender speaks the extension protocol (BEP 10).
    #[must_use]
    pub fn supports_extensions(&self) -> bool {
        self.reserved
            .get(EXTENSION_BYTE)
            .is_some_and(|byte| byte & EXTENSION_BIT != 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ours_has_the_extension_bit_and_no_other() {
        let id = PeerId(*b"-MF0100-abcdefghijkl");
        let bytes = Handshake::new([0xab; 20], id).encode();
        let mut expected = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\0".to_vec();
        expected.extend_from_slice(&[0xab; 20]);
        expected.extend_from_slice(b"-MF0100-abcdefghijkl");
        assert_eq!(bytes.to_vec(), expected);
        assert!(Handshake::decode(&bytes).unwrap().supports_extensions());
    }

    #[test]
    fn a_torrent_with_a_v2_hash_has_the_upgrade_bit() {
        let ours = Handshake::new([0xab; 20], PeerId([1; 20])).with_v2();
        assert_eq!(ours.encode()[20..28], *b"\0\0\0\0\0\x10\0\x10");
        assert_eq!(ours.supports(), ["extensions", "v2"]);
    }

    #[test]
    fn other_protocols_are_refused() {
        let good = Handshake::new([1; 20], PeerId([2; 20])).encode();
        for index in 0..20 {
            let mut bytes = good;
            bytes[index] ^= 1;
            assert!(Handshake::decode(&bytes).is_err(), "{index}");
        }
        let mut http = [0; 68];
        http[..12].copy_from_slice(b"HTTP/1.1 400");
        let error = Handshake::decode(&http).unwrap_err().to_string();
        assert!(error.contains("485454502f312e31"), "{error}");
    }

    #[test]
    fn clients_by_prefix() {
        let client = |id: &[u8; 20]| PeerId(*id).client();
        assert_eq!(client(b"-TR3000-0123456789ab").unwrap(), "TR 3.0.0.0");
        assert_eq!(client(b"-qB45A0-0123456789ab").unwrap(), "qB 4.5.A.0");
        for other in [
            b"M7-9-2--0123456789ab",
            b"-TR300--0123456789ab",
            b"-TR3000X0123456789ab",
            b"-\xc3\xa93000-0123456789ab",
            b"-T\x1b3000-0123456789ab",
            &[0; 20],
            &[b'-'; 20],
        ] {
            assert_eq!(client(other), None);
        }
    }

    #[test]
    fn random_ids_are_ours_and_differ() {
        let (a, b) = (PeerId::random(), PeerId::random());
        assert_ne!(a, b);
        assert_eq!(a.client().unwrap(), "MF 0.1.0.0");
        let (a, b) = (PeerId::anonymous(), PeerId::anonymous());
        assert_ne!(a, b);
        assert_ne!(a.0[..8], PeerId::PREFIX);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(
            reserved in any::<[u8; 8]>(), infohash in any::<[u8; 20]>(), id in any::<[u8; 20]>(),
        ) {
            let handshake = Handshake { reserved, infohash, peer_id: PeerId(id) };
            prop_assert_eq!(Handshake::decode(&handshake.encode()), Ok(handshake));
            prop_assert_eq!(handshake.supports_extensions(), reserved[5] & 0x10 != 0);
        }
    }
}
