//! The arm against real sockets on 127.0.0.1.

mod dht;
mod fake_dht;
mod fake_peer;
mod fetching;
mod sessions;

use std::time::{Duration, Instant};

use super::{Fetch, FetchEvent, FetchRequest, Libtorrent, Settings};
use crate::torrent::{Arm, Infohash, PeerAddr, PeerSource, Reason, Way};
use sha1::{Digest as _, Sha1};

/// As many bytes: to the arm, an info dictionary is no more than its hash.
fn info(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

fn v1(info: &[u8]) -> Infohash {
    Infohash::V1(Sha1::digest(info).into())
}

/// Short deadlines, so that tests of silence end soon.
fn settings() -> Settings {
    Settings {
        connect_timeout: Duration::from_millis(900),
        handshake_timeout: Duration::from_millis(900),
        extension_timeout: Duration::from_millis(900),
        // Three rounds of rejects take three seconds.
        first_block_timeout: Duration::from_secs(6),
        transfer_timeout: Duration::from_millis(1500),
        ..Settings::loopback()
    }
}

fn request(infohash: Infohash, peers: &[PeerAddr]) -> FetchRequest {
    FetchRequest {
        infohash,
        trackers: Vec::new(),
        peers: peers
            .iter()
            .map(|addr| (*addr, Way::plain(Arm::Libtorrent)))
            .collect(),
        lookup_only: false,
    }
}

/// A port of 127.0.0.1 that refuses connections.
fn refusing() -> PeerAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().into()
}

/// What came of a fetch: the bytes, or the last failures in order.
struct Outcome {
    metadata: Option<(PeerAddr, Vec<u8>)>,
    failures: Vec<(PeerAddr, Reason)>,
    elapsed: Duration,
}

/// Follows a fetch until it has metadata or is exhausted.
async fn follow(fetch: &mut Fetch) -> Outcome {
    let began = Instant::now();
    let mut outcome = Outcome {
        metadata: None,
        failures: Vec::new(),
        elapsed: Duration::ZERO,
    };
    let all = async {
        while let Some(event) = fetch.next().await {
            match event {
                FetchEvent::Metadata { addr, bytes, .. } => {
                    outcome.metadata = Some((addr, bytes));
                    break;
                }
                FetchEvent::Exhausted => break,
                FetchEvent::PeerFailed {
                    addr,
                    failure,
                    last: true,
                    ..
                } => outcome.failures.push((addr, failure.reason)),
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .expect("neither metadata nor exhausted in 20 s");
    outcome.elapsed = began.elapsed();
    outcome
}

/// Waits until the arm says that this holds.
async fn until(arm: &Libtorrent, what: impl Fn(&super::Health) -> bool) {
    let all = async {
        while !what(&arm.health()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all)
        .await
        .unwrap_or_else(|_| panic!("in vain: {:?}", arm.health()));
}
