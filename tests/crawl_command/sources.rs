//! Hashes that other nodes bring.

use std::time::Duration;

use tokio::time::timeout;

use crate::network::{Network, Running};
use crate::swarm::{Behaviour, TestTorrent, announce, free_address};

/// How long our node may take to resolve a hash.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn whoever_announces_a_torrent_to_us_is_asked_for_it() {
    let network = Network::start(21, 30, 0).await;
    let torrent = TestTorrent::v1(999, 2_000);
    let peer = network
        .swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let node = free_address();
    let args = ["--listen", &node.to_string()];
    let mut running = Running::start(network.crawl(&args));

    announce(node, &torrent, peer).await;
    let resolved = timeout(PATIENCE, running.resolved(1)).await;
    assert_eq!(
        resolved.expect("the announce was passed over"),
        [torrent.hex()]
    );
}
