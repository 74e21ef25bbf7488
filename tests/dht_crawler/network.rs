//! A DHT, and peers that are announced there.

use std::net::SocketAddr;

use crate::swarm::{Behaviour, Dht, DhtOptions, Swarm, TestTorrent};

/// Torrents that one peer has.
const SHARE: usize = 50;

pub(crate) struct Network {
    pub(crate) swarm: Swarm,
    pub(crate) dht: Dht,
    seed: u64,
}

impl Network {
    pub(crate) async fn start(seed: u64, nodes: usize) -> Self {
        let swarm = Swarm::start(seed);
        let options = DhtOptions {
            nodes,
            ..DhtOptions::default()
        };
        let dht = swarm.dht_with(options).await;
        Self { swarm, dht, seed }
    }

    pub(crate) fn nodes(&self) -> &[SocketAddr] {
        &self.dht.bootstrap
    }

    /// So many torrents, each announced by one peer.
    pub(crate) async fn torrents(&self, count: u64) -> Vec<TestTorrent> {
        let torrents: Vec<_> = (0..count)
            .map(|number| TestTorrent::v1(self.seed * 10_000 + number, 2_000))
            .collect();
        for share in torrents.chunks(SHARE) {
            self.serve(share).await;
        }
        torrents
    }

    /// Starts a peer that has these, and announces it.
    pub(crate) async fn serve(&self, torrents: &[TestTorrent]) -> SocketAddr {
        let peer = self.swarm.peer(Behaviour::Honest, torrents).await;
        for torrent in torrents {
            self.dht.announce(torrent, peer);
        }
        peer
    }
}

/// A v1 torrent with this name and these files, of which one without a path is the only one.
pub(crate) fn torrent(name: &str, files: &[(&[&str], u64)]) -> TestTorrent {
    use sha1::Digest as _;
    let text = |text: &str| format!("{}:{text}", text.len());
    let size: u64 = files.iter().map(|(_, length)| length).sum();
    let content = match files {
        [([], length)] => format!("6:lengthi{length}e"),
        files => {
            let list: Vec<_> = files
                .iter()
                .map(|(path, length)| {
                    let path: String = path.iter().map(|part| text(part)).collect();
                    format!("d6:lengthi{length}e4:pathl{path}ee")
                })
                .collect();
            format!("5:filesl{}e", list.concat())
        }
    };
    let pieces = size.div_ceil(16_384) * 20;
    let pieces_text = "x".repeat(usize::try_from(pieces).unwrap());
    let info = format!(
        "d{content}4:name{}12:piece lengthi16384e6:pieces{}e",
        text(name),
        text(&pieces_text)
    );
    TestTorrent {
        v1: sha1::Sha1::digest(&info).into(),
        v2: sha2::Sha256::digest(&info).into(),
        info: info.into_bytes().into(),
        name: name.to_owned(),
        kind: crate::swarm::Kind::V1,
    }
}
