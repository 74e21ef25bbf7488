//! Torrents that somebody announces to us.

use crate::home::{Home, Running};
use crate::network::{Network, torrent};
use crate::swarm::{announce, free_address};

#[tokio::test]
async fn an_announced_torrent_is_stored_fetched_and_never_loses_its_metadata() {
    let network = Network::start(191, 40).await;
    let movie = torrent("Some.Movie.2021.mkv", &[(&[], 50_000)]);
    let peer = network.swarm.peer(
        crate::swarm::Behaviour::Honest,
        std::slice::from_ref(&movie),
    );
    let peer = peer.await;
    let home = Home::new(network.nodes());
    let hash = movie.hex();
    for _ in 0..2 {
        let node = free_address();
        home.configure_at(node, network.nodes(), "");
        let mut running = Running::start(home.command(&["--no-bep51"]));
        announce(node, &movie, peer).await;
        // The announcer's request for a token is seen, too.
        running
            .until(&format!("Auto-queued metadata request for: {hash}"))
            .await;
        running
            .until(&format!("Stored announced torrent: {hash}"))
            .await;
        if !running.seen.contains(&format!("Hash: {hash}")) {
            running.until(&format!("Hash: {hash}")).await;
        }
        running.signal("-INT");
        let (code, lines, stderr) = running.end().await;
        assert_eq!((code, stderr.as_str()), (0, ""), "{lines:#?}");
        let row = home.row(
            "SELECT CONCAT_WS('|', info_hash, name, source, metadata_received, timed_out) AS value \
             FROM discovered_torrents",
        );
        assert_eq!(row, format!("{hash}|Some.Movie.2021.mkv|DHT_ANNOUNCE|1|0"));
    }
    let peers = home.rows(
        "SELECT CONCAT_WS('|', torrent_hash, peer_address, peer_port, source) AS value \
         FROM discovered_peers",
    );
    assert_eq!(
        peers,
        [format!("{hash}|127.0.0.1|{}|DHT_ANNOUNCE", peer.port())]
    );
}
