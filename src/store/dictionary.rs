//! What a row of a torrent has by its dictionary.

use super::ResolvedTorrent;
use crate::torrent::{Info, Infohash, PeerAddr};

/// The dictionary, read; or why it isn't that of this hash, or can't be used.
pub(super) fn checked(infohash: &Infohash, raw: &[u8]) -> Result<Info, String> {
    if !infohash.matches(raw) {
        return Err("the dictionary does not have the hash".to_owned());
    }
    Info::parse(raw).map_err(|error| error.to_string())
}

/// The files that are kept of a dictionary: path, joined by `/`, and length in bytes. Padding is none.
pub(super) fn files(info: &Info) -> Vec<(String, u64)> {
    info.files
        .iter()
        .filter(|file| !file.is_padding)
        .map(|file| (file.path.join("/"), file.length))
        .collect()
}

/// The torrent of a dictionary that was checked.
pub(super) fn resolved(
    infohash: Infohash,
    info: &Info,
    raw: Vec<u8>,
    trackers: Vec<String>,
    (arm, peer): (&str, Option<PeerAddr>),
) -> ResolvedTorrent {
    ResolvedTorrent {
        arm: arm.to_owned(),
        peer,
        ..ResolvedTorrent::of(infohash, info, raw, trackers)
    }
}
