//! Infohashes: v1 (BEP 3, SHA-1), v2 (BEP 52, SHA-256) and the two together.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32, BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::MetaVersion;

/// Multihash prefix of a SHA-256 digest: function 0x12, length 0x20 (`urn:btmh:1220…`, BEP 9).
const MULTIHASH_SHA256: [u8; 2] = [0x12, 0x20];

/// The identity of a torrent: the hash, or hashes, of its info dictionary.
///
/// A v1 torrent has a SHA-1 hash of 20 bytes, a v2 torrent a SHA-256 hash of 32 bytes, a hybrid
/// has both (BEP 52). At least one is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Infohash {
    /// SHA-1 of the info dictionary. Of a v2-only torrent this may also be the SHA-256 hash
    /// truncated to 20 bytes, as the DHT and handshakes carry it.
    V1([u8; 20]),
    /// SHA-256 of the info dictionary.
    V2([u8; 32]),
    /// Both hashes of one info dictionary.
    Hybrid {
        /// SHA-1 of the info dictionary.
        v1: [u8; 20],
        /// SHA-256 of the same bytes.
        v2: [u8; 32],
    },
}

/// Text that is no infohash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfohashError {
    /// Neither 40 hex digits, 32 base32 characters, 64 hex digits nor a multihash.
    #[error(
        "`{0}` is no infohash: expected 40 hex digits or 32 base32 characters (v1), \
         or 64 hex digits or `1220` and 64 hex digits (v2)"
    )]
    Form(String),
    /// A multihash of another function than SHA-256.
    #[error("multihash `{0}` is not SHA-256 (`1220…`), the only one that torrents use")]
    Multihash(String),
}

impl Infohash {
    /// The 20 bytes that stand for this torrent in handshakes, trackers and the DHT: the v1 hash,
    /// or the v2 hash truncated (BEP 52).
    #[must_use]
    pub fn wire_id(&self) -> [u8; 20] {
        match self {
            Self::V1(v1) | Self::Hybrid { v1, .. } => *v1,
            Self::V2(v2) => truncated(v2),
        }
    }

    /// The bytes this torrent is stored and listed under: 20 of v1, or 32 of a v2-only torrent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::V1(v1) | Self::Hybrid { v1, .. } => v1,
            Self::V2(v2) => v2,
        }
    }

    /// The infohash with these bytes: 20 (v1) or 32 (v2); `None` for any other length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if let Ok(v1) = bytes.try_into() {
            return Some(Self::V1(v1));
        }
        bytes.try_into().ok().map(Self::V2)
    }

    /// The v1 hash, where there is one.
    #[must_use]
    pub fn v1(&self) -> Option<&[u8; 20]> {
        match self {
            Self::V1(v1) | Self::Hybrid { v1, .. } => Some(v1),
            Self::V2(_) => None,
        }
    }

    /// The v2 hash, where there is one.
    #[must_use]
    pub fn v2(&self) -> Option<&[u8; 32]> {
        match self {
            Self::V2(v2) | Self::Hybrid { v2, .. } => Some(v2),
            Self::V1(_) => None,
        }
    }

    /// Whether these bytes are the info dictionary of this torrent. A hybrid must match both
    /// hashes. 20 bytes match as SHA-1 or as truncated SHA-256, since the DHT does not tell which.
    #[must_use]
    pub fn matches(&self, info: &[u8]) -> bool {
        match self {
            Self::V1(v1) => sha1(info) == *v1 || truncated(&sha256(info)) == *v1,
            Self::V2(v2) => sha256(info) == *v2,
            Self::Hybrid { v1, v2 } => sha1(info) == *v1 && sha256(info) == *v2,
        }
    }

    /// The hash, or hashes, of an info dictionary of this version.
    #[must_use]
    pub fn of(info: &[u8], version: MetaVersion) -> Self {
        match version {
            MetaVersion::V1 => Self::V1(sha1(info)),
            MetaVersion::V2 => Self::V2(sha256(info)),
            MetaVersion::Hybrid => Self::Hybrid {
                v1: sha1(info),
                v2: sha256(info),
            },
        }
    }

    /// Parses the value of a `urn:btih:` (40 hex digits or 32 base32 characters).
    pub fn from_btih(text: &str) -> Result<Self, InfohashError> {
        let bytes = match text.len() {
            40 => HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok(),
            32 => BASE32.decode(text.to_ascii_uppercase().as_bytes()).ok(),
            _ => None,
        };
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self::V1)
            .ok_or_else(|| InfohashError::Form(shortened(text)))
    }

    /// Parses the value of a `urn:btmh:`: a multihash of SHA-256 in hex (`1220` and 64 digits) or
    /// base32, as BEP 9 has it.
    pub fn from_btmh(text: &str) -> Result<Self, InfohashError> {
        let bytes = HEXLOWER_PERMISSIVE
            .decode(text.as_bytes())
            .or_else(|_| {
                BASE32_NOPAD.decode(text.to_ascii_uppercase().trim_end_matches('=').as_bytes())
            })
            .map_err(|_| InfohashError::Form(shortened(text)))?;
        let digest = bytes
            .strip_prefix(&MULTIHASH_SHA256)
            .ok_or_else(|| InfohashError::Multihash(shortened(text)))?;
        digest
            .try_into()
            .map(Self::V2)
            .map_err(|_| InfohashError::Form(shortened(text)))
    }

    /// The two hashes as one hybrid; `None` where both are of the same version and differ.
    #[must_use]
    pub fn merge(self, other: Self) -> Option<Self> {
        let pick = |a: Option<[u8; 20]>, b: Option<[u8; 20]>| match (a, b) {
            (Some(a), Some(b)) if a != b => Err(()),
            (a, b) => Ok(a.or(b)),
        };
        let v1 = pick(self.v1().copied(), other.v1().copied()).ok()?;
        let v2 = match (self.v2().copied(), other.v2().copied()) {
            (Some(a), Some(b)) if a != b => return None,
            (a, b) => a.or(b),
        };
        match (v1, v2) {
            (Some(v1), Some(v2)) => Some(Self::Hybrid { v1, v2 }),
            (Some(v1), None) => Some(Self::V1(v1)),
            (None, Some(v2)) => Some(Self::V2(v2)),
            (None, None) => None,
        }
    }
}

/// SHA-1 of `bytes`.
#[must_use]
pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    Sha1::digest(bytes).into()
}

/// SHA-256 of `bytes`.
#[must_use]
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn truncated(v2: &[u8; 32]) -> [u8; 20] {
    let mut id = [0; 20];
    id.copy_from_slice(v2.split_at(20).0);
    id
}

/// The start of a text that came from outside, fit for an error message.
fn shortened(text: &str) -> String {
    let mut start: String = text.chars().take(80).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

impl FromStr for Infohash {
    type Err = InfohashError;

    /// Any bare form: v1 as hex or base32, v2 as hex or multihash.
    fn from_str(text: &str) -> Result<Self, InfohashError> {
        match text.len() {
            64 => HEXLOWER_PERMISSIVE
                .decode(text.as_bytes())
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .map(Self::V2)
                .ok_or_else(|| InfohashError::Form(shortened(text))),
            68 => Self::from_btmh(text),
            _ => Self::from_btih(text),
        }
    }
}

impl fmt::Display for Infohash {
    /// Lower-case hex of [`Infohash::as_bytes`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";

    #[test]
    fn hex_and_base32_are_the_same_hash() {
        let hex: Infohash = HEX.parse().unwrap();
        let base32: Infohash = "YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK".parse().unwrap();
        assert_eq!(hex, base32);
        assert_eq!(hex, HEX.to_uppercase().parse().unwrap());
        assert_eq!(hex, "yex6dqdlxisuvhoj6um3gnnkpqjwpkek".parse().unwrap());
        assert_eq!(hex.to_string(), HEX);
    }

    #[test]
    fn multihash_and_bare_sha256_are_the_same_hash() {
        let digest = HEXLOWER.encode(&sha256(b"d4:name1:xe"));
        let bare: Infohash = digest.parse().unwrap();
        let multihash: Infohash = format!("1220{digest}").parse().unwrap();
        assert_eq!(bare, multihash);
        assert_eq!(bare.wire_id(), bare.as_bytes()[..20]);
        assert!(matches!(
            format!("1320{digest}").parse::<Infohash>(),
            Err(InfohashError::Multihash(_))
        ));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "abc",
            &HEX[1..],
            &format!("{HEX}0"),
            &HEX.replace('c', "g"),
            &"é".repeat(20),
        ] {
            assert!(text.parse::<Infohash>().is_err(), "{text}");
        }
    }

    #[test]
    fn twenty_bytes_match_sha1_and_truncated_sha256() {
        let info = b"d6:lengthi1ee";
        assert!(Infohash::V1(sha1(info)).matches(info));
        assert!(Infohash::V1(Infohash::V2(sha256(info)).wire_id()).matches(info));
        assert!(Infohash::V2(sha256(info)).matches(info));
        assert!(!Infohash::V1(sha1(info)).matches(b"d6:lengthi2ee"));
        let liar = Infohash::Hybrid {
            v1: sha1(info),
            v2: sha256(b"other"),
        };
        assert!(!liar.matches(info), "a hybrid must match both");
    }

    #[test]
    fn merging_makes_a_hybrid_and_refuses_contradiction() {
        let (v1, v2) = (Infohash::V1([1; 20]), Infohash::V2([2; 32]));
        assert_eq!(
            v1.merge(v2),
            Some(Infohash::Hybrid {
                v1: [1; 20],
                v2: [2; 32]
            })
        );
        assert_eq!(v1.merge(v1), Some(v1));
        assert_eq!(v1.merge(Infohash::V1([3; 20])), None);
    }
}
