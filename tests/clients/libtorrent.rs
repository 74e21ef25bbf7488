//! libtorrent-rasterbar, by its Python module: as a seeder of any kind, and as a stock downloader.

use std::net::SocketAddr;
use std::process::Command;

use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::{LOOPBACK, Process, Seeder, Torrent};

/// Which connections a peer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// Without encryption only.
    Plain,
    /// With message stream encryption only.
    Forced,
    /// With or without.
    Both,
}

/// How a libtorrent seeder differs from one with default settings.
#[derive(Clone, Debug)]
pub(crate) struct LibtorrentOptions {
    /// Whether it takes TCP connections.
    pub(crate) tcp: bool,
    /// Whether it takes uTP connections.
    pub(crate) utp: bool,
    /// Which of them.
    pub(crate) encryption: Encryption,
    /// A node of the DHT that it announces itself to; no DHT if there is none.
    pub(crate) dht_bootstrap: Option<SocketAddr>,
    /// Trackers that it announces itself to.
    pub(crate) trackers: Vec<String>,
}

impl Default for LibtorrentOptions {
    fn default() -> Self {
        Self {
            tcp: true,
            utp: true,
            encryption: Encryption::Both,
            dht_bootstrap: None,
            trackers: Vec::new(),
        }
    }
}

impl LibtorrentOptions {
    fn arguments(&self, command: &mut Command) {
        if !self.tcp {
            command.arg("--no-tcp");
        }
        if !self.utp {
            command.arg("--no-utp");
        }
        let encryption = match self.encryption {
            Encryption::Plain => "plain",
            Encryption::Forced => "forced",
            Encryption::Both => "both",
        };
        command.args(["--encryption", encryption]);
        if let Some(node) = self.dht_bootstrap {
            command.args(["--dht-bootstrap", &node.to_string()]);
        }
    }
}

#[derive(Deserialize)]
struct Seeding {
    port: u16,
}

impl Seeder {
    /// A libtorrent session that seeds `torrent`, known to its trackers and its DHT.
    pub(crate) fn libtorrent(torrent: &Torrent, options: &LibtorrentOptions) -> Self {
        let mut process = Process::script("seeder.py", |command| {
            command.arg("--torrent").arg(&torrent.path);
            command.arg("--save-path").arg(torrent.save_path());
            options.arguments(command);
            for url in &options.trackers {
                command.args(["--tracker", url]);
            }
        });
        let Seeding { port } = process.says();
        Self {
            addr: SocketAddr::new(LOOPBACK, port),
            process,
        }
    }
}

/// A stock libtorrent client that fetches metadata: what the harness is checked with.
pub(crate) struct StockFetch(Process);

#[derive(Deserialize)]
struct Fetched {
    info: String,
}

impl StockFetch {
    /// Starts to fetch `magnet`, from `peer` if there is one, over the transports, the encryption
    /// and the DHT of `options`. Its trackers are those of the magnet.
    pub(crate) fn start(magnet: &str, peer: Option<&Seeder>, options: &LibtorrentOptions) -> Self {
        Self(Process::script("fetch.py", |command| {
            command.arg(magnet);
            options.arguments(command);
            if let Some(seeder) = peer {
                command.args(["--peer", &seeder.addr.port().to_string()]);
            }
        }))
    }

    /// Whether it is still without the metadata.
    pub(crate) fn is_running(&mut self) -> bool {
        self.0.is_running()
    }

    /// The raw info dictionary.
    pub(crate) fn info(mut self) -> Vec<u8> {
        let Fetched { info } = self.0.says();
        HEXLOWER.decode(info.as_bytes()).unwrap()
    }
}
