//! `metafetch diagnose`: the story of each peer, and what it comes to.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::command::{Resolve, metafetch, run};
use crate::swarm::{Behaviour, Swarm, TestTorrent};

/// On loopback; with `--json`.
fn diagnose(store: &Path, infohash: &str, args: &[&str]) -> Command {
    let mut all = vec!["diagnose", infohash, "--listen", "127.0.0.1:0"];
    all.extend(["--allow-local-peers", "--no-trackers", "--most", "100"]);
    all.extend(args);
    metafetch(store, &all)
}

fn peer_args(peers: &[SocketAddr]) -> Vec<String> {
    let args = peers
        .iter()
        .map(|peer| ["--peer".to_owned(), peer.to_string()]);
    args.flatten().collect()
}

fn events(peer: &Value) -> Vec<&str> {
    let steps = peer["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| step["event"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn each_misbehaviour_is_told_of_its_peer() {
    let swarm = Swarm::start(61);
    let torrent = TestTorrent::v1(6_100, 40_000);
    let home = tempfile::tempdir().unwrap();
    let (mut peers, mut expected) = (Vec::new(), Vec::new());
    for (behaviour, outcomes) in Behaviour::all_bad() {
        let addr = swarm.peer(behaviour, std::slice::from_ref(&torrent)).await;
        peers.push(addr);
        expected.push((addr.to_string(), behaviour, outcomes[0]));
    }
    let args = peer_args(&peers);
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    args.extend(["--no-dht", "--json"]);
    let store = home.path().join("none.db");
    let run = run(&mut diagnose(&store, &torrent.hex(), &args)).await;
    assert_eq!(run.code, 3, "{run:#?}");
    assert!(!store.exists(), "it makes no store");
    let line = run.line();
    let told = line["peers"].as_array().unwrap();
    assert_eq!(told.len(), peers.len());
    for (addr, behaviour, outcome) in expected {
        let peer = told
            .iter()
            .find(|peer| peer["peer"] == addr.as_str())
            .unwrap();
        assert_eq!(peer["reason"], outcome, "{behaviour:?}: {peer:#}");
        assert_eq!(events(peer)[0], "dialling");
    }
    assert_eq!(line["resolves"], false);
    assert!(!line["advice"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn what_our_own_limits_do_not_allow_for_is_said_and_not_waited_for() {
    let swarm = Swarm::start(64);
    let torrent = TestTorrent::v1(6_400, 20_000);
    let torrents = std::slice::from_ref(&torrent);
    let peers = [
        swarm.peer(Behaviour::Silent, torrents).await,
        swarm.peer(Behaviour::Silent, torrents).await,
    ];
    let home = tempfile::tempdir().unwrap();
    let args = peer_args(&peers);
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    args.extend(["--no-dht", "--json", "--timeout=2s"]);
    let mut command = diagnose(&home.path().join("none.db"), &torrent.hex(), &args);
    // One connection is the direct arm's. The one that gets it keeps it longer than there is time.
    command.env("METAFETCH_LIMITS_CONNECTIONS", "2");
    command.env("METAFETCH_DIRECT_HANDSHAKE_TIMEOUT", "1h");
    let run = run(&mut command).await;
    assert_eq!(run.code, 3, "{run:#?}");
    let line = run.line();
    let verdict = line["verdict"].as_str().unwrap();
    let said = "our own limits kept us from asking 1 of the 2 peers";
    assert!(verdict.starts_with(said), "{verdict}");
    let advice = line["advice"].as_str().unwrap();
    assert!(advice.contains("limits.connections"), "{advice}");
    let told = line["peers"].as_array().unwrap();
    let mut reasons: Vec<_> = told.iter().map(|peer| peer["reason"].clone()).collect();
    reasons.sort_by_key(Value::to_string);
    assert_eq!(reasons, ["handshake_timeout", "internal"], "{line:#}");
}

#[tokio::test]
async fn a_peer_that_delivers_is_told_from_its_handshake_to_its_last_block() {
    let swarm = Swarm::start(62);
    let torrent = TestTorrent::v1(6_200, 40_000);
    let peer = swarm
        .peer(Behaviour::Chatty, std::slice::from_ref(&torrent))
        .await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("none.db");
    let peer = peer.to_string();
    let args = ["--no-dht", "--peer", &peer];
    let text = run(&mut diagnose(&store, &torrent.hex(), &args)).await;
    assert_eq!(text.code, 0, "{text:#?}");
    for said in [
        "we open a connection",
        "handshake: ",
        "extension handshake: ",
        "metadata_size 40000",
        "we ask for 3 blocks, from block 0 on",
        "block 2, 7232 bytes",
        "delivered: 40000 bytes",
        "it resolves",
    ] {
        assert!(text.stdout.contains(said), "{said}: {}", text.stdout);
    }
    let json = run(diagnose(&store, &torrent.hex(), &args).arg("--json"))
        .await
        .line();
    let events = events(&json["peers"][0]);
    assert!(events.contains(&"message"), "what else it says: {events:?}");
    assert_eq!(json["resolves"], true);
    assert_eq!(json["reason"], Value::Null);
}

#[tokio::test]
async fn what_the_store_and_the_dht_say_is_part_of_it() {
    let swarm = Swarm::start(63);
    let dht = swarm.dht(50).await;
    let torrent = TestTorrent::v1(6_300, 1_000);
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("metafetch.db");
    let failed = Resolve::new()
        .bootstrap(dht.bootstrap[0])
        .store(&store)
        .arg(torrent.hex())
        .run()
        .await;
    assert_eq!(failed.reason(), "no_peers");
    let bootstrap = dht.bootstrap[0].to_string();
    let args = ["--bootstrap", &bootstrap, "--json"];
    let line = run(&mut diagnose(&store, &torrent.hex(), &args))
        .await
        .line();
    assert_eq!(line["store"]["failed"]["reason"], "no_peers");
    assert_eq!(line["dht"]["converged"], true);
    assert_eq!(
        (&line["found"], &line["reason"]),
        (&0.into(), &"no_peers".into())
    );
    let verdict = line["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("nobody has it"), "{verdict}");
}
