//! Peers that accept, and never say anything.
//!
//! In full size, with its memory and its timers, by `scripts/bench hostile silent`.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use metafetch::direct::{Attempt, Direct, Limits, Progress, Request, Settings};
use metafetch::torrent::{Infohash, Reason};

use crate::swarm::{Behaviour, Swarm, TestTorrent};

const SILENT: usize = 400;
const CONNECTIONS: usize = SILENT + 20;

async fn fetch(direct: &Direct, torrent: &TestTorrent, peer: std::net::SocketAddr) -> Attempt {
    let infohash: Infohash = torrent.hex().parse().unwrap();
    let request = Request {
        peer: peer.into(),
        connect_timeout: Duration::from_secs(10),
        encrypted: false,
    };
    direct.fetch(&infohash, request, &Progress::default()).await
}

fn direct(handshake_timeout: Duration) -> Direct {
    Direct::new(Settings {
        handshake_timeout,
        limits: Limits {
            connections: CONNECTIONS,
            ..Limits::default()
        },
        ..Settings::default()
    })
}

#[tokio::test]
async fn others_are_served_while_hundreds_stay_silent() {
    let swarm = Swarm::start(92);
    let torrent = TestTorrent::v1(9_200, 30_000);
    let held = std::slice::from_ref(&torrent);
    let silent = swarm.peer(Behaviour::Silent, held).await;
    let good = swarm.peer(Behaviour::Honest, held).await;
    // Nobody's deadline ends this test.
    let direct = direct(Duration::from_secs(600));
    let mut waiting: FuturesUnordered<_> = (0..SILENT)
        .map(|_| fetch(&direct, &torrent, silent))
        .collect();
    let others = async {
        while swarm.counters(silent).connections < SILENT as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..50 {
            let attempt = fetch(&direct, &torrent, good).await;
            assert!(attempt.result.is_ok_and(|bytes| bytes == torrent.info[..]));
        }
    };
    tokio::select! {
        () = others => {}
        Some(attempt) = waiting.next() => panic!("a silent peer has ended: {attempt:?}"),
    }
    assert_eq!(direct.free_slots(), CONNECTIONS - SILENT);
    drop(waiting);
    assert_eq!(
        direct.free_slots(),
        CONNECTIONS,
        "each gives its connection back"
    );
}

#[tokio::test]
async fn each_silent_peer_ends_by_its_deadline() {
    let swarm = Swarm::start(93);
    let torrent = TestTorrent::v1(9_300, 30_000);
    let silent = swarm
        .peer(Behaviour::Silent, std::slice::from_ref(&torrent))
        .await;
    let direct = direct(Duration::from_millis(500));
    let mut waiting: FuturesUnordered<_> = (0..SILENT)
        .map(|_| fetch(&direct, &torrent, silent))
        .collect();
    while let Some(attempt) = waiting.next().await {
        assert_eq!(attempt.result.unwrap_err().reason, Reason::HandshakeTimeout);
    }
    assert_eq!(direct.free_slots(), CONNECTIONS);
}
