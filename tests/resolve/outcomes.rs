//! What a user is told about each kind of peer, and what bad peers cost beside a good one.

use std::time::Duration;

use crate::command::Resolve;
use crate::swarm::{Behaviour, Invalid, Swarm, TestTorrent};

/// Three blocks, so that a peer can stall between two.
const METADATA: usize = 40_000;

/// A hash whose only peer behaves like this ends with that reason, within its phase's deadline.
async fn each_alone(strategy: &str) {
    let swarm = Swarm::start(1);
    let mut runs = tokio::task::JoinSet::new();
    for (n, (behaviour, expected)) in Behaviour::all_bad().into_iter().enumerate() {
        let torrent = TestTorrent::v1(100 + n as u64, METADATA);
        let peer = swarm.peer(behaviour, std::slice::from_ref(&torrent)).await;
        let resolve = Resolve::new()
            .strategy(strategy)
            .peer(peer)
            .arg(torrent.hex());
        runs.spawn(async move { (behaviour, expected, resolve.run().await) });
    }
    let mut wrong = Vec::new();
    while let Some(run) = runs.join_next().await {
        let (behaviour, expected, run) = run.unwrap();
        assert_eq!(run.code, 3, "{behaviour:?}: {run:#?}");
        let reason = run.reason();
        // libtorrent does not tell everything that our own client sees: whether a peer that hangs
        // up wants encryption, and what is in a handshake that it can't read.
        let best = match (strategy, behaviour) {
            ("libtorrent", Behaviour::BadHandshake) => &["wrong_infohash"],
            ("libtorrent", Behaviour::BadExtensionHandshake) => &["handshake_timeout"],
            ("libtorrent", _) => expected,
            _ => &expected[..1],
        };
        if !best.contains(&reason.as_str()) {
            wrong.push(format!(
                "{behaviour:?}: {reason} instead of {best:?}: {}",
                run.line()
            ));
        }
        // By its own deadlines, the longest of 8 s for each way; not by that of the hash, of 60 s.
        if run.elapsed > Duration::from_secs(45) {
            wrong.push(format!("{behaviour:?}: took {:?}", run.elapsed));
        }
    }
    assert!(wrong.is_empty(), "{strategy}:\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn each_misbehaviour_alone_has_its_reason_direct() {
    each_alone("direct").await;
}

#[tokio::test]
async fn each_misbehaviour_alone_has_its_reason_libtorrent() {
    each_alone("libtorrent").await;
}

#[tokio::test]
async fn each_misbehaviour_alone_has_its_reason_auto() {
    each_alone("auto").await;
}

/// One good peer among seven bad ones of one kind, for every kind.
async fn good_among_seven(strategy: &str) {
    let swarm = Swarm::start(2);
    let mut runs = tokio::task::JoinSet::new();
    for (n, (behaviour, _)) in Behaviour::all_bad().into_iter().enumerate() {
        let torrent = TestTorrent::v1(200 + n as u64, METADATA);
        let torrents = std::slice::from_ref(&torrent);
        let mut resolve = Resolve::new().strategy(strategy).arg(torrent.hex());
        for place in 0..8 {
            let behaviour = if place == 5 {
                Behaviour::Honest
            } else {
                behaviour
            };
            resolve = resolve.peer(swarm.peer(behaviour, torrents).await);
        }
        runs.spawn(async move { (behaviour, resolve.run().await) });
    }
    while let Some(run) = runs.join_next().await {
        let (behaviour, run) = run.unwrap();
        assert_eq!(run.code, 0, "{strategy}, {behaviour:?}: {run:#?}");
        assert_eq!(run.line()["status"], "resolved");
    }
}

#[tokio::test]
async fn one_good_peer_among_seven_bad_ones_is_found_direct() {
    good_among_seven("direct").await;
}

#[tokio::test]
async fn one_good_peer_among_seven_bad_ones_is_found_libtorrent() {
    good_among_seven("libtorrent").await;
}

#[tokio::test]
async fn one_good_peer_among_seven_bad_ones_is_found_auto() {
    good_among_seven("auto").await;
}

/// A liar about the size, or about the bytes, costs the hash next to nothing.
#[tokio::test]
async fn a_liar_beside_an_honest_peer_does_not_spoil_the_hash() {
    let swarm = Swarm::start(3);
    for strategy in ["auto", "libtorrent", "direct", "race"] {
        for (n, liar) in [
            Behaviour::SizeOther(1),
            Behaviour::SizeOther(50_000),
            Behaviour::CorruptBytes,
        ]
        .into_iter()
        .enumerate()
        {
            let torrent = TestTorrent::v1(300 + n as u64, 60_000);
            let torrents = std::slice::from_ref(&torrent);
            let liar_at = swarm.peer(liar, torrents).await;
            let honest = swarm
                .peer(
                    Behaviour::Slow {
                        latency: Duration::from_millis(20),
                    },
                    torrents,
                )
                .await;
            let resolve = Resolve::new().strategy(strategy).peer(liar_at).peer(honest);
            let run = resolve.arg(torrent.hex()).run().await;
            assert_eq!(run.code, 0, "{strategy}, {liar:?}: {run:#?}");
            assert_eq!(run.line()["peer"], honest.to_string());
            let elapsed = run.line()["elapsed_ms"].as_u64().unwrap();
            // The liar's deadlines, of 5 s and more, were not waited for.
            assert!(elapsed < 5000, "{strategy}, {liar:?}: {elapsed} ms");
        }
    }
}

#[tokio::test]
async fn honest_peers_of_every_manner_resolve() {
    let swarm = Swarm::start(4);
    for strategy in ["libtorrent", "direct"] {
        for (n, behaviour) in [
            Behaviour::Honest,
            Behaviour::Chatty,
            Behaviour::RejectFirst(2),
        ]
        .into_iter()
        .enumerate()
        {
            for size in [100, 16_384, 16_385, 700_000] {
                let torrent = TestTorrent::v1(400 + n as u64, size);
                let peer = swarm.peer(behaviour, std::slice::from_ref(&torrent)).await;
                let run = Resolve::new()
                    .strategy(strategy)
                    .peer(peer)
                    .arg(torrent.hex())
                    .run()
                    .await;
                assert_eq!(run.code, 0, "{strategy}, {behaviour:?}, {size}: {run:#?}");
                assert_eq!(run.line()["metadata_size"], torrent.info.len());
            }
        }
    }
}

#[tokio::test]
async fn the_right_hash_over_a_broken_dictionary_is_no_torrent() {
    let swarm = Swarm::start(5);
    for strategy in ["libtorrent", "direct"] {
        for (n, kind) in Invalid::ALL.into_iter().enumerate() {
            let torrent = TestTorrent::invalid(500 + n as u64, kind);
            let peer = swarm
                .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
                .await;
            let run = Resolve::new()
                .strategy(strategy)
                .peer(peer)
                .arg(torrent.hex())
                .run()
                .await;
            assert_eq!(
                run.reason(),
                "invalid_info_dict",
                "{strategy}, {kind:?}: {run:#?}"
            );
        }
    }
}

/// The attempts of a failed hash are counted by how they ended.
#[tokio::test]
async fn the_funnel_counts_every_peer() {
    let swarm = Swarm::start(6);
    let torrent = TestTorrent::v1(600, METADATA);
    let torrents = std::slice::from_ref(&torrent);
    let mut resolve = Resolve::new()
        .strategy("direct")
        .arg(torrent.hex())
        .arg("--explain");
    for behaviour in [
        Behaviour::Refused,
        Behaviour::NoUtMetadata,
        Behaviour::NoUtMetadata,
    ] {
        resolve = resolve.peer(swarm.peer(behaviour, torrents).await);
    }
    let run = resolve.run().await;
    let line = run.line();
    assert_eq!(line["reason"], "no_ut_metadata");
    assert_eq!(
        line["attempts"],
        serde_json::json!({"refused": 1, "no_ut_metadata": 2})
    );
    assert!(
        run.stderr.contains("direct:tcp tries"),
        "--explain says why: {}",
        run.stderr
    );
}

/// A peer list can't make us talk to this host's own services.
#[tokio::test]
async fn local_addresses_are_refused_unless_allowed() {
    let swarm = Swarm::start(7);
    let torrent = TestTorrent::v1(700, METADATA);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    for strategy in ["auto", "direct", "libtorrent"] {
        let resolve = Resolve::new()
            .public_peers_only()
            .strategy(strategy)
            .peer(peer);
        let run = resolve.arg(torrent.hex()).run().await;
        assert_eq!(run.code, 3);
        let stdout = &run.stdout;
        assert!(stdout.contains(r#""reason":"no_peers""#), "{stdout}");
        assert!(stdout.contains("--allow-local-peers"), "{stdout}");
    }
    assert_eq!(swarm.counters(peer).connections, 0);
}
