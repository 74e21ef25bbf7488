//! `--anonymous`: every byte that leaves is looked at.

use std::collections::HashSet;

use crate::network::Network;
use crate::swarm::Behaviour;
use crate::swarm::wire::{self, Value};
use crate::tap::{Received, Tap};

/// What names us, in lower case.
fn marks() -> Vec<Vec<u8>> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let mut marks: Vec<Vec<u8>> = ["metafetch", "-mf", "libtorrent", "-lt"]
        .map(|mark| mark.as_bytes().to_vec())
        .to_vec();
    marks.push(version.as_bytes().to_vec());
    marks.push(host.trim().to_lowercase().into_bytes());
    marks
}

/// The marks that these bytes hold.
fn marks_in(received: &Received) -> Vec<String> {
    let bytes = received.bytes.to_ascii_lowercase();
    (marks().iter())
        .filter(|mark| mark.len() > 2 && bytes.windows(mark.len()).any(|part| part == *mark))
        .map(|mark| String::from_utf8_lossy(mark).into_owned())
        .collect()
}

/// The peer ids of plaintext handshakes.
fn peer_ids(tap: &Tap) -> Vec<Vec<u8>> {
    let received = tap.received();
    let handshakes = received.iter().filter(|one| one.bytes.len() >= 68);
    handshakes
        .filter(|one| one.bytes.starts_with(b"\x13BitTorrent protocol"))
        .map(|one| one.bytes[48..68].to_vec())
        .collect()
}

/// The extension handshakes.
fn extension_handshakes(tap: &Tap) -> Vec<Value> {
    let mut handshakes = Vec::new();
    for one in tap.received() {
        let Some(mut rest) = one.bytes.get(68..).map(<[u8]>::to_vec) else {
            continue;
        };
        while let Ok(Some(message)) = wire::take_message(&mut rest) {
            if let [20, 0, payload @ ..] = &message[..] {
                handshakes.push(Value::decode(payload).unwrap().0);
            }
        }
    }
    handshakes
}

fn keys(value: &Value) -> Vec<String> {
    match value {
        Value::Dict(dict) => (dict.keys())
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect(),
        other => panic!("no dictionary: {other:?}"),
    }
}

async fn nothing_names_us(seed: u64, strategy: &str) {
    let network = Network::start(seed, Behaviour::Honest, 2).await;
    let run = network
        .resolve(strategy, false)
        .arg("--anonymous")
        .run()
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
    for received in network.received() {
        let found = marks_in(&received);
        assert!(
            found.is_empty(),
            "{found:?} in {}",
            received.bytes.escape_ascii()
        );
    }
    let ids = peer_ids(&network.peer);
    assert!(ids.len() >= network.torrents.len());
    let distinct: HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "a peer id was used twice");
    assert!(ids.iter().all(|id| id[0] != b'-' || id[7] != b'-'));
    let to_trackers = [network.http.received(), network.udp.received()].concat();
    for id in &ids {
        let is_told = |one: &Received| one.bytes.windows(20).any(|part| part == id);
        assert!(
            !to_trackers.iter().any(is_told),
            "a tracker knows a peer id"
        );
    }
    let handshakes = extension_handshakes(&network.peer);
    assert!(handshakes.len() >= network.torrents.len());
    for handshake in handshakes {
        assert_eq!(keys(&handshake), ["m"], "{handshake:?}");
        let messages = keys(handshake.get("m").unwrap());
        let known = |name: &String| ["ut_metadata", "ut_pex"].contains(&name.as_str());
        assert!(messages.iter().all(known), "{messages:?}");
    }
}

#[tokio::test]
async fn the_direct_arm_names_us_nowhere() {
    nothing_names_us(1, "direct").await;
}

#[tokio::test]
async fn libtorrent_names_us_nowhere() {
    nothing_names_us(2, "libtorrent").await;
}

/// Peers that hang up, or want encryption, see further connections: those name us no more.
#[tokio::test]
async fn peers_that_fail_learn_no_name() {
    for (seed, behaviour) in [
        (3, Behaviour::CloseAfterHandshake),
        (4, Behaviour::EncryptionRequired),
    ] {
        let network = Network::start(seed, behaviour, 2).await;
        let run = network
            .resolve("race", false)
            .arg("--anonymous")
            .arg("--timeout")
            .arg("10s")
            .run()
            .await;
        assert_eq!(run.code, 3, "{run:#?}");
        let found: Vec<_> = network.received().iter().flat_map(marks_in).collect();
        assert!(found.is_empty(), "{found:?}");
        let ids = peer_ids(&network.peer);
        let distinct: HashSet<_> = ids.iter().collect();
        assert!(!ids.is_empty());
        assert_eq!(distinct.len(), ids.len());
    }
}

/// That the tests above can fail.
#[tokio::test]
async fn without_it_we_say_who_we_are() {
    let network = Network::start(5, Behaviour::Honest, 2).await;
    let run = network.resolve("race", false).run().await;
    assert_eq!(run.code, 0, "{run:#?}");
    let found: HashSet<_> = network.received().iter().flat_map(marks_in).collect();
    assert!(found.contains("metafetch") && found.contains("-mf"));
}

/// DHT messages carry libtorrent's mark in any case: the documents say so.
#[tokio::test]
async fn a_read_only_node_says_so_in_every_query() {
    let network = Network::start(6, Behaviour::Honest, 2).await;
    let run = network
        .resolve("direct", false)
        .arg("--dht-read-only")
        .arg("--anonymous")
        .run()
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
    let queries = network.dht.received();
    assert!(!queries.is_empty());
    for query in queries {
        let (message, _) = Value::decode(&query.bytes).unwrap();
        assert_eq!(message.int("ro"), Some(1), "{message:?}");
        let version = message.string("v").unwrap();
        assert!(version.starts_with(b"LT"), "{version:?}");
    }
}
