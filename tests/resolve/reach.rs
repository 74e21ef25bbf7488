//! How peers are found and reached: those that peers name, encryption, the address that is connected from,
//! and the deadlines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::command::{Resolve, run};
use crate::swarm::{Behaviour, Swarm, TestTorrent};

#[tokio::test]
async fn a_peer_without_metadata_names_one_that_has_it() {
    let swarm = Swarm::start(81);
    for (n, behaviour) in [
        Behaviour::NoMetadataYet,
        Behaviour::RejectAll,
        Behaviour::Ignore,
    ]
    .into_iter()
    .enumerate()
    {
        let torrent = TestTorrent::v1(8_100 + n as u64, 20_000);
        let torrents = std::slice::from_ref(&torrent);
        let good = swarm.peer(Behaviour::Honest, torrents).await;
        let leecher = swarm.peer(behaviour, torrents).await;
        // Of the others nobody can be a peer.
        let bogons = ["0.0.0.0:1", "224.0.0.1:1", "127.0.0.1:0", "[ff02::1]:1"];
        let mut named: Vec<_> = bogons.map(|addr| addr.parse().unwrap()).to_vec();
        named.push(good);
        swarm.name_peers(leecher, &named);
        let run = Resolve::new()
            .strategy("direct")
            .peer(leecher)
            .arg("--explain")
            .arg(torrent.hex())
            .run()
            .await;
        assert_eq!(run.code, 0, "{behaviour:?}: {run:#?}");
        assert_eq!(run.line()["peer"], good.to_string());
        assert!(run.stderr.contains("1 peers from pex"), "{}", run.stderr);
    }
}

#[tokio::test]
async fn required_encryption_says_nothing_in_the_clear() {
    let swarm = Swarm::start(82);
    for (n, strategy) in ["direct", "libtorrent", "auto"].into_iter().enumerate() {
        let torrent = TestTorrent::v1(8_200 + n as u64, 20_000);
        let peer = swarm
            .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
            .await;
        let run = Resolve::new()
            .strategy(strategy)
            .peer(peer)
            .arg("--encryption=require")
            .arg(torrent.hex())
            .run()
            .await;
        assert_eq!(run.code, 3, "{strategy}: {run:#?}");
        let counted = swarm.counters(peer);
        assert!(counted.connections > 0, "{strategy}");
        assert_eq!(counted.handshakes, 0, "{strategy}");
    }
}

#[tokio::test]
async fn without_encryption_no_key_is_ever_sent() {
    let swarm = Swarm::start(83);
    for (n, strategy) in ["direct", "libtorrent", "auto"].into_iter().enumerate() {
        let torrent = TestTorrent::v1(8_300 + n as u64, 20_000);
        let torrents = std::slice::from_ref(&torrent);
        let peer = swarm.peer(Behaviour::EncryptionRequired, torrents).await;
        let resolve = |encryption: &str| {
            Resolve::new()
                .strategy(strategy)
                .peer(peer)
                .arg(format!("--encryption={encryption}"))
                .arg(torrent.hex())
        };
        let run = resolve("off").run().await;
        assert_eq!(run.code, 3, "{strategy}: {run:#?}");
        assert_eq!(swarm.counters(peer).mse_keys, 0, "{strategy}");
        let run = resolve("prefer").run().await;
        assert_eq!(run.code, 3, "{strategy}: {run:#?}");
        assert!(swarm.counters(peer).mse_keys > 0, "{strategy}");
    }
}

#[tokio::test]
async fn connections_come_from_the_address_that_is_bound() {
    let swarm = Swarm::start(84);
    let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
    for (n, strategy) in ["direct", "libtorrent"].into_iter().enumerate() {
        let torrent = TestTorrent::v1(8_400 + n as u64, 20_000);
        let torrents = std::slice::from_ref(&torrent);
        let peer = swarm.peer(Behaviour::Honest, torrents).await;
        let resolve = || {
            Resolve::new()
                .strategy(strategy)
                .arg(format!("--bind={from}"))
                .arg(torrent.hex())
        };
        let run = resolve().peer(peer).run().await;
        assert_eq!(run.code, 0, "{strategy}: {run:#?}");
        assert_eq!(swarm.clients(peer), [from], "{strategy}");
        // And nobody is reached past it.
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let other = swarm.peer_on(v6, Behaviour::Honest, torrents).await;
        let run = resolve().peer(other).run().await;
        assert_eq!(run.code, 3, "{strategy}: {run:#?}");
        assert_eq!(swarm.counters(other).connections, 0, "{strategy}");
    }
}

#[tokio::test]
async fn an_address_of_each_family_is_for_the_direct_arm_alone() {
    let swarm = Swarm::start(88);
    let from = [
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6)),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let at = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    for (n, (at, expected)) in at.into_iter().zip(from).enumerate() {
        let torrent = TestTorrent::v1(8_800 + n as u64, 20_000);
        let torrents = std::slice::from_ref(&torrent);
        let peer = swarm.peer_on(at, Behaviour::Honest, torrents).await;
        let resolve = |strategy: &str| {
            let resolve = Resolve::new().strategy(strategy).peer(peer);
            let resolve = resolve.arg("--bind=127.0.0.6").arg("--bind=::1");
            resolve.arg(torrent.hex())
        };
        for strategy in ["auto", "libtorrent", "race"] {
            let run = resolve(strategy).run().await;
            assert_eq!(run.code, 1, "{strategy}: {run:#?}");
            let why = "network.bind names two addresses";
            assert!(run.stderr.contains(why), "{strategy}: {}", run.stderr);
            assert!(run.stdout.is_empty(), "{strategy}: {run:#?}");
        }
        assert_eq!(swarm.counters(peer).connections, 0);
        let run = resolve("direct").run().await;
        assert_eq!(run.code, 0, "{at}: {run:#?}");
        assert_eq!(swarm.clients(peer), [expected]);
    }
}

#[tokio::test]
async fn a_peer_that_talks_by_mse_alone_delivers_in_the_way_that_it_selects() {
    let swarm = Swarm::start(89);
    let mut runs = tokio::task::JoinSet::new();
    let mut number = 8_900;
    for strategy in ["direct", "libtorrent", "auto"] {
        for (encryption, rc4, resolves) in [
            ("require", true, true),
            // What is not encrypted from end to end is not what was required.
            ("require", false, false),
            ("prefer", true, true),
            ("prefer", false, true),
            ("off", true, false),
        ] {
            number += 1;
            let torrent = TestTorrent::v1(number, 40_000);
            let silent = false;
            let behaviour = Behaviour::Encrypted { rc4, silent };
            let peer = swarm.peer(behaviour, std::slice::from_ref(&torrent)).await;
            let resolve = Resolve::new()
                .strategy(strategy)
                .peer(peer)
                .arg(format!("--encryption={encryption}"))
                .arg("--timeout=20s")
                .arg(torrent.hex());
            let name = format!("{strategy}, {encryption}, rc4 {rc4}");
            runs.spawn(async move { (name, encryption, resolves, peer, resolve.run().await) });
        }
    }
    while let Some(ended) = runs.join_next().await {
        let (name, encryption, resolves, peer, run) = ended.unwrap();
        assert_eq!(run.code, if resolves { 0 } else { 3 }, "{name}: {run:#?}");
        let counted = swarm.counters(peer);
        assert_eq!(counted.mse_keys > 0, encryption != "off", "{name}");
        assert_eq!(counted.handshakes > 0, resolves, "{name}");
    }
}

#[tokio::test]
async fn a_peer_that_is_silent_in_the_clear_is_tried_encrypted() {
    let swarm = Swarm::start(90);
    for (n, rc4) in [true, false].into_iter().enumerate() {
        let torrent = TestTorrent::v1(9_000 + n as u64, 20_000);
        let behaviour = Behaviour::Encrypted { rc4, silent: true };
        let peer = swarm.peer(behaviour, std::slice::from_ref(&torrent)).await;
        let resolve = Resolve::new().strategy("direct").peer(peer);
        let mut command = resolve.arg(torrent.hex()).command();
        // Half of it is for the other way.
        command.env("METAFETCH_DIRECT_HANDSHAKE_TIMEOUT", "3s");
        let run = run(&mut command).await;
        assert_eq!(run.code, 0, "{run:#?}");
        assert_eq!(swarm.counters(peer).connections, 2);
    }
}

#[tokio::test]
async fn a_peer_that_is_said_to_prefer_encryption_is_dialled_encrypted_first() {
    let swarm = Swarm::start(91);
    for (n, (flags, connections)) in [(0, 2), (1, 1)].into_iter().enumerate() {
        let torrent = TestTorrent::v1(9_100 + n as u64, 20_000);
        let torrents = std::slice::from_ref(&torrent);
        let behaviour = Behaviour::Encrypted {
            rc4: true,
            silent: false,
        };
        let good = swarm.peer(behaviour, torrents).await;
        let leecher = swarm.peer(Behaviour::NoMetadataYet, torrents).await;
        swarm.name_peers_as(leecher, &[good], flags);
        let run = Resolve::new()
            .strategy("direct")
            .peer(leecher)
            .arg(torrent.hex())
            .run()
            .await;
        assert_eq!(run.code, 0, "{run:#?}");
        assert_eq!(swarm.counters(good).connections, connections, "{flags}");
    }
}

#[tokio::test]
async fn the_deadlines_hold_in_libtorrents_arm_too() {
    let swarm = Swarm::start(92);
    let mut runs = tokio::task::JoinSet::new();
    for (n, (behaviour, keys, reason, detail)) in [
        (
            Behaviour::SilentAfterHandshake,
            &[("EXTENSION_TIMEOUT", "400ms"), ("HANDSHAKE_TIMEOUT", "1h")][..],
            "handshake_timeout",
            "no extension handshake in time",
        ),
        (
            Behaviour::Ignore,
            &[("FIRST_BLOCK_TIMEOUT", "700ms"), ("BLOCK_TIMEOUT", "300ms")],
            "transfer_timeout",
            "no block came within first_block_timeout",
        ),
        (
            Behaviour::StallAfter(2),
            &[("BLOCK_TIMEOUT", "400ms"), ("MIN_RATE", "0")],
            "transfer_timeout",
            "no further block came within block_timeout",
        ),
        (
            Behaviour::Drip {
                bytes_per_second: 16_000,
            },
            &[("MIN_RATE", "200000"), ("FIRST_BLOCK_TIMEOUT", "3s")],
            "transfer_timeout",
            "slower than min_rate",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let torrent = TestTorrent::v1(9_200 + n as u64, 5 * 16 * 1024);
        let peer = swarm.peer(behaviour, std::slice::from_ref(&torrent)).await;
        let resolve = Resolve::new().strategy("libtorrent").peer(peer);
        let mut command = resolve.arg(torrent.hex()).command();
        for (key, value) in keys {
            command.env(format!("METAFETCH_DIRECT_{key}"), value);
        }
        runs.spawn(async move { (behaviour, reason, detail, run(&mut command).await) });
    }
    while let Some(ended) = runs.join_next().await {
        let (behaviour, reason, detail, run) = ended.unwrap();
        assert_eq!(run.reason(), reason, "{behaviour:?}: {run:#?}");
        let told = run.line()["detail"].as_str().unwrap().to_owned();
        assert!(told.contains(detail), "{behaviour:?}: {told}");
    }
}

#[tokio::test]
async fn each_deadline_is_a_key_and_is_named_when_it_is_over() {
    let swarm = Swarm::start(85);
    let mut runs = tokio::task::JoinSet::new();
    for (n, (behaviour, keys, reason, detail)) in [
        (
            Behaviour::BlackHole,
            &[("CONNECT_TIMEOUT", "400ms")][..],
            "connect_timeout",
            "no answer within 400ms",
        ),
        (
            Behaviour::Silent,
            &[("HANDSHAKE_TIMEOUT", "400ms")],
            "handshake_timeout",
            "within 400ms",
        ),
        (
            Behaviour::SilentAfterHandshake,
            &[("EXTENSION_TIMEOUT", "400ms")],
            "handshake_timeout",
            "its extension handshake did not come within 400ms",
        ),
        (
            Behaviour::Ignore,
            &[("FIRST_BLOCK_TIMEOUT", "400ms")],
            "transfer_timeout",
            "none of the 5 blocks came within 400ms",
        ),
        (
            Behaviour::StallAfter(2),
            &[("BLOCK_TIMEOUT", "400ms")],
            "transfer_timeout",
            "2 of 5 blocks came, then no further one within 400ms",
        ),
        (
            Behaviour::Drip {
                bytes_per_second: 16_000,
            },
            &[("MIN_RATE", "200000"), ("FIRST_BLOCK_TIMEOUT", "3s")],
            "transfer_timeout",
            "less than 200000 bytes/s are not waited for",
        ),
        (
            Behaviour::Ignore,
            &[("ATTEMPT_TIMEOUT", "600ms")],
            "transfer_timeout",
            "the attempt was not over within 600ms",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let torrent = TestTorrent::v1(8_500 + n as u64, 5 * 16 * 1024);
        let peer = swarm.peer(behaviour, std::slice::from_ref(&torrent)).await;
        let resolve = Resolve::new().strategy("direct").peer(peer);
        let mut command = resolve.arg(torrent.hex()).command();
        for (key, value) in keys {
            command.env(format!("METAFETCH_DIRECT_{key}"), value);
        }
        runs.spawn(async move { (behaviour, reason, detail, run(&mut command).await) });
    }
    while let Some(ended) = runs.join_next().await {
        let (behaviour, reason, detail, run) = ended.unwrap();
        assert_eq!(run.reason(), reason, "{behaviour:?}: {run:#?}");
        let told = run.line()["detail"].as_str().unwrap().to_owned();
        assert!(told.contains(detail), "{behaviour:?}: {told}");
    }
}

#[tokio::test]
async fn each_retry_has_twice_the_time() {
    let swarm = Swarm::start(86);
    let torrent = TestTorrent::v1(8_600, 20_000);
    let slow = Behaviour::Slow {
        latency: Duration::from_millis(300),
    };
    let peer = swarm.peer(slow, std::slice::from_ref(&torrent)).await;
    let resolve = || {
        Resolve::new()
            .strategy("direct")
            .peer(peer)
            .arg("--timeout=500ms")
            .arg(torrent.hex())
    };
    // Its handshakes and its blocks take 300 ms each.
    assert_eq!(resolve().run().await.code, 3);
    let run = resolve().arg("--retry=3").run().await;
    assert_eq!(run.code, 0, "{run:#?}");
}

#[tokio::test]
async fn public_trackers_are_asked_for_hashes_that_name_none() {
    let swarm = Swarm::start(87);
    let torrent = TestTorrent::v1(8_700, 20_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let (public, own) = (swarm.http_tracker().await, swarm.http_tracker().await);
    public.announce(&torrent, peer);
    let ask = async |resolve: Resolve| {
        let mut command = resolve.arg(torrent.hex()).command();
        command.env("METAFETCH_NETWORK_TRACKERS", &public.url);
        run(&mut command).await
    };
    // One that is asked for nothing else, or is told not to ask trackers at all, is not asked here.
    let with_own = ask(Resolve::new().tracker(&own.url)).await;
    assert_eq!(with_own.reason(), "no_peers", "{with_own:#?}");
    let with_none = ask(Resolve::new()).await;
    assert_eq!(with_none.reason(), "no_peers", "{with_none:#?}");
    assert_eq!(public.announces(&torrent), 0);
    for strategy in ["auto", "direct"] {
        let run = ask(Resolve::new().trackers().strategy(strategy)).await;
        assert_eq!(run.code, 0, "{strategy}: {run:#?}");
    }
}

#[tokio::test]
async fn a_retry_asks_other_public_trackers() {
    let swarm = Swarm::start(88);
    let torrent = TestTorrent::v1(8_800, 20_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let mut urls = Vec::new();
    for _ in 0..8 {
        urls.push(swarm.http_tracker().await.url);
    }
    // More than are asked at a time: it is not among the first.
    let ninth = swarm.http_tracker().await;
    ninth.announce(&torrent, peer);
    urls.push(ninth.url.clone());
    let resolve = Resolve::new().trackers().arg(torrent.hex());
    let mut command = resolve.arg("--retry=1").command();
    command.env("METAFETCH_NETWORK_TRACKERS", urls.join(" "));
    let run = run(&mut command).await;
    assert_eq!(run.code, 0, "{run:#?}");
}
