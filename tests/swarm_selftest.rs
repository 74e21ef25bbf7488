//! The peers of the swarm, driven with raw sockets: what the black-box tests rely on has to be so.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test client: a fault here is to fail the test"
)]

mod swarm;

use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use sha1::{Digest as _, Sha1};
use swarm::wire::{self, Value};
use swarm::{Behaviour, Swarm, TestTorrent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For peers that answer, on a busy host.
const LONG: Duration = Duration::from_secs(30);
/// For peers that do not: what a test waits in vain.
const SHORT: Duration = Duration::from_millis(1500);
const CLIENT_ID: [u8; 20] = *b"-TT0001-abcdefghijkl";
const CLIENT_UT_METADATA: u8 = 7;

/// A peer as a plain client sees it that waits so long for a connection, for a handshake and for the
/// rest: the info dictionary, or an outcome's name.
async fn fetch_within(
    patience: Duration,
    addr: SocketAddr,
    infohash: [u8; 20],
) -> Result<Vec<u8>, &'static str> {
    let mut stream = match timeout(patience, TcpStream::connect(addr)).await {
        Err(_) => return Err("connect_timeout"),
        Ok(Err(error)) => return Err(name_of(error.kind())),
        Ok(Ok(stream)) => stream,
    };
    let hello = [
        wire::handshake(&infohash, &CLIENT_ID, true),
        wire::extension_handshake(Some(CLIENT_UT_METADATA), None),
    ];
    stream
        .write_all(&hello.concat())
        .await
        .map_err(|error| name_of(error.kind()))?;
    let mut head = [0; 68];
    let read = timeout(patience, stream.read_exact(&mut head)).await;
    read.map_err(|_| "handshake_timeout")?
        .map_err(|error| name_of(error.kind()))?;
    if &head[..20] != b"\x13BitTorrent protocol" {
        return Err("protocol_violation");
    } else if head[28..48] != infohash {
        return Err("wrong_infohash");
    } else if head[48..] == CLIENT_ID {
        return Err("self_connection");
    } else if head[25] & 0x10 == 0 {
        return Err("no_extension_protocol");
    }
    let mut input = Vec::new();
    let mut info = Vec::new();
    let mut size = None;
    let mut rejects = 0;
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        while let Some(message) = wire::take_message(&mut input).or(Err("protocol_violation"))? {
            let [20, extension, body @ ..] = &message[..] else {
                continue;
            };
            let (dict, used) = Value::decode(body).ok_or("protocol_violation")?;
            if *extension == 0 {
                let id = dict.get("m").and_then(|m| m.int("ut_metadata"));
                let claimed = dict.int("metadata_size");
                let (Some(id), Some(claimed)) = (id, claimed) else {
                    return Err("no_ut_metadata");
                };
                if !(1..=10 << 20).contains(&claimed) {
                    return Err("metadata_size_invalid");
                }
                size = Some((u8::try_from(id).unwrap(), usize::try_from(claimed).unwrap()));
            } else if *extension == CLIENT_UT_METADATA {
                let (_, size) = size.ok_or("protocol_violation")?;
                if dict.int("msg_type") == Some(2) {
                    rejects += 1;
                } else {
                    let block = &body[used..];
                    let at = i64::try_from(info.len() / wire::BLOCK).unwrap();
                    let full = wire::BLOCK.min(size - info.len());
                    let total = dict.int("total_size").and_then(|n| usize::try_from(n).ok());
                    if dict.int("piece") != Some(at) || block.len() != full || total != Some(size) {
                        return Err("protocol_violation");
                    }
                    info.extend_from_slice(block);
                }
                if info.len() == size {
                    let right = Sha1::digest(&info)[..] == infohash;
                    return if right {
                        Ok(info)
                    } else {
                        Err("hash_mismatch")
                    };
                }
            }
            let (id, _) = size.ok_or("protocol_violation")?;
            if rejects > 3 {
                return Err("rejected");
            }
            let piece = i64::try_from(info.len() / wire::BLOCK).unwrap();
            let request = Value::dict([("msg_type", Value::Int(0)), ("piece", Value::Int(piece))]);
            let request = wire::extended(id, &request, &[]);
            stream
                .write_all(&request)
                .await
                .map_err(|error| name_of(error.kind()))?;
        }
        let late = if size.is_none() {
            "handshake_timeout"
        } else {
            "transfer_timeout"
        };
        let read = tokio::time::timeout_at(deadline, stream.read_buf(&mut input)).await;
        if read
            .map_err(|_| late)?
            .map_err(|error| name_of(error.kind()))?
            == 0
        {
            return Err("closed");
        }
    }
}

async fn fetch(addr: SocketAddr, infohash: [u8; 20]) -> Result<Vec<u8>, &'static str> {
    fetch_within(LONG, addr, infohash).await
}

fn name_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ConnectionRefused => "refused",
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset",
        ErrorKind::UnexpectedEof => "closed",
        other => panic!("unexpected error {other}"),
    }
}

#[tokio::test]
async fn honest_peers_serve_every_size_and_kind() {
    let swarm = Swarm::start(1);
    let torrents: Vec<_> = [500, 16_384, 16_385, 50_000]
        .into_iter()
        .map(|size| TestTorrent::v1(size as u64, size))
        .collect();
    let latency = Duration::from_millis(20);
    for behaviour in [
        Behaviour::Honest,
        Behaviour::Chatty,
        Behaviour::Slow { latency },
        Behaviour::RejectFirst(2),
    ] {
        assert!(behaviour.expected().is_empty());
        let peer = swarm.peer(behaviour, &torrents).await;
        for torrent in &torrents {
            let info = fetch(peer, torrent.v1).await;
            assert_eq!(info.as_deref(), Ok(&torrent.info[..]), "{behaviour:?}");
        }
        let counters = swarm.counters(peer);
        assert_eq!((counters.connections, counters.handshakes), (4, 4));
        assert_eq!(counters.blocks, 1 + 1 + 2 + 4);
    }
    assert_eq!(swarm.totals().blocks, 32);

    let hybrid = TestTorrent::hybrid(3, 20_000);
    let peer = swarm
        .peer_on(
            Ipv6Addr::LOCALHOST.into(),
            Behaviour::Honest,
            std::slice::from_ref(&hybrid),
        )
        .await;
    assert_eq!(
        fetch(peer, hybrid.v1).await.as_deref(),
        Ok(&hybrid.info[..])
    );
    assert_eq!(
        fetch(peer, hybrid.wire_ids()[1]).await,
        Err("hash_mismatch"),
        "it is no SHA-1"
    );
    assert_eq!(
        fetch(peer, [0; 20]).await,
        Err("closed"),
        "it holds no such torrent"
    );
}

#[tokio::test]
async fn every_bad_peer_fails_as_its_name_says() {
    let swarm = Swarm::start(2);
    let torrent = TestTorrent::v1(9, 40_000);
    let mut fetches = Vec::new();
    for (behaviour, expected) in Behaviour::all_bad() {
        let peer = swarm.peer(behaviour, std::slice::from_ref(&torrent)).await;
        let fetch = tokio::spawn(fetch_within(SHORT, peer, torrent.v1));
        fetches.push((behaviour, expected, fetch));
    }
    for (behaviour, expected, fetch) in fetches {
        let outcome = fetch.await.unwrap().map(drop).unwrap_err();
        assert!(
            expected.contains(&outcome),
            "{behaviour:?}: {outcome}, not one of {expected:?}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_wants_encryption_answers_a_key_and_closes() {
    let swarm = Swarm::start(3);
    let torrent = TestTorrent::v1(1, 1000);
    let peer = swarm.peer(Behaviour::EncryptionRequired, &[torrent]).await;
    let mut stream = TcpStream::connect(peer).await.unwrap();
    stream.write_all(&[0xab; 96]).await.unwrap();
    let mut key = [0; 96];
    stream.read_exact(&mut key).await.unwrap();
    assert_ne!(key, [0; 96]);
    stream.write_all(&[1; 20]).await.unwrap();
    assert_eq!(stream.read(&mut key).await.unwrap(), 0);
    assert_eq!(swarm.counters(peer).mse_keys, 1);
}

#[tokio::test]
async fn everything_ends_with_the_swarm() {
    let swarm = Swarm::start(4);
    let torrent = TestTorrent::v1(1, 1000);
    let peer = swarm
        .peer(Behaviour::Silent, std::slice::from_ref(&torrent))
        .await;
    let mut stream = TcpStream::connect(peer).await.unwrap();
    while swarm.counters(peer).connections == 0 {
        tokio::task::yield_now().await;
    }
    drop(swarm);
    let end = timeout(Duration::from_secs(5), stream.read(&mut [0; 1])).await;
    assert!(
        matches!(end, Ok(Ok(0) | Err(_))),
        "the connection is still open"
    );
    while fetch(peer, torrent.v1).await != Err("refused") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn hundreds_of_connections_are_served_at_once() {
    let swarm = Swarm::start(5);
    let torrents: Vec<_> = (0..20).map(|seed| TestTorrent::v1(seed, 30_000)).collect();
    let mut peers = Vec::new();
    for _ in 0..5 {
        peers.push(swarm.peer(Behaviour::Honest, &torrents).await);
    }
    let mut fetches = tokio::task::JoinSet::new();
    for round in 0..300 {
        let torrent = torrents[round % torrents.len()].clone();
        let peer = peers[round % peers.len()];
        fetches.spawn(async move { fetch(peer, torrent.v1).await.map(drop) });
    }
    assert!(fetches.join_all().await.iter().all(Result::is_ok));
    assert_eq!(
        (swarm.totals().connections, swarm.totals().blocks),
        (300, 600)
    );
}
