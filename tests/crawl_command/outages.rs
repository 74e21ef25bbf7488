//! What a crawl needs goes away and comes back: it carries on by itself, and says each thing once.

use std::collections::HashSet;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use tokio::net::UdpSocket;

use crate::network::{Network, Running};
use crate::swarm::wire::Value;
use crate::swarm::{ask, reserved_address};

const AWAY: &str = "the network seems to be away";
const BACK: &str = "DHT nodes answer again";

/// The hashes that failed, or cool down.
async fn failed(network: &Network) -> u64 {
    let counts = network.with_store(async |store| store.counts().await.unwrap());
    counts.await.failed_torrents
}

#[tokio::test]
async fn a_port_that_was_taken_is_taken_again_when_it_is_free() {
    let network = Network::start(51, 40, 20).await;
    let (node, taken) = reserved_address();
    let mut running = Running::start(network.crawl(&["--listen", &node.to_string()]));
    running.says("another port was taken instead").await;
    // It works all the same.
    running.resolved(1).await;
    drop(taken);
    running.says("is free again").await;
    let asker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let wanted = vec![("info_hash", Value::bytes([0x77; 20]))];
    ask(&asker, node, "get_peers", wanted).await;
    for what in ["another port was taken instead", "is free again"] {
        assert_eq!(running.said(what), 1, "{}", running.stderr());
    }
    assert_eq!(running.said("no UDP socket"), 0, "{}", running.stderr());
    assert_eq!(running.end().await.0, Some(130), "{}", running.stderr());
}

#[tokio::test]
async fn routers_that_were_dead_at_the_start_are_used_when_they_are_back() {
    let network = Network::start(52, 60, 50).await;
    network.dht.cut_off(true);
    let mut running = Running::start(network.crawl(&[]));
    running.says("no node answers").await;
    network.dht.cut_off(false);
    running.resolved(5).await;
    running.says("the DHT works again").await;
    for what in ["no node answers", "the DHT works again"] {
        assert_eq!(running.said(what), 1, "{}", running.stderr());
    }
    assert_eq!(running.end().await.0, Some(130));
}

#[tokio::test]
async fn a_network_that_is_away_for_a_while_is_no_failure_of_any_hash() {
    // So many that there is always one to ask: nobody is asked twice within a minute.
    let network = Network::start(53, 400, 400).await;
    let crawl = || network.crawl(&["--jobs", "20", "--timeout", "8s"]);
    let mut running = Running::start(crawl());
    let mut told = running.resolved(10).await;
    network.dht.cut_off(true);
    told.extend(running.says(AWAY).await);
    // Hashes that are begun meanwhile would be over.
    told.extend(running.goes_on(Duration::from_secs(10)).await);
    let before = told.len();
    network.dht.cut_off(false);
    told.extend(running.says(BACK).await);
    while told.len() < before + 20 {
        told.extend(running.resolved(1).await);
    }
    assert_eq!((running.said(AWAY), running.said(BACK)), (1, 1));
    let (code, last) = running.end().await;
    assert_eq!(code, Some(130), "{}", running.stderr());
    told.extend(last);
    assert_eq!(running.failed, 0, "{}", running.stderr());

    // The next one ends while it is away.
    let mut running = Running::start(crawl());
    told.extend(running.resolved(10).await);
    network.dht.cut_off(true);
    told.extend(running.says(AWAY).await);
    let (code, last) = running.end().await;
    assert_eq!(code, Some(130), "{}", running.stderr());
    told.extend(last);
    assert_eq!(running.failed, 0, "{}", running.stderr());

    let distinct: HashSet<&String> = told.iter().collect();
    assert_eq!(distinct.len(), told.len(), "none twice");
    assert_eq!(network.stored().await, u64::try_from(told.len()).unwrap());
    assert_eq!(failed(&network).await, 0);
}

#[tokio::test]
async fn a_database_that_is_away_for_a_while_costs_no_result() {
    let network = Network::start(54, 200, 400).await;
    let mut running = Running::start(network.crawl(&["--jobs", "20"]));
    let mut told = running.resolved(10).await;
    let path = network.store_path();
    let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let lock = "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE";
    other.batch_execute(lock).unwrap();
    told.extend(running.says("the database is away, spilling").await);
    // It goes on: what is told is in the journal.
    told.extend(running.resolved(10).await);
    other.batch_execute("COMMIT").unwrap();
    told.extend(running.says("is back, ").await);
    told.extend(running.resolved(5).await);
    let (code, last) = running.end().await;
    told.extend(last);
    assert_eq!(code, Some(130), "{}", running.stderr());
    for what in ["the database is away", "is back, "] {
        assert_eq!(running.said(what), 1, "{}", running.stderr());
    }
    assert_eq!(running.said("can't be stored"), 0, "{}", running.stderr());
    let distinct: HashSet<&String> = told.iter().collect();
    assert_eq!(distinct.len(), told.len(), "none twice");
    assert_eq!(network.stored().await, u64::try_from(told.len()).unwrap());
}
