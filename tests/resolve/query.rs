//! `metafetch query`: one step at a time.

use tokio::process::Command;

use crate::command::{metafetch, run};
use crate::swarm::{Behaviour, Swarm, TestTorrent};

fn query(home: &tempfile::TempDir, args: &[&str]) -> Command {
    let mut all = vec!["query"];
    all.extend(args);
    all.extend(["--listen", "127.0.0.1:0", "--allow-local-peers"]);
    metafetch(&home.path().join("none.db"), &all)
}

#[tokio::test]
async fn a_peer_is_asked_once_and_each_step_is_shown() {
    let swarm = Swarm::start(71);
    let torrent = TestTorrent::v1(7_100, 40_000);
    let held = std::slice::from_ref(&torrent);
    let good = swarm.peer(Behaviour::Honest, held).await.to_string();
    let bad = swarm.peer(Behaviour::RejectAll, held).await.to_string();
    let home = tempfile::tempdir().unwrap();
    let text = run(&mut query(&home, &["peer", &good, &torrent.hex()])).await;
    assert_eq!(text.code, 0, "{text:#?}");
    assert!(text.stdout.contains("delivered: 40000 bytes"), "{text:#?}");
    let told = run(&mut query(&home, &["peer", &bad, &torrent.hex(), "--json"])).await;
    assert_eq!(told.code, 3, "{told:#?}");
    assert_eq!(told.line()["reason"], "rejected");
    assert_eq!(told.line()["steps"][0]["event"], "dialling");
}

#[tokio::test]
async fn a_dht_node_is_asked_each_thing() {
    let swarm = Swarm::start(72);
    let torrent = TestTorrent::v1(7_200, 400);
    let dht = swarm.dht(20).await;
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    dht.announce(&torrent, peer);
    let node = dht.bootstrap[0].to_string();
    let home = tempfile::tempdir().unwrap();
    let ping = run(&mut query(&home, &["dht", &node, "ping", "--json"])).await;
    assert_eq!(ping.code, 0, "{ping:#?}");
    assert_eq!(ping.line()["answer"]["id"].as_str().unwrap().len(), 40);
    let hash = torrent.hex();
    let nodes = run(&mut query(&home, &["dht", &node, "find-node", &hash])).await;
    assert_eq!(nodes.code, 0, "{nodes:#?}");
    assert!(nodes.stdout.contains("127."), "{nodes:#?}");
    let peers = run(&mut query(
        &home,
        &["dht", &node, "get-peers", &hash, "--json"],
    ))
    .await;
    assert_eq!(peers.code, 0, "{peers:#?}");
    assert!(peers.line()["answer"]["token"].is_string(), "{peers:#?}");
    let missing = run(&mut query(&home, &["dht", &node, "get-peers"])).await;
    assert_eq!(missing.code, 2, "{missing:#?}");
}

#[tokio::test]
async fn addresses_of_this_host_and_reserved_ones_are_not_asked() {
    let home = tempfile::tempdir().unwrap();
    let hash = "0123456789012345678901234567890123456789";
    let store = home.path().join("none.db");
    for args in [
        ["query", "peer", "127.0.0.1:1", hash],
        ["query", "peer", "192.168.1.1:1", hash],
        ["query", "peer", "224.0.0.1:1", hash],
        ["query", "peer", "8.8.8.8:0", hash],
        ["query", "dht", "127.0.0.1:1", "ping"],
    ] {
        let run = run(&mut metafetch(&store, &args)).await;
        assert_eq!(run.code, 2, "{args:?}: {run:#?}");
        assert!(run.stderr.contains("no public address"), "{run:#?}");
    }
}
