//! The extension handshake (BEP 10): what the other side supports, and under which ids.

use std::net::IpAddr;

use super::bencode::{BencodeError, Limits, Node, encode_dict, parse_prefix};

/// Characters of a client name that are kept.
const MAX_CLIENT: usize = 100;

/// What an extension handshake says, as far as it concerns a metadata fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionHandshake {
    /// The id under which the sender wants `ut_metadata` messages (BEP 9); `None` if it has none.
    pub ut_metadata: Option<u8>,
    /// The sender says that it has no `ut_metadata`, or takes it back (id 0).
    pub no_ut_metadata: bool,
    /// The id under which the sender wants `ut_pex` messages (BEP 11); `None` if it has none.
    pub ut_pex: Option<u8>,
    /// Size of the info dictionary in bytes, as the sender claims it: unchecked, may be zero,
    /// negative or absurd.
    pub metadata_size: Option<i64>,
    /// Name and version of the client (`v`), without control characters, 100 characters at most.
    pub client: Option<String>,
    /// The port the sender listens on (`p`).
    pub port: Option<u16>,
    /// How many requests the sender queues.
    pub reqq: Option<u32>,
    /// Our own address as the sender sees it.
    pub yourip: Option<IpAddr>,
}

/// A payload that is no extension handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// Not bencode.
    #[error("the peer's extension handshake can't be read: {0}")]
    Bencode(#[from] BencodeError),
    /// Bencode, but no dictionary.
    #[error("the peer's extension handshake is no dictionary")]
    NotADict,
}

impl ExtensionHandshake {
    /// The payload for extended message 0. What is `None` is left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_dict(|dict| {
            dict.emit_pair_with(b"m", |m| {
                m.emit_unsorted_dict(|m| {
                    if let Some(id) = self.ut_metadata.or(self.no_ut_metadata.then_some(0)) {
                        m.emit_pair(b"ut_metadata", id)?;
                    }
                    if let Some(id) = self.ut_pex {
                        m.emit_pair(b"ut_pex", id)?;
                    }
                    Ok(())
                })
            })?;
            if let Some(size) = self.metadata_size {
                dict.emit_pair(b"metadata_size", size)?;
            }
            if let Some(port) = self.port {
                dict.emit_pair(b"p", port)?;
            }
            if let Some(reqq) = self.reqq {
                dict.emit_pair(b"reqq", reqq)?;
            }
            if let Some(client) = &self.client {
                dict.emit_pair(b"v", client)?;
            }
            match self.yourip {
                Some(IpAddr::V4(ip)) => {
                    dict.emit_pair_with(b"yourip", |e| e.emit_bytes(&ip.octets()))?;
                }
                Some(IpAddr::V6(ip)) => {
                    dict.emit_pair_with(b"yourip", |e| e.emit_bytes(&ip.octets()))?;
                }
                None => {}
            }
            Ok(())
        })
    }

    /// Reads a peer's payload. Keys we don't know, values of odd types and values out of range are
    /// as if they were not there, and so is what comes after the dictionary: clients differ, and
    /// one odd key is no reason to lose a peer.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtensionError> {
        let (dict, _) = parse_prefix(payload, Limits::MESSAGE)?;
        if dict.as_dict().is_none() {
            return Err(ExtensionError::NotADict);
        }
        let int = |key: &str| dict.get(key).and_then(Node::as_int);
        let bytes = |key: &str| dict.get(key).and_then(Node::as_bytes);
        let id = |name: &str| u8::try_from(dict.get("m")?.get(name)?.as_int()?).ok();
        let is_on = |id: &u8| *id != 0; // 0 takes an extension back (BEP 10)
        let ut_metadata = id("ut_metadata");
        Ok(Self {
            ut_metadata: ut_metadata.filter(is_on),
            no_ut_metadata: ut_metadata == Some(0),
            ut_pex: id("ut_pex").filter(is_on),
            metadata_size: int("metadata_size"),
            client: bytes("v").map(client).filter(|name| !name.is_empty()),
            port: int("p")
                .and_then(|port| u16::try_from(port).ok())
                .filter(|port| *port != 0),
            reqq: int("reqq").and_then(|reqq| u32::try_from(reqq).ok()),
            yourip: bytes("yourip").and_then(ip),
        })
    }
}

/// A client name fit for logs and terminals.
fn client(bytes: &[u8]) -> String {
    // A character has four bytes at most; what is beyond can't be among those kept, or nearly so.
    let start = bytes.get(..MAX_CLIENT * 4).unwrap_or(bytes);
    String::from_utf8_lossy(start)
        .chars()
        .filter(|char| !char.is_control())
        .take(MAX_CLIENT)
        .collect::<String>()
        .trim()
        .to_owned()
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(payload: &[u8]) -> ExtensionHandshake {
        ExtensionHandshake::decode(payload).unwrap()
    }

    #[test]
    fn real_handshakes() {
        let libtorrent = decoded(
            b"d12:complete_agoi1e1:md11:lt_donthavei7e10:share_modei8e11:upload_onlyi3e12:\
              ut_holepunchi4e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei30408e1:pi6881e4:reqqi500e\
              1:v17:libtorrent/2.0.8 6:yourip4:\x7f\0\0\x01e",
        );
        assert_eq!(
            libtorrent,
            ExtensionHandshake {
                ut_metadata: Some(2),
                no_ut_metadata: false,
                ut_pex: Some(1),
                metadata_size: Some(30408),
                client: Some("libtorrent/2.0.8".into()),
                port: Some(6881),
                reqq: Some(500),
                yourip: Some("127.0.0.1".parse().unwrap()),
            }
        );
        let transmission = decoded(
            b"d1:ei0e4:ipv616:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x011:md11:ut_metadatai3ee13:\
              metadata_sizei119e1:pi51413e4:reqqi512e11:upload_onlyi1e1:v18:Transmission 3.00 e",
        );
        assert_eq!(transmission.ut_metadata, Some(3));
        assert_eq!(transmission.metadata_size, Some(119));
        assert_eq!(transmission.client.as_deref(), Some("Transmission 3.00"));
    }

    #[test]
    fn ours_is_canonical_and_leaves_out_what_is_not_there() {
        assert_eq!(ExtensionHandshake::default().encode(), b"d1:mdee");
        let ours = ExtensionHandshake {
            ut_metadata: Some(1),
            no_ut_metadata: false,
            ut_pex: Some(2),
            metadata_size: Some(5),
            client: Some("metafetch".into()),
            port: Some(6881),
            reqq: Some(250),
            yourip: Some("::1".parse().unwrap()),
        };
        let bytes = ours.encode();
        assert_eq!(
            bytes.escape_ascii().to_string(),
            "d1:md11:ut_metadatai1e6:ut_pexi2ee13:metadata_sizei5e1:pi6881e4:reqqi250e\
             1:v9:metafetch6:yourip16:\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\
             \\x00\\x00\\x00\\x00\\x01e"
        );
        assert!(super::super::bencode::is_canonical(&bytes));
        assert_eq!(decoded(&bytes), ours);
    }

    #[test]
    fn odd_values_are_as_if_not_there() {
        let nothing = ExtensionHandshake::default();
        for payload in [
            &b"de"[..],
            b"d1:mi5ee",
            b"d1:mlee",
            b"d1:md6:ut_pexi0eee",
            b"d1:md11:ut_metadatai256eee",
            b"d1:md11:ut_metadatai-1eee",
            b"d1:md11:ut_metadata1:3ee",
            b"d13:metadata_size2:10e",
            b"d1:pi0e4:reqqi-1e1:vi3e6:yourip3:abce",
            b"d1:pi65536e4:reqqi4294967296e1:v3:\n\x1b\0e",
            b"detrailing",
        ] {
            assert_eq!(decoded(payload), nothing, "{}", payload.escape_ascii());
        }
        let shuffled =
            decoded(b"d1:v1:x13:metadata_sizei-1e1:md4:\xff\xff\xff\xffi1e11:ut_metadatai255eee");
        assert_eq!(shuffled.ut_metadata, Some(255));
        assert_eq!(shuffled.metadata_size, Some(-1));
    }

    #[test]
    fn ids_may_be_taken_back_shared_and_named_twice() {
        let back = decoded(b"d1:md11:ut_metadatai0eee");
        assert_eq!((back.ut_metadata, back.no_ut_metadata), (None, true));
        assert_eq!(back.encode(), b"d1:md11:ut_metadatai0eee");
        // Two extensions under one id, and an extension of ours among several of others.
        let shared = decoded(b"d1:md6:lt_fooi3e11:ut_metadatai3e6:ut_pexi3eee");
        assert_eq!((shared.ut_metadata, shared.ut_pex), (Some(3), Some(3)));
        // Named twice: one of the two counts, and nothing else is lost.
        let twice = decoded(b"d1:md11:ut_metadatai2e11:ut_metadatai5eee");
        assert!(matches!(twice.ut_metadata, Some(2 | 5)));
        let sized = decoded(b"d13:metadata_sizei7e1:md11:ut_metadatai2ee1:md11:ut_metadatai2eee");
        assert_eq!((sized.ut_metadata, sized.metadata_size), (Some(2), Some(7)));
    }

    #[test]
    fn client_names_are_cut_and_cleaned() {
        let v = |name: &[u8]| {
            let mut payload = format!("d1:v{}:", name.len()).into_bytes();
            payload.extend_from_slice(name);
            payload.push(b'e');
            decoded(&payload).client
        };
        assert_eq!(v(b"a\x1b[31mb\r\n\0").as_deref(), Some("a[31mb"));
        assert_eq!(
            v("µTorrent 3.5".as_bytes()).as_deref(),
            Some("µTorrent 3.5")
        );
        assert_eq!(v(b"\xb5Torrent").as_deref(), Some("\u{fffd}Torrent"));
        assert_eq!(v(&[b'x'; 4000]).unwrap().len(), 100);
        assert_eq!(v("𝕏".repeat(200).as_bytes()).unwrap().chars().count(), 100);
        assert_eq!(v(b" \n "), None);
    }

    #[test]
    fn only_what_is_no_dictionary_is_an_error() {
        for payload in [&b""[..], b"le", b"i1e", b"4:spam", b"d", b"d1:m", b"\0\0"] {
            assert!(ExtensionHandshake::decode(payload).is_err());
        }
        let deep = [b"d1:m".repeat(17), b"e".repeat(17)].concat();
        assert!(ExtensionHandshake::decode(&deep).is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(
            ut_metadata in prop::option::of(1..=255_u8),
            ut_pex in prop::option::of(1..=255_u8),
            metadata_size in any::<Option<i64>>(),
            client in prop::option::of("[a-zA-Z0-9/.µ]{1,100}"),
            port in prop::option::of(1..=65535_u16),
            reqq in any::<Option<u32>>(),
            yourip in any::<Option<IpAddr>>(),
        ) {
            let handshake = ExtensionHandshake {
                ut_metadata, no_ut_metadata: false, ut_pex, metadata_size, client, port, reqq, yourip,
            };
            prop_assert_eq!(decoded(&handshake.encode()), handshake);
        }

        #[test]
        fn arbitrary_bytes_never_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ExtensionHandshake::decode(&payload);
        }
    }
}
