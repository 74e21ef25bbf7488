//! What the service needs is missing, or goes away for a while.

use std::fmt::Write as _;
use std::net::{TcpListener, UdpSocket};

use metafetch::store::Store;

use crate::databases::proxy::Proxy;
use crate::databases::{Database, Kind, PASSWORD_IN_URL};
use crate::running::{Home, Running, until, until_source};
use crate::swarm::{Behaviour, Swarm, TestTorrent, free_address};

#[tokio::test]
async fn where_the_address_of_the_api_is_taken_it_does_not_start_and_says_so() {
    let home = Home::new("");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let mut command = home.command();
    command.env("METAFETCH_API_LISTEN", &addr);
    let mut running = Running::of(command);
    assert_eq!(running.ends().await, Some(1), "{}", running.stderr());
    running
        .says(&format!("the API can't listen on {addr}"))
        .await;
    assert!(!home.path("store.db").exists(), "nothing has begun");
}

#[tokio::test]
async fn where_the_port_of_the_dht_is_taken_it_goes_on_without_and_comes_back() {
    let swarm = Swarm::start(83);
    let dht = swarm.dht(20).await;
    let torrents: Vec<_> = (0..2)
        .map(|number| TestTorrent::v1(83_000 + number, 2_000))
        .collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    dht.announce(&torrents[1], peer);
    let addr = free_address();
    let taken = (
        UdpSocket::bind(addr).unwrap(),
        TcpListener::bind(addr).unwrap(),
    );
    let network = format!(
        "network.listen = [\"{addr}\"]\nengine.trackers = false\nnetwork.bootstrap = [\"{}\"]",
        dht.bootstrap[0]
    );
    let home = Home::with_network(&network, "sources.crawl = false");
    let running = home.start().await;
    home.put("hint.magnet", torrents[0].magnet(&[peer], &[]));
    until(|| home.resolved() == 1, || running.stderr()).await;
    let said = running.stderr();
    assert!(said.contains(&addr.to_string()), "{said}");
    drop(taken);
    home.put("dht.magnet", torrents[1].magnet(&[], &[]));
    until(|| home.resolved() == 2, || running.stderr()).await;
}

#[tokio::test]
async fn nothing_is_lost_while_the_database_is_away() {
    let swarm = Swarm::start(84);
    let torrents: Vec<_> = (0..20)
        .map(|number| TestTorrent::v1(84_000 + number, 2_000))
        .collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let database = Database::new(Kind::Postgres);
    let proxy = Proxy::start(database.server.port);
    let home = Home::new("");
    let mut command = home.command();
    let url = format!(
        "postgres://metafetch:{PASSWORD_IN_URL}@127.0.0.1:{}/{}?tls=disable",
        proxy.port, database.name
    );
    command.env("METAFETCH_STORE", url);
    // Its files are in a directory of their own, too.
    command.env("XDG_STATE_HOME", home.path("state"));
    let mut running = Running::of(command);
    running.says("the service works").await;
    let list = |torrents: &[TestTorrent]| {
        let mut list = String::new();
        for torrent in torrents {
            writeln!(list, "{}", torrent.magnet(&[peer], &[])).unwrap();
        }
        list
    };
    let (first, second) = torrents.split_at(10);
    home.put("first.txt", list(first));
    running.says("first.txt was taken in").await;
    proxy.stop();
    home.put("second.txt", list(second));
    // Nobody is told that a hash is wanted that is not durable.
    let path = format!("/api/v1/torrents/{}?wait=1s", torrents[19].hex());
    let asked = running.api(reqwest::Method::GET, &path, serde_json::Value::Null);
    let waits = until_source(&running, "directory", |it| !it["problem"].is_null());
    let ((status, said), ()) = tokio::join!(asked, waits);
    assert_eq!(status, 503, "{said}");
    assert!(home.path("in/second.txt").is_file(), "it is not durable");
    proxy.go_on();
    running.says("second.txt was taken in: 10 hashes").await;
    let store = Store::open(&database.url().parse().unwrap()).unwrap();
    while store.counts().await.unwrap().torrents < 20
        || !store.wanted_count().await.unwrap().is_empty()
    {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    store.close().await;
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.ends().await, Some(0), "{}", running.stderr());
}
