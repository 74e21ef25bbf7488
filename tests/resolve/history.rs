//! What was learnt of peers decides the next time, for other hashes too.

use crate::command::Resolve;
use crate::swarm::{Behaviour, Swarm, TestTorrent};

/// How many connections these peers have had in all.
fn connections(swarm: &Swarm) -> u64 {
    swarm.totals().connections
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hashes_of_the_same_peers_go_straight_to_those_that_deliver() {
    let swarm = Swarm::start(51);
    let torrents: Vec<_> = (0..16)
        .map(|n| TestTorrent::v1(5_100 + n, 20_000))
        .collect();
    let mut peers = Vec::new();
    for behaviour in [
        Behaviour::CloseAfterHandshake,
        Behaviour::NoExtensionProtocol,
        Behaviour::CorruptBytes,
        Behaviour::Garbage,
        Behaviour::BadExtensionHandshake,
    ] {
        for _ in 0..3 {
            peers.push(swarm.peer(behaviour, &torrents).await);
        }
    }
    // Of peers that nothing is known of, the lowest address comes first: these would come last.
    for _ in 0..3 {
        let high = [127, 9, 9, 9].into();
        peers.push(swarm.peer_on(high, Behaviour::Honest, &torrents).await);
    }
    let home = tempfile::tempdir().unwrap();
    let resolve = |torrents: &[TestTorrent]| {
        let resolve = Resolve::new()
            .strategy("direct")
            .arg("--jobs")
            .arg(8)
            .store(&home.path().join("metafetch.db"));
        let resolve = peers
            .iter()
            .fold(resolve, |resolve, &peer| resolve.peer(peer));
        torrents
            .iter()
            .fold(resolve, |resolve, torrent| resolve.arg(torrent.hex()))
    };
    let cold = resolve(&torrents[..8]).run().await;
    assert_eq!(cold.code, 0, "{cold:#?}");
    let before = connections(&swarm);
    let warm = resolve(&torrents[8..]).run().await;
    assert_eq!(warm.code, 0, "{warm:#?}");
    let after = connections(&swarm) - before;
    // One for each hash, and one or two to find out whether what was learnt still holds.
    assert!(after <= 10, "{before} connections, then {after}");
    assert!(after < before, "{before} connections, then {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_wants_encryption_is_not_asked_in_the_clear_again() {
    let swarm = Swarm::start(52);
    let torrents: Vec<_> = (0..2).map(|n| TestTorrent::v1(5_200 + n, 1_000)).collect();
    let peer = swarm.peer(Behaviour::EncryptionRequired, &torrents).await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("metafetch.db");
    let first = Resolve::new()
        .strategy("direct")
        .store(&store)
        .peer(peer)
        .arg(torrents[0].hex());
    assert_eq!(first.run().await.reason(), "encryption_required");
    let second = Resolve::new()
        .store(&store)
        .peer(peer)
        .arg("--explain")
        .arg(torrents[1].hex())
        .run()
        .await;
    let mut tried = second
        .stderr
        .lines()
        .filter(|line| line.contains(" tries "));
    let first = tried.next().unwrap_or_default();
    assert!(first.contains(":tcp+mse tries"), "{second:#?}");
    assert!(!second.stderr.contains(":tcp tries"), "{second:#?}");
}
