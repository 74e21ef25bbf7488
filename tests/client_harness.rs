//! The clients of the black-box tests, checked with a stock libtorrent client instead of metafetch:
//! where these pass and `real_clients` fails, the fault is in metafetch.

#[cfg(test)]
mod clients;

use std::net::TcpStream;

use clients::{Encryption, LibtorrentOptions, LoopbackDht, Seeder, StockFetch, Torrent, Tracker};

fn serves(seeder: &Seeder, torrent: &Torrent) {
    let fetch = StockFetch::start(
        &torrent.magnet(),
        Some(seeder),
        &LibtorrentOptions::default(),
    );
    assert_eq!(fetch.info(), torrent.info);
}

#[test]
fn libtorrent_serves_torrents_of_every_version() {
    for torrent in [Torrent::v1(), Torrent::hybrid(), Torrent::v2()] {
        let seeder = Seeder::libtorrent(&torrent, &LibtorrentOptions::default());
        serves(&seeder, &torrent);
        assert!(torrent.info.len() > 16 * 1024, "more than one block");
    }
}

#[test]
fn transmission_serves() {
    let torrent = Torrent::v1();
    serves(&Seeder::transmission(&torrent), &torrent);
}

#[test]
fn aria2_serves() {
    let torrent = Torrent::v1();
    serves(&Seeder::aria2(&torrent), &torrent);
}

#[test]
fn qbittorrent_serves() {
    let torrent = Torrent::v1();
    serves(&Seeder::qbittorrent(&torrent), &torrent);
}

/// A seeder that takes one kind of connection serves a client of that kind, and no other.
#[test]
fn libtorrent_serves_by_one_transport_or_encryption_alone() {
    let everything = LibtorrentOptions::default();
    let utp = LibtorrentOptions {
        tcp: false,
        ..everything.clone()
    };
    let tcp = LibtorrentOptions {
        utp: false,
        ..everything.clone()
    };
    let forced = LibtorrentOptions {
        encryption: Encryption::Forced,
        ..everything.clone()
    };
    let plain = LibtorrentOptions {
        encryption: Encryption::Plain,
        ..everything
    };
    let torrent = Torrent::v1();
    for (taken, refused) in [
        (&utp, &tcp),
        (&tcp, &utp),
        (&forced, &plain),
        (&plain, &forced),
    ] {
        let seeder = Seeder::libtorrent(&torrent, taken);
        let client = |options| StockFetch::start(&torrent.magnet(), Some(&seeder), options);
        // Both race; what the other one would need has long passed when this one is done.
        let mut other = client(refused);
        assert_eq!(client(taken).info(), torrent.info);
        assert!(
            other.is_running(),
            "{refused:?} got metadata from {taken:?}"
        );
    }
}

#[test]
fn trackers_know_the_seeder() {
    let torrent = Torrent::v1();
    let tracker = Tracker::opentracker(&torrent);
    for url in [tracker.http(), tracker.udp()] {
        let options = LibtorrentOptions {
            trackers: vec![url.clone()],
            ..LibtorrentOptions::default()
        };
        let _seeder = Seeder::libtorrent(&torrent, &options);
        let magnet = format!("{}&tr={url}", torrent.magnet());
        let fetch = StockFetch::start(&magnet, None, &LibtorrentOptions::default());
        assert_eq!(fetch.info(), torrent.info, "by {url}");
    }
}

#[test]
fn the_dht_knows_the_seeder() {
    let torrent = Torrent::v1();
    let dht = LoopbackDht::start();
    let options = LibtorrentOptions {
        dht_bootstrap: Some(dht.bootstrap),
        ..LibtorrentOptions::default()
    };
    let _seeder = Seeder::libtorrent(&torrent, &options);
    let fetch = StockFetch::start(&torrent.magnet(), None, &options);
    assert_eq!(fetch.info(), torrent.info);
}

#[test]
fn a_seeder_is_gone_when_it_is_dropped() {
    let torrent = Torrent::v1();
    let seeder = Seeder::libtorrent(&torrent, &LibtorrentOptions::default());
    TcpStream::connect(seeder.addr).unwrap();
    let addr = seeder.addr;
    drop(seeder);
    assert!(TcpStream::connect(addr).is_err());
}
