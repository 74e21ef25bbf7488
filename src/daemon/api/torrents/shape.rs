//! A torrent as JSON.

use serde::Serialize;
use utoipa::ToSchema;

use crate::daemon::api::problem::Problem;
use crate::engine::{Origin, Resolution, timestamp};
use crate::store::StoredTorrent;
use crate::torrent::{ContentType, Info, Infohash, Magnet};

/// Dictionaries above so many bytes are read on a thread where that holds nobody up.
pub(in crate::daemon::api) const LARGE: usize = 64 << 10;

/// A torrent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::daemon::api) struct Torrent {
    /// The hash in hex: 40 digits of v1, or 64 of a torrent that has only v2.
    infohash: String,
    /// The v2 hash in hex, where there is one.
    infohash_v2: Option<String>,
    /// The name, as its maker wrote it: for display, and no file name.
    name: String,
    /// Bytes of all files.
    size: u64,
    /// Bytes of a piece.
    piece_length: u64,
    /// How many pieces there are.
    pieces: u64,
    /// Whether peers come from its trackers only (BEP 27).
    private: bool,
    /// How many files there are.
    files_count: u64,
    /// The files, in the order of the torrent, without padding.
    files: Vec<TorrentFile>,
    /// Trackers that were named with it.
    trackers: Vec<String>,
    /// The `source` of its dictionary, which some trackers set.
    source: Option<String>,
    /// What kind of content it has: `video`, `audio`, `software`, `document`, `image`, `archive`, `other`, `unknown`.
    #[schema(value_type = String)]
    content_type: ContentType,
    /// A magnet link to it.
    magnet: String,
    /// Bytes of its dictionary.
    metadata_size: u64,
    /// Which arm got it: `direct`, `libtorrent`; or `import`.
    arm: String,
    /// The peer that gave it.
    peer: Option<String>,
    /// When it was first heard of.
    #[schema(format = DateTime)]
    discovered_at: Option<String>,
    /// When it was last seen.
    #[schema(format = DateTime)]
    last_seen_at: Option<String>,
    /// When it was resolved.
    #[schema(format = DateTime)]
    resolved_at: Option<String>,
}

/// A file of a torrent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::daemon::api) struct TorrentFile {
    /// Its path, with `/` between the parts; for display, and no path on any disk.
    pub(in crate::daemon::api) path: String,
    /// Bytes.
    pub(in crate::daemon::api) length: u64,
}

impl Torrent {
    pub(super) async fn of_stored(stored: StoredTorrent) -> Result<Self, Problem> {
        let infohash = stored.infohash;
        let is_large = stored.info.len() > LARGE;
        let read = move || {
            let info = Info::parse(&stored.info);
            info.map(|info| Self::new(&stored, &info))
        };
        let torrent = if is_large {
            let task = tokio::task::spawn_blocking(read).await;
            task.map_err(|_| Problem::internal("the dictionary could not be read"))?
        } else {
            read()
        };
        torrent.map_err(|error| {
            let detail = format!(
                "what is stored does not read any more ({error}): `metafetch db check --repair` sees to it"
            );
            Problem::internal(detail).about(&infohash)
        })
    }

    fn new(stored: &StoredTorrent, info: &Info) -> Self {
        let files = files(info);
        Self {
            infohash: stored.infohash.to_string(),
            infohash_v2: v2(&stored.infohash),
            name: info.name.clone(),
            size: stored.size,
            piece_length: stored.piece_length,
            pieces: stored.pieces_count,
            private: stored.private,
            files_count: files.len() as u64,
            content_type: ContentType::of_paths(files.iter().map(|file| file.path.as_str())),
            files,
            trackers: stored.trackers.clone(),
            source: Some(stored.source.clone()).filter(|source| !source.is_empty()),
            magnet: magnet(&stored.infohash, &info.name, &stored.trackers),
            metadata_size: stored.metadata_size,
            arm: stored.arm.clone(),
            peer: stored.peer.map(|peer| peer.to_string()),
            discovered_at: timestamp(stored.discovered_at_ms),
            last_seen_at: timestamp(stored.last_seen_at_ms),
            resolved_at: timestamp(stored.resolved_at_ms),
        }
    }

    /// A torrent that the store could not keep.
    pub(super) fn of_resolution(resolution: &Resolution) -> Result<Self, Problem> {
        let Ok(resolved) = &resolution.result else {
            return Err(Problem::internal("there is no torrent"));
        };
        let info = &resolved.info;
        let files = files(info);
        let (arm, peer) = match resolved.origin {
            Origin::Peer(arm, peer) => (arm.as_str(), Some(peer.to_string())),
            Origin::Store => ("store", None),
        };
        Ok(Self {
            infohash: resolution.infohash.to_string(),
            infohash_v2: v2(&resolution.infohash),
            name: info.name.clone(),
            size: info.size,
            piece_length: info.piece_length,
            pieces: info.pieces,
            private: info.private,
            files_count: files.len() as u64,
            content_type: ContentType::of_paths(files.iter().map(|file| file.path.as_str())),
            files,
            trackers: resolved.trackers.clone(),
            source: info.source.clone(),
            magnet: magnet(&resolution.infohash, &info.name, &resolved.trackers),
            metadata_size: resolved.raw.len() as u64,
            arm: arm.to_owned(),
            peer,
            discovered_at: None,
            last_seen_at: None,
            resolved_at: None,
        })
    }
}

fn files(info: &Info) -> Vec<TorrentFile> {
    let files = info.files.iter().filter(|file| !file.is_padding);
    files
        .map(|file| TorrentFile {
            path: file.path.join("/"),
            length: file.length,
        })
        .collect()
}

fn v2(infohash: &Infohash) -> Option<String> {
    infohash.v2().map(|v2| data_encoding::HEXLOWER.encode(v2))
}

/// A link to a torrent, with its name and trackers.
pub(in crate::daemon::api) fn magnet(
    infohash: &Infohash,
    name: &str,
    trackers: &[String],
) -> String {
    let name: String = name.chars().filter(|char| !char.is_control()).collect();
    Magnet {
        name: Some(name).filter(|name| !name.trim().is_empty()),
        trackers: trackers.to_vec(),
        ..Magnet::new(*infohash)
    }
    .to_string()
}
