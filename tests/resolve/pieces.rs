//! Pieces of several peers make one dictionary, and a peer that lies costs no more than itself.

use std::time::Duration;

use crate::command::{Resolve, metafetch, run};
use crate::swarm::{Behaviour, Swarm, TestTorrent};

const BLOCK: usize = 16 * 1024;

/// The direct arm, with one block's deadline so short that peers which stall are soon done with.
fn direct() -> Resolve {
    Resolve::new().strategy("direct")
}

#[tokio::test]
async fn no_peer_has_more_than_a_few_blocks_to_give_and_together_they_have_all() {
    let swarm = Swarm::start(71);
    let torrent = TestTorrent::v1(7_100, 20 * BLOCK);
    let mut resolve = direct().arg(torrent.hex());
    let mut peers = Vec::new();
    for _ in 0..14 {
        let torrents = std::slice::from_ref(&torrent);
        let peer = swarm.peer(Behaviour::StallAfter(4), torrents).await;
        peers.push(peer);
        resolve = resolve.peer(peer);
    }
    let mut command = resolve.command();
    command.env("METAFETCH_DIRECT_BLOCK_TIMEOUT", "1s");
    let run = run(&mut command).await;
    assert_eq!(run.code, 0, "{run:#?}");
    assert_eq!(run.line()["name"], torrent.name);
    let most = peers.iter().map(|peer| swarm.counters(*peer).blocks).max();
    assert_eq!(most, Some(4), "none has sent more than a part");
}

#[tokio::test]
async fn a_large_dictionary_is_striped_over_its_peers() {
    let swarm = Swarm::start(72);
    let torrent = TestTorrent::v1(7_200, 100 * BLOCK);
    let slow = Behaviour::Slow {
        latency: Duration::from_millis(200),
    };
    let mut peers = Vec::new();
    let mut resolve = direct().arg(torrent.hex());
    for _ in 0..3 {
        let peer = swarm.peer(slow, std::slice::from_ref(&torrent)).await;
        peers.push(peer);
        resolve = resolve.peer(peer);
    }
    let run = resolve.run().await;
    assert_eq!(run.code, 0, "{run:#?}");
    let blocks: Vec<u64> = (peers.iter())
        .map(|peer| swarm.counters(*peer).blocks)
        .collect();
    assert!(
        blocks.iter().filter(|blocks| **blocks >= 10).count() >= 2,
        "{blocks:?}"
    );
    // All of them once, and what the last ones sent twice: no more than their windows.
    assert!(blocks.iter().sum::<u64>() <= 100 + 3 * 16, "{blocks:?}");
}

/// A liar whose blocks are mixed with those of others, who has stalled by the time they are checked.
async fn liar_is_found(blocks: usize, lies: usize) {
    let swarm = Swarm::start(73);
    let torrent = TestTorrent::v1(7_300 + blocks as u64, blocks * BLOCK);
    let torrents = std::slice::from_ref(&torrent);
    let liar = swarm
        .peer(Behaviour::CorruptThenStall(lies), torrents)
        .await;
    let slow = Behaviour::Slow {
        latency: Duration::from_millis(700),
    };
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("metafetch.db");
    // Of peers that nothing is known of, the lowest address comes first.
    let honest = swarm.peer_on([127, 9, 9, 9].into(), slow, torrents).await;
    let resolve = direct().store(&store).peer(liar).peer(honest);
    let ended = resolve.arg(torrent.hex()).run().await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(ended.line()["peer"], honest.to_string());
    assert_eq!(swarm.counters(liar).blocks, lies as u64);
    let mut command = metafetch(&store, &["peers", "show", &liar.to_string()]);
    let told = run(&mut command).await;
    assert!(told.stdout.contains("hash_mismatch"), "{told:#?}");
    let mut command = metafetch(&store, &["peers", "show", &honest.to_string()]);
    let told = run(&mut command).await;
    assert!(!told.stdout.contains("hash_mismatch"), "{told:#?}");
}

#[tokio::test]
async fn the_liar_of_a_mixture_is_found_and_remembered() {
    liar_is_found(3, 1).await;
}

#[tokio::test]
async fn the_liar_of_a_striped_mixture_is_found_and_remembered() {
    liar_is_found(20, 5).await;
}

#[tokio::test]
async fn peers_that_say_odd_things_are_served_by_what_they_mean() {
    let swarm = Swarm::start(74);
    for (n, behaviour) in [
        Behaviour::OddExtensions,
        Behaviour::ChangesIds,
        Behaviour::Queue(1),
        Behaviour::Queue(3),
        Behaviour::RejectFirst(11),
    ]
    .into_iter()
    .enumerate()
    {
        let torrent = TestTorrent::v1(7_400 + n as u64, 60 * BLOCK);
        let peer = swarm.peer(behaviour, std::slice::from_ref(&torrent)).await;
        let run = direct().peer(peer).arg(torrent.hex()).run().await;
        assert_eq!(run.code, 0, "{behaviour:?}: {run:#?}");
    }
}

#[tokio::test]
async fn a_hybrid_is_upgraded_to_its_v2_hash() {
    let swarm = Swarm::start(75);
    let torrent = TestTorrent::hybrid(7_500, 20_000);
    let peer = swarm
        .peer(Behaviour::Upgrades, std::slice::from_ref(&torrent))
        .await;
    let run = direct().arg(torrent.magnet(&[peer], &[])).run().await;
    assert_eq!(run.code, 0, "{run:#?}");
    // Who knows the v1 hash alone can't say that it could.
    let run = direct().peer(peer).arg(torrent.hex()).run().await;
    assert_eq!(run.reason(), "closed", "{run:#?}");
}
