//! A payload and its torrent, for clients to seed and for tests to compare with.

use std::path::{Path, PathBuf};

use bendy::decoding::Decoder;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use tempfile::TempDir;

use super::process::{Process, directory};

/// 200 files of about 1 KiB in a temporary directory, and the torrent of them. Its metadata spans
/// two blocks (v1, v2) or four (hybrid), so that a client must ask more than once.
pub(crate) struct Torrent {
    /// The `.torrent` file.
    pub(crate) path: PathBuf,
    /// The name in the info dictionary.
    pub(crate) name: String,
    /// SHA-1 of the info dictionary in hex; none of a v2-only torrent.
    pub(crate) v1_hex: Option<String>,
    /// SHA-256 of the info dictionary in hex; none of a v1-only torrent.
    pub(crate) v2_hex: Option<String>,
    /// The raw info dictionary.
    pub(crate) info: Vec<u8>,
    dir: TempDir,
}

/// What `create.py` prints.
#[derive(Deserialize)]
struct Created {
    torrent: PathBuf,
    name: String,
    v1: Option<String>,
    v2: Option<String>,
    info: String,
}

impl Torrent {
    /// A v1-only torrent (BEP 3).
    pub(crate) fn v1() -> Self {
        Self::create("v1")
    }

    /// A torrent of both versions (BEP 52).
    pub(crate) fn hybrid() -> Self {
        Self::create("hybrid")
    }

    /// A v2-only torrent (BEP 52).
    pub(crate) fn v2() -> Self {
        Self::create("v2")
    }

    fn create(version: &str) -> Self {
        let dir = directory();
        let created: Created = Process::script("create.py", |command| {
            command.arg("--dir").arg(dir.path());
            command.args(["--version", version]);
        })
        .says();
        Self {
            path: created.torrent,
            name: created.name,
            v1_hex: created.v1,
            v2_hex: created.v2,
            info: HEXLOWER.decode(created.info.as_bytes()).unwrap(),
            dir,
        }
    }

    /// The directory that holds the payload.
    pub(crate) fn save_path(&self) -> &Path {
        self.dir.path()
    }

    /// The hash it is listed under, in hex: of v1 if it has one, else of v2.
    pub(crate) fn hash(&self) -> &str {
        self.v1_hex.as_ref().or(self.v2_hex.as_ref()).unwrap()
    }

    /// The 20 bytes in hex that stand for it in trackers and the DHT.
    pub(crate) fn wire_id(&self) -> &str {
        &self.hash()[..40]
    }

    /// A magnet link with all its hashes and nothing else.
    pub(crate) fn magnet(&self) -> String {
        let v1 = self
            .v1_hex
            .as_ref()
            .map(|hash| format!("xt=urn:btih:{hash}"));
        let v2 = self.v2_magnet_part();
        let topics: Vec<_> = v1.into_iter().chain(v2).collect();
        format!("magnet:?{}", topics.join("&"))
    }

    /// A magnet link with the v2 hash alone.
    pub(crate) fn v2_magnet(&self) -> String {
        format!("magnet:?{}", self.v2_magnet_part().unwrap())
    }

    fn v2_magnet_part(&self) -> Option<String> {
        let hash = self.v2_hex.as_ref()?;
        Some(format!("xt=urn:btmh:1220{hash}"))
    }
}

/// The raw info dictionary of a `.torrent` file, with strict decoding of what is around it.
pub(crate) fn info_of(torrent: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(torrent);
    let mut pairs = decoder
        .next_object()
        .unwrap()
        .unwrap()
        .try_into_dictionary()
        .unwrap();
    while let Some((key, value)) = pairs.next_pair().unwrap() {
        if key == b"info" {
            return value
                .try_into_dictionary()
                .unwrap()
                .into_raw()
                .unwrap()
                .to_vec();
        }
    }
    panic!("a torrent without an info dictionary");
}
