//! Sessions: ports, limits, trackers, the DHT, the end.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::fake_dht;
use super::fake_peer::{FakePeer, Role};
use super::*;
use crate::libtorrent::{DhtHealth, DhtSettings, SessionError};

/// A hash of its own for each number.
fn hash(number: u32) -> Infohash {
    let mut id = [0x5a; 20];
    id[..4].copy_from_slice(&number.to_be_bytes());
    Infohash::V1(id)
}

#[tokio::test]
async fn thousands_of_pending_torrents_do_not_hold_up_the_shutdown() {
    let arm = Libtorrent::open(&settings()).unwrap();
    let peer = FakePeer::start(Role::Silent, b"").await;
    let mut fetches: Vec<_> = (0..2000)
        .map(|number| arm.fetch(request(hash(number), &[])).unwrap())
        .collect();
    let mut last = arm.fetch(request(hash(2000), &[peer.addr])).unwrap();
    assert!(matches!(
        last.next().await,
        Some(FetchEvent::Connected { .. })
    ));
    assert_eq!(arm.health().torrents, 2001);
    let began = Instant::now();
    arm.shutdown().await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert!(matches!(
        arm.fetch(request(hash(1), &[])),
        Err(SessionError::Closed)
    ));
    let first = &mut fetches[0];
    while first.next().await.is_some() {}
}

#[tokio::test]
async fn a_torrent_is_in_the_session_once() {
    let arm = Libtorrent::open(&Settings {
        max_torrents: 2,
        ..settings()
    })
    .unwrap();
    let (v1, v2) = ([1; 20], [2; 32]);
    let hybrid = arm
        .fetch(request(Infohash::Hybrid { v1, v2 }, &[]))
        .unwrap();
    for same in [Infohash::V1(v1), Infohash::V2(v2), Infohash::V1([2; 20])] {
        assert_eq!(
            arm.fetch(request(same, &[])).err(),
            Some(SessionError::Duplicate(same))
        );
    }
    let _other = arm.fetch(request(hash(1), &[])).unwrap();
    assert_eq!(
        arm.fetch(request(hash(2), &[])).err(),
        Some(SessionError::Full(2))
    );
    drop(hybrid);
    arm.fetch(request(Infohash::V2(v2), &[])).unwrap();
}

#[tokio::test]
async fn dropping_a_fetch_closes_its_connections() {
    let arm = Libtorrent::open(&settings()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().into();
    let fetch = arm.fetch(request(hash(1), &[addr])).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    drop(fetch);
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_millis(500), stream.read_to_end(&mut rest));
    end.await.expect("still connected").unwrap();
}

#[tokio::test]
async fn a_taken_port_is_reported_once_and_worked_around() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let arm = Libtorrent::open(&Settings {
        listen: vec![addr],
        incoming: true,
        dht: Some(DhtSettings::new(vec!["127.0.0.1:1".to_owned()])),
        ..settings()
    })
    .unwrap();
    until(&arm, |health| {
        !health.udp.is_empty() && !health.tcp.is_empty()
    })
    .await;
    let health = arm.health();
    assert_eq!(health.listen_errors.len(), 1, "{health:?}");
    assert!(
        health.listen_errors[0].starts_with(&addr.to_string()),
        "{health:?}"
    );
    assert!(!health.udp.contains(&addr), "{health:?}");
    assert_eq!(health.dht, DhtHealth::Starting);
    assert!(!arm.dht_ready(Duration::from_millis(50)).await);
}

#[tokio::test]
async fn dropped_alerts_are_noticed_and_survived() {
    let info = info(1000);
    let arm = Libtorrent::open(&Settings {
        alert_queue_size: 1,
        ..settings()
    })
    .unwrap();
    let dead = format!("http://{}/announce", refusing());
    let pending: Vec<_> = (0..200)
        .map(|number| {
            arm.fetch(FetchRequest {
                trackers: vec![dead.clone()],
                ..request(hash(number), &[])
            })
            .unwrap()
        })
        .collect();
    until(&arm, |health| health.alerts_dropped > 0).await;
    let peer = FakePeer::start(Role::Honest, &info).await;
    let mut fetch = arm.fetch(request(v1(&info), &[peer.addr])).unwrap();
    assert_eq!(follow(&mut fetch).await.metadata, Some((peer.addr, info)));
    drop(pending);
}

/// An HTTP tracker that names one peer, once.
async fn tracker(peer: PeerAddr) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 2048];
            let _ = stream.read(&mut buffer).await;
            let std::net::IpAddr::V4(ip) = peer.ip() else {
                unreachable!()
            };
            let mut body = b"d8:intervali1800e5:peers6:".to_vec();
            body.extend(ip.octets());
            body.extend(peer.port().to_be_bytes());
            body.push(b'e');
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
        }
    });
    url
}

#[tokio::test]
async fn peers_of_a_tracker_are_reported_and_dialled() {
    let info = info(1000);
    let arm = Libtorrent::open(&settings()).unwrap();
    let peer = FakePeer::start(Role::Honest, &info).await;
    let url = tracker(peer.addr).await;
    let mut fetch = arm
        .fetch(FetchRequest {
            trackers: vec![url.clone(), url.clone()],
            ..request(v1(&info), &[])
        })
        .unwrap();
    let found = FetchEvent::Peer {
        addr: peer.addr,
        source: PeerSource::Tracker,
    };
    let mut seen = Vec::new();
    while let Some(event) = fetch.next().await {
        assert_ne!(event, FetchEvent::Exhausted);
        seen.push(event);
    }
    assert!(seen.contains(&found), "{seen:?}");
    assert!(
        matches!(seen.last(), Some(FetchEvent::Metadata { .. })),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_lookup_asks_trackers_and_dials_nobody() {
    let info = info(1000);
    let arm = Libtorrent::open(&settings()).unwrap();
    let peer = FakePeer::start(Role::Honest, &info).await;
    let good = tracker(peer.addr).await;
    let dead = format!("http://{}/announce", refusing());
    let mut fetch = arm
        .fetch(FetchRequest {
            trackers: vec![good.clone(), dead.clone()],
            lookup_only: true,
            ..request(v1(&info), &[])
        })
        .unwrap();
    let (mut answered, mut failed, mut found) = (false, false, false);
    loop {
        match fetch.next().await.unwrap() {
            FetchEvent::Tracker { url, result, .. } if url == good => answered = result == Ok(1),
            FetchEvent::Tracker { url, result, .. } => failed = url == dead && result.is_err(),
            FetchEvent::Peer { addr, .. } => found = addr == peer.addr,
            FetchEvent::Exhausted => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(answered && failed && found, "{answered} {failed} {found}");
    assert_eq!(
        peer.connections.load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

async fn dht_arm(bootstrap: &str, state: Option<Vec<u8>>) -> Libtorrent {
    let arm = Libtorrent::open(&Settings {
        dht: Some(DhtSettings {
            state,
            enough_nodes: 1,
            ..DhtSettings::new(vec![bootstrap.to_owned()])
        }),
        ..settings()
    })
    .unwrap();
    until(&arm, |health| !health.udp.is_empty()).await;
    arm
}

#[tokio::test]
async fn the_nodes_of_the_dht_are_saved() {
    let (hash, peer) = ([0x3c; 20], "127.0.0.1:4242".parse().unwrap());
    let entry = fake_dht::start(5, hash, peer).await;
    let within = Duration::from_secs(10);
    let arm = dht_arm(&entry, None).await;
    assert!(arm.dht_ready(within).await);
    until(&arm, |health| matches!(health.dht, DhtHealth::Ready { .. })).await;

    let state = arm.dht_state().await.unwrap();
    arm.shutdown().await;
    let again = dht_arm("127.0.0.1:1", Some(state)).await;
    assert!(again.dht_ready(within).await, "the saved nodes are lost");
}

#[tokio::test]
async fn a_thousand_hashes_come_from_one_peer() {
    let infos: std::collections::HashMap<[u8; 20], Vec<u8>> = (0..1000_u32)
        .map(|number| {
            let mut info = info(5000);
            info.extend(number.to_be_bytes());
            (v1(&info).wire_id(), info)
        })
        .collect();
    let known = infos.clone();
    let peer = FakePeer::start_with(Role::Honest, move |hash| known.get(hash).cloned()).await;
    let arm = Libtorrent::open(&settings()).unwrap();
    let began = Instant::now();
    let mut fetches: Vec<_> = infos
        .keys()
        .map(|hash| {
            arm.fetch(request(Infohash::V1(*hash), &[peer.addr]))
                .unwrap()
        })
        .collect();
    for (fetch, info) in fetches.iter_mut().zip(infos.values()) {
        let metadata = follow(fetch).await.metadata;
        assert_eq!(metadata.map(|(_, bytes)| bytes).as_ref(), Some(info));
    }
    println!("{:.0} fetches/s", 1000.0 / began.elapsed().as_secs_f64());
}
