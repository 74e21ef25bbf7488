//! The metafetch binary against BitTorrent clients, trackers and a DHT from the distribution.

#[cfg(test)]
mod clients;

use std::fs;
use std::process::{Command, Output};

use clients::{Encryption, LibtorrentOptions, LoopbackDht, Seeder, Torrent, Tracker};
use serde_json::Value;
use tempfile::TempDir;

/// `metafetch resolve`, kept on loopback and without a database.
struct Resolve {
    command: Command,
    out: TempDir,
}

impl Resolve {
    fn new(input: &str, strategy: &str) -> Self {
        let out = tempfile::tempdir().unwrap();
        // `--timeout` ends the program; `timeout` ends it where that fails.
        let mut command = Command::new("timeout");
        command.args(["60", env!("CARGO_BIN_EXE_metafetch"), "resolve", input]);
        command.args(["--strategy", strategy, "--timeout", "30s"]);
        command.args(["--allow-local-peers", "--listen", "127.0.0.1:0"]);
        command.args(["--store", "none", "--format", "jsonl"]);
        command.arg("-o").arg(out.path().join("out"));
        // Whoever runs the tests may have a configuration of their own.
        let home = out.path().join("home");
        for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env(variable, &home);
        }
        Self { command, out }
    }

    /// From this peer and from nowhere else.
    fn from_peer(input: &str, seeder: &Seeder, strategy: &str) -> Self {
        let peer = seeder.addr.to_string();
        Self::new(input, strategy).with(&["--peer", &peer, "--no-dht", "--no-trackers"])
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Runs it; its one line of JSON and what it ended with.
    fn run(&mut self) -> (Value, Output) {
        let output = self.command.output().unwrap();
        let stdout = String::from_utf8(output.stdout.clone()).unwrap();
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(lines.len(), 1, "one hash is one line: {output:#?}");
        (serde_json::from_str(lines[0]).unwrap(), output)
    }

    /// Runs it, and expects the metadata of `torrent` byte by byte.
    fn delivers(mut self, torrent: &Torrent, listed_as: &str) {
        let (line, output) = self.run();
        assert_eq!(line["status"], "resolved", "{output:#?}");
        assert_eq!(output.status.code(), Some(0), "{output:#?}");
        assert_eq!(line["infohash"], listed_as);
        assert_eq!(line["name"], *torrent.name);
        assert_eq!(line["metadata_size"], torrent.info.len());
        let out = self.out.path().join("out");
        let written = fs::read(out.join(format!("{listed_as}.torrent"))).unwrap();
        assert!(
            clients::info_of(&written) == torrent.info,
            "the info dictionary was changed on its way"
        );
    }
}

fn delivers_from(seeder: &Seeder, torrent: &Torrent, strategy: &str) {
    Resolve::from_peer(torrent.hash(), seeder, strategy).delivers(torrent, torrent.hash());
}

fn libtorrent_delivers(options: &LibtorrentOptions, strategy: &str) {
    let torrent = Torrent::v1();
    let seeder = Seeder::libtorrent(&torrent, options);
    delivers_from(&seeder, &torrent, strategy);
}

fn encrypted_only() -> LibtorrentOptions {
    LibtorrentOptions {
        encryption: Encryption::Forced,
        ..LibtorrentOptions::default()
    }
}

fn plain_only() -> LibtorrentOptions {
    LibtorrentOptions {
        encryption: Encryption::Plain,
        ..LibtorrentOptions::default()
    }
}

fn utp_only() -> LibtorrentOptions {
    LibtorrentOptions {
        tcp: false,
        ..LibtorrentOptions::default()
    }
}

fn tcp_only() -> LibtorrentOptions {
    LibtorrentOptions {
        utp: false,
        ..LibtorrentOptions::default()
    }
}

#[test]
fn libtorrent_by_libtorrent() {
    libtorrent_delivers(&LibtorrentOptions::default(), "libtorrent");
}

#[test]
fn libtorrent_by_direct() {
    libtorrent_delivers(&LibtorrentOptions::default(), "direct");
}

#[test]
fn libtorrent_by_race() {
    libtorrent_delivers(&LibtorrentOptions::default(), "race");
}

#[test]
fn transmission_by_libtorrent() {
    let torrent = Torrent::v1();
    delivers_from(&Seeder::transmission(&torrent), &torrent, "libtorrent");
}

#[test]
fn transmission_by_direct() {
    let torrent = Torrent::v1();
    delivers_from(&Seeder::transmission(&torrent), &torrent, "direct");
}

#[test]
fn aria2_by_libtorrent() {
    let torrent = Torrent::v1();
    delivers_from(&Seeder::aria2(&torrent), &torrent, "libtorrent");
}

#[test]
fn aria2_by_direct() {
    let torrent = Torrent::v1();
    delivers_from(&Seeder::aria2(&torrent), &torrent, "direct");
}

#[test]
fn qbittorrent_by_libtorrent() {
    let torrent = Torrent::v1();
    delivers_from(&Seeder::qbittorrent(&torrent), &torrent, "libtorrent");
}

#[test]
fn qbittorrent_by_direct() {
    let torrent = Torrent::v1();
    delivers_from(&Seeder::qbittorrent(&torrent), &torrent, "direct");
}

#[test]
fn encrypted_only_by_libtorrent() {
    libtorrent_delivers(&encrypted_only(), "libtorrent");
}

#[test]
fn encrypted_only_by_auto() {
    libtorrent_delivers(&encrypted_only(), "auto");
}

#[test]
fn plain_only_by_libtorrent() {
    libtorrent_delivers(&plain_only(), "libtorrent");
}

#[test]
fn utp_only_by_libtorrent() {
    libtorrent_delivers(&utp_only(), "libtorrent");
}

#[test]
fn utp_only_by_auto() {
    libtorrent_delivers(&utp_only(), "auto");
}

#[test]
fn tcp_only_by_libtorrent() {
    libtorrent_delivers(&tcp_only(), "libtorrent");
}

/// The direct arm speaks TCP: forced to it, the program says that this peer was out of reach.
#[test]
fn utp_only_by_direct_fails() {
    let torrent = Torrent::v1();
    let seeder = Seeder::libtorrent(&torrent, &utp_only());
    let mut resolve = Resolve::from_peer(torrent.hash(), &seeder, "direct");
    let (line, output) = resolve.run();
    assert_eq!(line["status"], "failed", "{output:#?}");
    assert_eq!(output.status.code(), Some(3), "{output:#?}");
    assert_eq!(line["infohash"], torrent.hash());
    let reason = line["reason"].as_str().unwrap();
    let unreachable = [
        "refused",
        "reset",
        "closed",
        "connect_timeout",
        "handshake_timeout",
    ];
    assert!(unreachable.contains(&reason), "{reason}");
    assert!(
        !resolve
            .out
            .path()
            .join(format!("out/{}.torrent", torrent.hash()))
            .exists()
    );
}

fn tracker_delivers(url: impl Fn(&Tracker) -> String) {
    let torrent = Torrent::v1();
    let tracker = Tracker::opentracker(&torrent);
    let url = url(&tracker);
    let options = LibtorrentOptions {
        trackers: vec![url.clone()],
        ..LibtorrentOptions::default()
    };
    let _seeder = Seeder::libtorrent(&torrent, &options);
    Resolve::new(torrent.hash(), "auto")
        .with(&["--tracker", &url, "--no-dht"])
        .delivers(&torrent, torrent.hash());
}

#[test]
fn by_http_tracker() {
    tracker_delivers(Tracker::http);
}

#[test]
fn by_udp_tracker() {
    tracker_delivers(Tracker::udp);
}

#[test]
fn by_dht() {
    let torrent = Torrent::v1();
    let dht = LoopbackDht::start();
    let options = LibtorrentOptions {
        dht_bootstrap: Some(dht.bootstrap),
        ..LibtorrentOptions::default()
    };
    let _seeder = Seeder::libtorrent(&torrent, &options);
    Resolve::new(torrent.hash(), "auto")
        .with(&["--bootstrap", &dht.bootstrap.to_string(), "--no-trackers"])
        .delivers(&torrent, torrent.hash());
}

/// A torrent with a v2 hash, asked for by `input`, from libtorrent and by both arms.
fn bep_52_delivers(torrent: &Torrent, input: &str, listed_as: &str) {
    let seeder = Seeder::libtorrent(torrent, &LibtorrentOptions::default());
    for strategy in ["libtorrent", "direct"] {
        Resolve::from_peer(input, &seeder, strategy).delivers(torrent, listed_as);
    }
}

#[test]
fn v2_only_by_btmh() {
    let torrent = Torrent::v2();
    bep_52_delivers(&torrent, &torrent.magnet(), torrent.hash());
}

#[test]
fn hybrid_by_both_hashes() {
    let torrent = Torrent::hybrid();
    bep_52_delivers(&torrent, &torrent.magnet(), torrent.hash());
}

#[test]
fn hybrid_by_its_v1_hash() {
    let torrent = Torrent::hybrid();
    bep_52_delivers(&torrent, torrent.hash(), torrent.hash());
}
