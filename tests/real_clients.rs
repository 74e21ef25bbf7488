//! The metafetch binary against BitTorrent clients, trackers and a DHT from the distribution.

#[cfg(test)]
mod clients;

use clients::{Encryption, LibtorrentOptions, LoopbackDht, Resolve, Seeder, Torrent, Tracker};

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
fn rtorrent_by_direct() {
    let torrent = Torrent::v1();
    delivers_from(&Seeder::rtorrent(&torrent), &torrent, "direct");
}

#[test]
fn rtorrent_by_libtorrent() {
    let torrent = Torrent::v1();
    delivers_from(&Seeder::rtorrent(&torrent), &torrent, "libtorrent");
}

#[test]
fn qbittorrent_that_requires_encryption_by_direct() {
    let torrent = Torrent::v1();
    let seeder = Seeder::qbittorrent_encrypted(&torrent);
    delivers_from(&seeder, &torrent, "direct");
}

#[test]
fn transmission_that_requires_encryption_by_direct() {
    let torrent = Torrent::v1();
    let seeder = Seeder::transmission_encrypted(&torrent);
    delivers_from(&seeder, &torrent, "direct");
}

#[test]
fn aria2_that_requires_encryption_by_direct() {
    let torrent = Torrent::v1();
    let seeder = Seeder::aria2_encrypted(&torrent);
    delivers_from(&seeder, &torrent, "direct");
}

#[test]
fn encrypted_only_by_libtorrent() {
    libtorrent_delivers(&encrypted_only(), "libtorrent");
}

#[test]
fn encrypted_only_by_direct() {
    libtorrent_delivers(&encrypted_only(), "direct");
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
    let reason = Resolve::from_peer(torrent.hash(), &seeder, "direct")
        .within("5s")
        .fails(torrent.hash());
    let unreachable = [
        "refused",
        "reset",
        "closed",
        "connect_timeout",
        "handshake_timeout",
    ];
    assert!(unreachable.contains(&reason.as_str()), "{reason}");
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

/// Listed as it was asked for: whoever reads the lines looks for that hash.
#[test]
fn hybrid_by_its_v2_hash() {
    let torrent = Torrent::hybrid();
    bep_52_delivers(
        &torrent,
        &torrent.v2_magnet(),
        torrent.v2_hex.as_ref().unwrap(),
    );
}
