//! Where hashes come from by themselves, and the turns of sources.

use std::fmt::Write as _;
use std::time::Duration;

use diesel::RunQueryDsl as _;
use metafetch::torrent::torrent_file;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

use crate::running::{Home, until, until_source};
use crate::swarm::{Behaviour, DhtOptions, Swarm, TestTorrent};

#[tokio::test]
async fn what_the_crawl_finds_is_resolved_and_nothing_of_it_begins_while_it_is_paused() {
    let swarm = Swarm::start(78);
    let options = DhtOptions {
        nodes: 30,
        interval: Duration::ZERO,
        ..DhtOptions::default()
    };
    let dht = swarm.dht_with(options).await;
    let torrents: Vec<_> = (0..5)
        .map(|number| TestTorrent::v1(78_000 + number, 2_000))
        .collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    for torrent in &torrents {
        dht.announce(torrent, peer);
    }
    let home = Home::with_dht(&dht.bootstrap, "crawl.node_interval = \"1s\"");
    let mut running = home.start().await;
    until(|| home.resolved() == 5, || running.stderr()).await;
    let crawl = running.source("crawl").await;
    assert_eq!(
        (&crawl["resolved"], &crawl["problem"]),
        (&json!(5), &json!(null))
    );
    // Rows are for what was asked for.
    assert_eq!(home.wanted(), 0);
    running.tell("crawl", "pause").await;
    running.child.kill().await.unwrap();

    let late = TestTorrent::v1(78_100, 2_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&late))
        .await;
    dht.announce(&late, peer);
    let mut running = home.start().await;
    until_source(&running, "crawl", |crawl| crawl["paused"] == true).await;
    // Each node may be asked once a second: it would be found, and in work.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(home.resolved(), 5);
    running.tell("crawl", "resume").await;
    until(|| home.resolved() == 6, || running.stderr()).await;
    running.signal(Signal::TERM);
    assert_eq!(running.ends().await, Some(0), "{}", running.stderr());
}

#[tokio::test]
async fn files_wait_while_their_source_is_paused_over_a_restart() {
    let swarm = Swarm::start(79);
    let torrent = TestTorrent::v1(79_000, 2_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let home = Home::new("");
    let mut running = home.start().await;
    running.tell("directory", "pause").await;
    running.child.kill().await.unwrap();
    let running = home.start().await;
    until_source(&running, "directory", |source| source["paused"] == true).await;
    home.put("one.magnet", torrent.magnet(&[peer], &[]));
    let hash = torrent.hex();
    // Who asks is not held up by that.
    let body = json!({ "hashes": [torrent.magnet(&[peer], &[])] });
    let (status, _) = running.api(Method::POST, "/api/v1/resolve", body).await;
    assert_eq!((status, home.resolved()), (200, 1), "{hash}");
    // It has not changed for so long that it would be taken in.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(home.path("in/one.magnet").is_file());
    running.tell("directory", "resume").await;
    let is_done = || home.path("in/one.magnet.done").is_file();
    until(is_done, || running.stderr()).await;
}

#[tokio::test]
async fn the_backlog_takes_turns_with_others_and_takes_nothing_that_is_stored() {
    const PENDING: u64 = 6;
    const ASKED: u64 = 12;
    let swarm = Swarm::start(80);
    let torrents: Vec<_> = (0..=PENDING + ASKED)
        .map(|number| TestTorrent::v1(80_000 + number, 2_000))
        .collect();
    let latency = Duration::from_millis(30);
    let peer = swarm.peer(Behaviour::Slow { latency }, &torrents).await;
    let tracker = swarm.http_tracker().await;
    for torrent in &torrents {
        tracker.announce(torrent, peer);
    }
    let network = "network.listen = [\"127.0.0.1:0\"]\ndht.enabled = false";
    let equal = "engine.jobs = 1\nsources.backlog_weight = 10\nsources.api_weight = 10";
    let home = Home::with_network(network, "sources.backlog = false");
    let mut running = home.start().await;
    let (known, asked) = torrents.split_at(usize::try_from(PENDING + 1).unwrap());
    for torrent in known {
        let file = torrent_file(&torrent.info, std::slice::from_ref(&tracker.url), None);
        home.put(&format!("{}.torrent", torrent.hex()), file);
    }
    let all = i64::try_from(PENDING + 1).unwrap();
    until(|| home.resolved() == all, || running.stderr()).await;
    running.signal(Signal::TERM);
    assert_eq!(running.ends().await, Some(0), "{}", running.stderr());
    let emptied = "UPDATE torrent_metadata SET info = x'', metadata_size = 0, validation_status = 'pending' \
                   WHERE id <> (SELECT max(id) FROM torrent_metadata)";
    diesel::sql_query(emptied)
        .execute(&mut home.database())
        .unwrap();
    assert_eq!(home.resolved(), 1);

    home.configure(equal);
    let running = home.start().await;
    let mut hashes = String::new();
    for torrent in asked {
        writeln!(hashes, "{}", torrent.magnet(&[peer], &[])).unwrap();
    }
    let hashes: Vec<_> = hashes.lines().collect();
    let body = json!({ "hashes": hashes });
    let (status, _) = running.api(Method::POST, "/api/v1/resolve", body).await;
    assert_eq!(status, 200);
    let backlog = running.source("backlog").await;
    assert!(backlog["resolved"].as_u64() > Some(1), "{backlog}");
    let all = i64::try_from(PENDING + ASKED + 1).unwrap();
    until(|| home.resolved() == all, || running.stderr()).await;
    let fetched = "SELECT count(*) AS number FROM metadata_request WHERE outcome = 'delivered'";
    assert_eq!(home.number(fetched), all - 1);
    let backlog = running.source("backlog").await;
    assert_eq!(backlog["resolved"], PENDING, "{backlog}");
}
