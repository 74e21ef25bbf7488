//! Torrent files (BEP 3, BEP 12): the info dictionary and what surrounds it.

use super::magnet::is_tracker;
use crate::wire::bencode::{self, BencodeError, Entries, Items, Limits, Tokens};

/// How many trackers are taken from a torrent file.
const MAX_TRACKERS: usize = 100;

/// One level more than an info dictionary has; v2 files carry a hash list for each file.
const LIMITS: Limits = Limits {
    depth: Limits::INFO.depth + 1,
    tokens: Limits::INFO.tokens * 2,
};

/// Bytes that are no torrent file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// Not bencode.
    #[error("the torrent file can't be read: {0}")]
    Bencode(#[from] BencodeError),
    /// No `info` dictionary.
    #[error("the torrent file has no `info` dictionary")]
    NoInfo,
}

/// A torrent file around the info dictionary `info`, whose bytes stay as they are.
///
/// Each tracker is a tier of its own (BEP 12); a single one, or none, needs no list. There are no
/// `piece layers` (BEP 52), since peers don't send them with the metadata: of a v2 torrent the
/// file holds the root hash of each file only, and clients get the layers from peers
/// (`hash request`) before they can check pieces. Some clients refuse v2 files without them, and
/// are better given the magnet link.
#[must_use]
pub fn torrent_file(info: &[u8], trackers: &[String], created_by: Option<&str>) -> Vec<u8> {
    let mut file = Vec::with_capacity(info.len().saturating_add(1024));
    file.push(b'd');
    if let Some(first) = trackers.first() {
        string(&mut file, "announce");
        string(&mut file, first);
    }
    if trackers.len() > 1 {
        string(&mut file, "announce-list");
        file.push(b'l');
        for tracker in trackers {
            file.push(b'l');
            string(&mut file, tracker);
            file.push(b'e');
        }
        file.push(b'e');
    }
    if let Some(program) = created_by {
        string(&mut file, "created by");
        string(&mut file, program);
    }
    string(&mut file, "info");
    file.extend_from_slice(info);
    file.push(b'e');
    file
}

/// The raw info dictionary of a torrent file, and its trackers (each once, 100 at most).
///
/// The dictionary is not checked here beyond being one. Bytes after the file are ignored.
pub fn split(torrent: &[u8]) -> Result<(&[u8], Vec<String>), MetainfoError> {
    let torrent = Tokens::new(torrent, LIMITS).skip()?;
    let mut info = None;
    let mut trackers = Vec::new();
    for entry in Entries::new(torrent, LIMITS) {
        let (key, value) = entry?;
        match key {
            b"info" if info.is_none() && value.starts_with(b"d") => info = Some(value),
            b"announce" => add(&mut trackers, value),
            b"announce-list" => {
                for tier in Items::new(value, LIMITS) {
                    let tier = tier?;
                    add(&mut trackers, tier); // some files leave out the tiers
                    for tracker in Items::new(tier, LIMITS) {
                        add(&mut trackers, tracker?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok((info.ok_or(MetainfoError::NoInfo)?, trackers))
}

/// Notes the tracker that the raw value is, if it is one.
fn add(trackers: &mut Vec<String>, raw: &[u8]) {
    let url = bencode::string(raw).and_then(|url| std::str::from_utf8(url).ok());
    if let Some(url) = url.map(str::trim).filter(|url| is_tracker(url))
        && trackers.len() < MAX_TRACKERS
        && !trackers.iter().any(|known| known == url)
    {
        trackers.push(url.to_owned());
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Unsorted on purpose: its hash depends on it.
    const INFO: &[u8] = b"d4:name1:x6:lengthi0ee";

    fn trackers(urls: &[&str]) -> Vec<String> {
        urls.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_around_the_raw_dictionary() {
        let (a, b) = ("http://a.example/", "udp://b.example:1");
        assert_eq!(
            torrent_file(INFO, &[], None),
            b"d4:infod4:name1:x6:lengthi0eee"
        );
        assert_eq!(
            torrent_file(INFO, &trackers(&[a]), None),
            b"d8:announce17:http://a.example/4:infod4:name1:x6:lengthi0eee"
        );
        let file = torrent_file(INFO, &trackers(&[a, b]), Some("metafetch"));
        assert_eq!(
            file,
            b"d8:announce17:http://a.example/13:announce-listll17:http://a.example/el\
              17:udp://b.example:1ee10:created by9:metafetch4:infod4:name1:x6:lengthi0eee"
        );
        assert_eq!(split(&file), Ok((INFO, trackers(&[a, b]))));
        let canonical = torrent_file(b"de", &trackers(&[a, b]), Some("metafetch"));
        assert!(bencode::is_canonical(&canonical));
    }

    #[test]
    fn files_of_the_wild_are_split() {
        let file = b"d4:infod4:name1:x6:lengthi0ee8:announce0:13:announce-listl\
                     16:http://a.examplel16:http://a.examplei1e15:udp://b.example\
                     4:junkelee5:nodeslee\r\n";
        assert_eq!(
            split(file),
            Ok((INFO, trackers(&["http://a.example", "udp://b.example"])))
        );
        let file = b"d13:announce-listi1e8:announcele4:infodee";
        assert_eq!(split(file), Ok((&b"de"[..], vec![])));
    }

    #[test]
    fn what_is_no_torrent_file() {
        for file in [&b"de"[..], b"le", b"i1e", b"d4:infolee", b"d4:info2:dee"] {
            assert_eq!(split(file), Err(MetainfoError::NoInfo));
        }
        let whole = torrent_file(INFO, &trackers(&["http://a.example"]), None);
        for cut in 0..whole.len() {
            assert!(matches!(
                split(&whole[..cut]),
                Err(MetainfoError::Bencode(_))
            ));
        }
        assert!(split(b"<html>").is_err());
    }

    #[test]
    fn trackers_are_bounded() {
        let many: Vec<String> = (0..300).map(|n| format!("http://{n}.example")).collect();
        let file = torrent_file(INFO, &many, None);
        assert_eq!(split(&file).unwrap().1, many[..100]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = split(&bytes);
        }
    }
}
