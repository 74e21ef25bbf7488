//! Clients from the distribution that join the same DHT: libtorrent, and aria2, whose DHT node is its own.

use std::time::Duration;

use data_encoding::HEXLOWER;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::clients::{LibtorrentOptions, Seeder, Torrent};
use crate::network::{Network, Running};

/// How long a client may take to announce itself, and then the crawl to resolve what it announced.
const PATIENCE: Duration = Duration::from_secs(60);

async fn is_announced(network: &Network, torrent: &Torrent) {
    let infohash = HEXLOWER.decode(torrent.hash().as_bytes()).unwrap();
    let infohash = infohash.try_into().unwrap();
    let announced = async {
        while network.dht.stored_id(infohash).is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, announced)
        .await
        .expect("it does not announce itself");
}

/// What `seeder` announces is discovered, resolved from it, and stored as it is.
async fn is_discovered(
    seed: u64,
    seeder: impl FnOnce(&Torrent, std::net::SocketAddr) -> Seeder + Send + 'static,
) {
    // So few that each knows most of the others: nobody is asked twice within a minute.
    let network = Network::start(seed, 12, 0).await;
    let bootstrap = network.dht.bootstrap[0];
    // The client blocks until it seeds.
    let (torrent, _seeder) = spawn_blocking(move || {
        let torrent = Torrent::v1();
        let seeder = seeder(&torrent, bootstrap);
        (torrent, seeder)
    })
    .await
    .unwrap();
    is_announced(&network, &torrent).await;

    let mut running = Running::start(network.crawl(&["--limit", "1"]));
    let resolved = timeout(PATIENCE, running.resolved(1)).await;
    assert_eq!(resolved.expect("it was not found"), [torrent.hash()]);
    assert!(running.child.wait().await.unwrap().success());
    let infohash = torrent.hash().parse().unwrap();
    let stored = network
        .with_store(async |store| store.torrent(&infohash).await.unwrap())
        .await;
    assert_eq!(stored.expect("it was not stored").info, torrent.info);
}

#[tokio::test]
async fn what_libtorrent_announces_is_found() {
    is_discovered(41, |torrent, bootstrap| {
        let options = LibtorrentOptions {
            dht_bootstrap: Some(bootstrap),
            ..LibtorrentOptions::default()
        };
        Seeder::libtorrent(torrent, &options)
    })
    .await;
}

#[tokio::test]
async fn what_aria2_announces_is_found() {
    is_discovered(42, Seeder::aria2_in_dht).await;
}
