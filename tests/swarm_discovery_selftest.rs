//! The swarm's trackers, driven with raw sockets, and its torrents and mixes: what the
//! black-box tests rely on has to be so.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test client: a fault here is to fail the test"
)]

mod swarm;

use std::collections::HashSet;
use std::time::Duration;

use swarm::wire::Value;
use swarm::{Behaviour, Invalid, Mix, Swarm, TestTorrent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

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
