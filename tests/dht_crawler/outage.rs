//! A database that goes away while it runs, and comes back.

use crate::databases::proxy::Proxy;
use crate::home::{Home, Running};
use crate::network::Network;
use crate::swarm::TestTorrent;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_meanwhile_is_stored_when_it_is_back() {
    let network = Network::start(161, 60).await;
    let torrents = network.torrents(200).await;
    let home = Home::new(network.nodes());
    home.configure(network.nodes(), "jobs = 40");
    let way = Proxy::start(home.database.as_ref().unwrap().server.port);
    let list = home.path("list.txt");
    let hashes: Vec<_> = torrents.iter().map(TestTorrent::hex).collect();
    std::fs::write(&list, hashes.join("\n")).unwrap();
    let list = list.to_str().unwrap();
    let mut running = Running::start(home.command_at(way.port, &["--metadata", list]));
    running.until("*** METADATA RECEIVED ***").await;
    way.stop();
    // So many were asked for that some are fetched meanwhile.
    running.complains("Error storing torrent: ").await;
    way.go_on();
    let (code, lines, stderr) = running.end().await;
    assert_eq!(code, 0, "{stderr}\n{lines:#?}");
    assert!(
        lines
            .iter()
            .any(|line| line == "*** ALL METADATA FETCHED ***"),
        "{stderr}\n{lines:#?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains("TEST MODE")),
        "{stderr}"
    );
    let said = stderr.matches("Error storing torrent: ").count();
    assert_eq!(said, 1, "{stderr}");
    let stored = home.row(
        "SELECT CAST(COUNT(*) AS CHAR) AS value FROM discovered_torrents WHERE metadata_received = 1",
    );
    assert_eq!(stored, "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_a_database_that_stays_away() {
    let network = Network::start(162, 60).await;
    network.torrents(100).await;
    let home = Home::new(network.nodes());
    let way = Proxy::start(home.database.as_ref().unwrap().server.port);
    let mut running = Running::start(home.command_at(way.port, &[]));
    running.until("*** METADATA RECEIVED ***").await;
    way.stop();
    running.signal("-TERM");
    let (code, lines, stderr) = running.end().await;
    assert_eq!(code, 0, "{stderr}\n{lines:#?}");
    assert!(
        lines.contains(&"*** SHUTDOWN COMPLETE ***".to_owned()),
        "{stderr}\n{lines:#?}"
    );
}
