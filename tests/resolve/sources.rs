//! Peers from every source, and torrents of every version.

use crate::command::Resolve;
use crate::swarm::{Behaviour, Swarm, TestTorrent};

#[tokio::test]
async fn peers_come_from_x_pe_in_the_magnet() {
    let swarm = Swarm::start(11);
    let torrent = TestTorrent::v1(1, 30_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    for strategy in ["auto", "libtorrent", "direct", "race"] {
        let magnet = torrent.magnet(&[peer], &[]);
        let run = Resolve::new().strategy(strategy).arg(magnet).run().await;
        assert_eq!(run.code, 0, "{strategy}: {run:#?}");
        let line = run.line();
        assert_eq!(line["name"], torrent.name);
        assert_eq!(line["peer"], peer.to_string());
        assert_eq!(line["infohash"], torrent.hex());
    }
}

#[tokio::test]
async fn peers_come_from_trackers() {
    let swarm = Swarm::start(12);
    let torrent = TestTorrent::v1(2, 30_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    for tracker in [swarm.http_tracker().await, swarm.udp_tracker().await] {
        tracker.announce(&torrent, peer);
        for strategy in ["auto", "libtorrent", "direct"] {
            let run = Resolve::new()
                .strategy(strategy)
                .tracker(&tracker.url)
                .arg(torrent.hex())
                .run()
                .await;
            assert_eq!(run.code, 0, "{strategy}, {}: {run:#?}", tracker.url);
        }
        let magnet = torrent.magnet(&[], std::slice::from_ref(&tracker.url));
        let run = Resolve::new().trackers().arg(magnet).run().await;
        assert_eq!(run.code, 0, "of the magnet: {run:#?}");
        assert!(tracker.announces(&torrent) >= 4);
    }
}

#[tokio::test]
async fn a_tracker_without_peers_ends_the_hash_early() {
    let swarm = Swarm::start(13);
    let tracker = swarm.http_tracker().await;
    let torrent = TestTorrent::v1(3, 1000);
    for strategy in ["auto", "direct"] {
        let run = Resolve::new()
            .strategy(strategy)
            .tracker(&tracker.url)
            .arg(torrent.hex())
            .run()
            .await;
        assert_eq!(run.reason(), "no_peers", "{run:#?}");
        // Not by the deadline of the hash, of 60 s.
        assert!(run.elapsed.as_secs() < 45, "{strategy}: {:?}", run.elapsed);
    }
}

#[tokio::test]
async fn peers_come_from_the_dht() {
    let swarm = Swarm::start(14);
    let dht = swarm.dht(20).await;
    let torrent = TestTorrent::v1(4, 30_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    dht.announce(&torrent, peer);
    for strategy in ["auto", "libtorrent", "direct"] {
        let run = Resolve::new()
            .strategy(strategy)
            .bootstrap(dht.bootstrap[0])
            .arg(torrent.hex())
            .run()
            .await;
        assert_eq!(run.code, 0, "{strategy}: {run:#?}");
        assert_eq!(run.line()["peer"], peer.to_string());
    }
    assert_eq!(dht.announces(), 0, "looking for peers must not announce us");
}

#[tokio::test]
async fn a_hash_that_the_dht_does_not_know_has_no_peers() {
    let swarm = Swarm::start(15);
    let dht = swarm.dht(10).await;
    let run = Resolve::new()
        .bootstrap(dht.bootstrap[0])
        .arg(TestTorrent::v1(5, 1000).hex())
        .run()
        .await;
    assert_eq!(run.reason(), "no_peers");
    assert!(
        run.line()["detail"].as_str().unwrap().contains("the DHT"),
        "{run:#?}"
    );
}

#[tokio::test]
async fn a_dht_that_never_answers_is_said_once() {
    // Bound, and silent.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let node = silent.local_addr().unwrap();
    let hash = TestTorrent::v1(6, 1000).hex();
    let run = Resolve::new().bootstrap(node).arg(hash).run().await;
    assert!(
        run.line()["retry_at"].is_null(),
        "it says nothing about the hash: {run:#?}"
    );
    assert_eq!((run.code, run.reason().as_str()), (3, "no_peers"));
    assert_eq!(
        run.stderr.matches("no DHT node has answered").count(),
        1,
        "{}",
        run.stderr
    );
}

#[tokio::test]
async fn v2_and_hybrid_torrents_resolve_by_either_hash() {
    let swarm = Swarm::start(16);
    for strategy in ["libtorrent", "direct"] {
        for torrent in [TestTorrent::v2(7, 20_000), TestTorrent::hybrid(8, 20_000)] {
            let peer = swarm
                .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
                .await;
            let v2 = data_encoding::HEXLOWER.encode(&torrent.v2);
            let inputs = [
                torrent.magnet(&[], &[]),
                format!("magnet:?xt=urn:btmh:1220{v2}"),
                v2.clone(),
                // As the DHT has it.
                v2[..40].to_owned(),
            ];
            for input in inputs {
                // A hybrid's peers may know it by its v1 hash alone.
                let id: [u8; 20] = torrent.v2[..20].try_into().unwrap();
                if !input.contains("btih") && !torrent.wire_ids().contains(&id) {
                    continue;
                }
                let run = Resolve::new()
                    .strategy(strategy)
                    .peer(peer)
                    .arg(&input)
                    .run()
                    .await;
                assert_eq!(run.code, 0, "{strategy}, {input}: {run:#?}");
                assert_eq!(run.line()["name"], torrent.name);
            }
        }
    }
}

#[tokio::test]
async fn peers_on_ipv6_resolve() {
    let swarm = Swarm::start(17);
    let torrent = TestTorrent::v1(9, 30_000);
    let peer = swarm
        .peer_on(
            "::1".parse().unwrap(),
            Behaviour::Honest,
            std::slice::from_ref(&torrent),
        )
        .await;
    for strategy in ["libtorrent", "direct", "auto"] {
        let run = Resolve::new()
            .strategy(strategy)
            .arg("--listen")
            .arg("[::1]:0")
            .arg(torrent.magnet(&[peer], &[]))
            .run()
            .await;
        assert_eq!(run.code, 0, "{strategy}: {run:#?}");
    }
}

#[tokio::test]
async fn a_host_name_as_peer_is_resolved() {
    let swarm = Swarm::start(18);
    let torrent = TestTorrent::v1(10, 1000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let hint = format!("localhost:{}", peer.port());
    let run = Resolve::new()
        .arg("--peer")
        .arg(hint)
        .arg(torrent.hex())
        .run()
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
}

/// A peer that the tracker and the DHT both name takes one turn, and does not hold the hash.
#[tokio::test]
async fn peers_named_by_two_sources_are_tried_once() {
    let swarm = Swarm::start(19);
    let dht = swarm.dht(10).await;
    let tracker = swarm.http_tracker().await;
    let torrent = TestTorrent::v1(11, 30_000);
    let torrents = std::slice::from_ref(&torrent);
    for _ in 0..12 {
        let peer = swarm.peer(Behaviour::NoUtMetadata, torrents).await;
        dht.announce(&torrent, peer);
        tracker.announce(&torrent, peer);
    }
    for strategy in ["libtorrent", "auto"] {
        let run = Resolve::new()
            .strategy(strategy)
            .bootstrap(dht.bootstrap[0])
            .tracker(&tracker.url)
            .arg(torrent.hex())
            .run()
            .await;
        assert_eq!(run.reason(), "no_ut_metadata", "{run:#?}");
        // Each arm may have a peer in hand while the other one finds out.
        let attempts = run.line()["attempts"]["no_ut_metadata"].as_u64().unwrap();
        let most = if strategy == "libtorrent" { 12 } else { 24 };
        assert!((12..=most).contains(&attempts), "{run:#?}");
        assert!(run.elapsed.as_secs() < 45, "{strategy}: {:?}", run.elapsed);
    }
}

#[tokio::test]
async fn seeds_and_leeches_are_told_where_they_are_asked_for() {
    let swarm = Swarm::start(19);
    let dht = swarm.dht(40).await;
    let torrent = TestTorrent::v1(19, 5_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let infohash = torrent.wire_ids()[0];
    dht.announce_id(infohash, peer, true);
    let other = |host: u8| std::net::SocketAddr::from(([127, 9, 9, host], 9));
    // Filters count addresses.
    for host in 1..=2 {
        dht.announce_id(infohash, other(host), true);
    }
    for host in 3..=7 {
        dht.announce_id(infohash, other(host), false);
    }
    let resolve = || {
        let resolve = Resolve::new().bootstrap(dht.bootstrap[0]);
        resolve.arg(torrent.hex())
    };
    let run = resolve().arg("--scrape").run().await;
    assert_eq!(run.code, 0, "{run:#?}");
    let line = run.line();
    assert_eq!(
        (&line["seeds"], &line["leeches"]),
        (&3.into(), &5.into()),
        "{line}"
    );
    let line = resolve().run().await.line();
    assert_eq!(line["status"], "resolved");
    assert!(
        line.get("seeds").is_none() && line.get("leeches").is_none(),
        "{line}"
    );
    // Of a hash that nobody can serve, too.
    let lost = [0x5c; 20];
    dht.announce_id(lost, other(1), false);
    let hex = data_encoding::HEXLOWER.encode(&lost);
    let lost = Resolve::new().bootstrap(dht.bootstrap[0]).arg(hex);
    let run = lost.arg("--scrape").arg("--timeout").arg("8s").run().await;
    let line = run.line();
    assert_eq!(
        (&line["status"], &line["leeches"]),
        (&"failed".into(), &1.into()),
        "{line}"
    );
}
