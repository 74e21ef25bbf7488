//! The swarm itself, driven with raw sockets: what the black-box tests rely on has to be so.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test client: a fault here is to fail the test"
)]

mod swarm;

use std::collections::{BTreeSet, HashSet};
use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use sha1::{Digest as _, Sha1};
use swarm::wire::{self, Value};
use swarm::{Behaviour, Invalid, Mix, Swarm, TestTorrent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_millis(400);
const CLIENT_ID: [u8; 20] = *b"-TT0001-abcdefghijkl";
const CLIENT_UT_METADATA: u8 = 7;

/// A peer as a plain client without patience sees it: the info dictionary, or an outcome's name.
async fn fetch(addr: SocketAddr, infohash: [u8; 20]) -> Result<Vec<u8>, &'static str> {
    let mut stream = match timeout(PATIENCE, TcpStream::connect(addr)).await {
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
    let read = timeout(PATIENCE, stream.read_exact(&mut head)).await;
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
    let deadline = tokio::time::Instant::now() + PATIENCE;
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
                    if dict.int("piece") != Some(at) || block.len() != full {
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
        let fetch = tokio::spawn(fetch(peer, torrent.v1));
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

#[test]
fn torrents_have_the_size_asked_for_and_add_up() {
    for size in [600, 16_383, 16_384, 16_385, 100_000, 10 << 20] {
        for seed in 0..4 {
            let torrent = TestTorrent::v1(seed, size);
            assert_eq!(torrent.info.len(), size, "seed {seed}");
            assert_eq!(torrent.info, TestTorrent::v1(seed, size).info);
            let (dict, used) = Value::decode(&torrent.info).unwrap();
            assert_eq!(used, size);
            let length = |dict: &Value| dict.int("length").unwrap();
            let total: i64 = match dict.list("files") {
                Some(files) => files.iter().map(length).sum(),
                None => length(&dict),
            };
            let pieces = dict.string("pieces").unwrap().len();
            let per_piece = dict.int("piece length").unwrap();
            assert_eq!(pieces % 20, 0);
            assert_eq!(
                i64::try_from(pieces / 20),
                Ok((total + per_piece - 1) / per_piece)
            );
        }
    }
    for torrent in [TestTorrent::v2(5, 30_000), TestTorrent::hybrid(5, 30_000)] {
        assert!(
            (29_990..=30_000).contains(&torrent.info.len()),
            "{}",
            torrent.info.len()
        );
        let (dict, _) = Value::decode(&torrent.info).unwrap();
        assert_eq!(dict.int("meta version"), Some(2));
        assert!(torrent.magnet(&[], &[]).contains("xt=urn:btmh:1220"));
    }
    let invalid: HashSet<_> = Invalid::ALL
        .map(|kind| TestTorrent::invalid(1, kind).v1)
        .into();
    assert_eq!(invalid.len(), Invalid::ALL.len());
    let torrent = TestTorrent::v1(1, 600);
    assert_eq!(
        torrent.magnet(&[([127, 0, 0, 1], 5).into()], &["http://a:1/b".into()]),
        format!(
            "magnet:?xt=urn:btih:{}&x.pe=127.0.0.1:5&tr=http%3A%2F%2Fa%3A1%2Fb",
            torrent.hex()
        )
    );
}

#[test]
fn mixes_keep_their_shares() {
    let share = |mix: Mix, behaviour: Behaviour| {
        mix.behaviours(1000, 7)
            .into_iter()
            .filter(|&b| b == behaviour)
            .count()
    };
    assert_eq!(Mix::Crawl.behaviours(50, 7), Mix::Crawl.behaviours(50, 7));
    assert_eq!(Mix::Fresh.behaviours(13, 7).len(), 13);
    assert_eq!(share(Mix::Honest, Behaviour::Honest), 1000);
    assert_eq!(share(Mix::Poisoned, Behaviour::Honest), 750);
    assert_eq!(share(Mix::PoisonedTenth, Behaviour::Honest), 900);
    let crawl = share(Mix::Crawl, Behaviour::Honest) + share(Mix::Crawl, Behaviour::Chatty);
    assert!((48..=50).contains(&crawl), "{crawl}");
    let fresh = share(Mix::Fresh, Behaviour::Honest) + share(Mix::Fresh, Behaviour::Chatty);
    assert!((178..=180).contains(&fresh), "{fresh}");
}

async fn ask(socket: &UdpSocket, to: SocketAddr, query: &str, args: Vec<(&str, Value)>) -> Value {
    let mut args = args;
    args.push(("id", Value::bytes([5; 20])));
    let query = Value::dict([
        ("a", Value::dict(args)),
        ("q", Value::bytes(query)),
        ("t", Value::bytes("tt")),
        ("y", Value::bytes("q")),
    ]);
    socket.send_to(&query.encode(), to).await.unwrap();
    let mut buffer = vec![0; 4096];
    let reply = timeout(Duration::from_secs(5), socket.recv_from(&mut buffer)).await;
    let (length, from) = reply.unwrap().unwrap();
    assert_eq!(from, to);
    Value::decode(&buffer[..length]).unwrap().0
}

#[tokio::test]
async fn a_lookup_in_the_dht_converges_on_the_announced_peer() {
    let swarm = Swarm::start(5);
    let dht = swarm.dht(100).await;
    let torrent = TestTorrent::v1(1, 1000);
    let peer: SocketAddr = "127.0.0.1:4711".parse().unwrap();
    dht.announce(&torrent, peer);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let infohash = || vec![("info_hash", Value::bytes(torrent.v1))];

    // The plain iterative lookup: always the closest one not yet asked, from one node on.
    let mut asked = BTreeSet::new();
    let mut candidates = BTreeSet::from([([0xff; 20], dht.bootstrap[0])]);
    let mut found = Vec::new();
    let mut closest = None;
    while found.is_empty() && asked.len() < 40 {
        let next = candidates
            .iter()
            .find(|(_, addr)| !asked.contains(addr))
            .copied();
        let Some((_, addr)) = next else { break };
        asked.insert(addr);
        let reply = ask(&socket, addr, "get_peers", infohash()).await;
        let reply = reply.get("r").unwrap();
        for node in reply.string("nodes").unwrap().chunks(26) {
            let distance: [u8; 20] = std::array::from_fn(|at| node[at] ^ torrent.v1[at]);
            candidates.insert((distance, wire::from_compact(&node[20..]).unwrap()));
        }
        found.extend(reply.list("values").unwrap_or_default().iter().cloned());
        closest = Some((addr, reply.string("token").unwrap().to_vec()));
    }
    assert_eq!(
        found,
        [Value::Bytes(wire::compact(peer))],
        "after {} nodes",
        asked.len()
    );

    let (addr, token) = closest.unwrap();
    let announce = |token: &[u8]| {
        let mut args = infohash();
        args.extend([("port", Value::Int(99)), ("token", Value::bytes(token))]);
        args
    };
    let refused = ask(&socket, addr, "announce_peer", announce(b"wrong")).await;
    assert_eq!(refused.list("e").unwrap()[0], Value::Int(203));
    assert_eq!((dht.announces(), dht.stored(&torrent).len()), (0, 1));
    ask(&socket, addr, "announce_peer", announce(&token)).await;
    assert_eq!(dht.announces(), 1);
    assert!(
        dht.stored(&torrent)
            .contains(&"127.0.0.1:99".parse().unwrap())
    );

    let target = vec![("target", Value::bytes([0; 20]))];
    let samples = ask(&socket, addr, "sample_infohashes", target).await;
    let samples = samples.get("r").unwrap();
    assert_eq!(samples.string("samples"), Some(&torrent.v1[..]));
    assert_eq!(samples.int("num"), Some(1));
    let pong = ask(&socket, addr, "ping", Vec::new()).await;
    assert_eq!(
        pong.get("r").and_then(|r| r.string("id")).map(<[u8]>::len),
        Some(20)
    );
    let unknown = ask(&socket, addr, "dance", Vec::new()).await;
    assert_eq!(unknown.list("e").unwrap()[0], Value::Int(204));
    assert_eq!(dht.queries(), asked.len() as u64 + 5);
}

#[tokio::test]
async fn an_http_tracker_lists_peers_or_refuses() {
    let swarm = Swarm::start(6);
    let tracker = swarm.http_tracker().await;
    let torrent = TestTorrent::v1(1, 1000);
    tracker.announce(&torrent, "127.0.0.1:258".parse().unwrap());
    tracker.announce(&torrent, "[::1]:259".parse().unwrap());
    let get = async |infohash: [u8; 20], more: &str| {
        let escaped = infohash.map(|byte| format!("%{byte:02x}")).concat();
        let addr = tracker
            .url
            .strip_prefix("http://")
            .unwrap()
            .strip_suffix("/announce")
            .unwrap();
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request =
            format!("GET /announce?info_hash={escaped}{more} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.unwrap();
        let body = reply.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        Value::decode(&reply[body..]).unwrap().0
    };
    let reply = get(torrent.v1, "&compact=1").await;
    assert_eq!(reply.string("peers"), Some(&[127, 0, 0, 1, 1, 2][..]));
    let mut v6 = [0; 18];
    v6[15..].copy_from_slice(&[1, 1, 3]);
    assert_eq!(reply.string("peers6"), Some(&v6[..]));
    let reply = get(torrent.v1, "&compact=0").await;
    assert_eq!(
        reply.list("peers").unwrap()[1].string("ip"),
        Some(&b"::1"[..])
    );
    assert_eq!(get([9; 20], "").await.string("peers"), Some(&b""[..]));
    tracker.refuse_unknown(true);
    assert!(get([9; 20], "").await.string("failure reason").is_some());
    assert_eq!(tracker.announces(&torrent), 2);
}

#[tokio::test]
async fn a_udp_tracker_wants_its_connection_id() {
    let swarm = Swarm::start(7);
    let tracker = swarm.udp_tracker().await;
    let torrent = TestTorrent::v1(1, 1000);
    tracker.announce(&torrent, "127.0.0.1:258".parse().unwrap());
    let addr = tracker
        .url
        .strip_prefix("udp://")
        .unwrap()
        .strip_suffix("/announce")
        .unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(addr).await.unwrap();
    let send = async |head: [u8; 8], action: u8, body: &[u8]| {
        let packet = [&head[..], &[0, 0, 0, action], b"tran", body].concat();
        socket.send(&packet).await.unwrap();
        let mut buffer = vec![0; 4096];
        let length = timeout(Duration::from_secs(5), socket.recv(&mut buffer)).await;
        buffer.truncate(length.unwrap().unwrap());
        assert_eq!(&buffer[4..8], b"tran");
        (buffer[3], buffer[8..].to_vec())
    };
    let (action, id) = send([0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80], 0, &[]).await;
    assert_eq!((action, id.len()), (0, 8));
    let id: [u8; 8] = id.try_into().unwrap();
    let announce = |infohash: [u8; 20]| [&infohash[..], &[0; 62]].concat();
    let (action, body) = send(id, 1, &announce(torrent.v1)).await;
    assert_eq!((action, &body[12..]), (1, &[127, 0, 0, 1, 1, 2][..]));
    assert_eq!(
        send([0; 8], 1, &announce(torrent.v1)).await.0,
        3,
        "wrong connection id"
    );
    assert_eq!(send(id, 1, &[0; 20]).await.0, 3, "too short");
    tracker.refuse_unknown(true);
    assert_eq!(
        send(id, 1, &announce([9; 20])).await.0,
        3,
        "unknown torrent"
    );
    assert_eq!(tracker.announces(&torrent), 1);
}
