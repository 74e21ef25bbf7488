//! The forms of a hash that lists, files and old tables have.

use crate::torrent::{Infohash, InfohashError, Magnet, MagnetError};

/// An entry that names no torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// A magnet link that can't be read.
    #[error(transparent)]
    Magnet(#[from] MagnetError),
    /// No hash of any form.
    #[error(transparent)]
    Infohash(#[from] InfohashError),
}

/// Reads an entry: 40 hex digits or 32 base32 characters in any case, or 20 bytes that are the
/// hash itself, so that a word of 20 letters is one too. White space around is no part of it.
///
/// Beyond what the older crawler took: 64 hex digits or a multihash (v2), and magnet links, whose
/// trackers and peers are kept.
pub fn parse_hash(entry: &[u8]) -> Result<Magnet, HashError> {
    let entry = entry.trim_ascii();
    if entry.len() == 20
        && let Some(raw) = Infohash::from_bytes(entry)
    {
        return Ok(Magnet::new(raw));
    }
    let text = String::from_utf8_lossy(entry);
    let scheme = text.get(.."magnet:".len()).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("magnet:") {
        return Ok(text.parse()?);
    }
    Ok(Magnet::new(text.parse()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";

    fn hash(entry: impl AsRef<[u8]>) -> Option<String> {
        let magnet = parse_hash(entry.as_ref()).ok()?;
        Some(magnet.infohash.to_string())
    }

    #[test]
    fn every_form() {
        let v2 = "7f1b766dc387e809af5e022957022b7b01ede9c5fef556e69a9f002a58fcb0e7";
        for (entry, expected) in [
            (HEX.to_owned(), HEX),
            (HEX.to_uppercase(), HEX),
            (format!("  {HEX}\r\n"), HEX),
            ("YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK".to_owned(), HEX),
            ("yex6dqdlxisuvhoj6um3gnnkpqjwpkek".to_owned(), HEX),
            (
                "internationalization".to_owned(),
                "696e7465726e6174696f6e616c697a6174696f6e",
            ),
            (v2.to_owned(), v2),
            (format!("1220{v2}"), v2),
            (format!("magnet:?xt=urn:btih:{HEX}&dn=x"), HEX),
            (format!("MAGNET:?xt=urn:btmh:1220{v2}"), v2),
        ] {
            assert_eq!(hash(&entry).as_deref(), Some(expected), "{entry}");
        }
        let raw =
            b"\xc1\x2f\xe1\xc0\x6b\xba\x25\x4a\x9d\xc9\xf5\x19\xb3\x35\xaa\x7c\x13\x67\xa8\x8a";
        assert_eq!(hash(raw).as_deref(), Some(HEX));
        let magnet = parse_hash(format!("magnet:?xt=urn:btih:{HEX}&tr=udp://t:1").as_bytes());
        assert_eq!(magnet.unwrap().trackers, ["udp://t:1"]);
    }

    #[test]
    fn all_else_is_invalid() {
        let long = format!("{HEX}0");
        let other = HEX.replace('c', "z");
        for entry in [
            "",
            "info_hash,name",
            "# comment",
            "magnet:",
            "magnet:?dn=x",
            &HEX[1..],
            &long,
            &other,
            "01010101010101010101010101010101",
        ] {
            assert_eq!(hash(entry), None, "{entry}");
        }
        assert_eq!(hash([0xff; 40]), None);
    }

    proptest! {
        #[test]
        fn any_entry_is_read_without_panic(
            entry in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                "(magnet:)?[0-9a-zA-Z:?=&]{0,80}".prop_map(String::into_bytes),
            ]
        ) {
            if let Ok(magnet) = parse_hash(&entry) {
                let again = parse_hash(magnet.infohash.to_string().as_bytes()).unwrap();
                prop_assert_eq!(again.infohash.as_bytes(), magnet.infohash.as_bytes());
            }
        }

        #[test]
        fn twenty_bytes_are_the_hash_itself(raw in any::<[u8; 20]>()) {
            prop_assume!(raw.trim_ascii().len() == 20);
            prop_assert_eq!(parse_hash(&raw).unwrap().infohash, Infohash::V1(raw));
        }
    }
}
