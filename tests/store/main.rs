//! The store as its callers see it: what is acknowledged is there, and each failure has its name.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests state what they expect by panicking, and so do the functions they share"
)]

mod contents;
mod journal;
mod opening;
mod outage;
mod processes;
mod writing;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use futures_util::future::join_all;
use metafetch::history::{Attempt, PastAttempt};
use metafetch::store::{
    Counts, FailedTorrent, Record, RecordResult, ResolvedTorrent, Store, StoreError, StoreHealth,
    StoreOptions, StoreUrl,
};
use metafetch::torrent::{Arm, Infohash, PeerAddr, PeerSource, Phase, Reason, Transport, Way};
use tempfile::TempDir;

fn impatient() -> StoreOptions {
    StoreOptions {
        busy_timeout: Duration::from_millis(100),
        retry_for: Duration::from_millis(100),
        ..StoreOptions::default()
    }
}

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metafetch.db");
    (directory, path)
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open_with(&StoreUrl::Sqlite(path.to_owned()), &impatient())
}

fn error(path: &Path) -> StoreError {
    open(path).expect_err("this must not open")
}

/// A connection beside the store, as another process has it.
fn raw(path: &Path) -> SqliteConnection {
    SqliteConnection::establish(path.to_str().unwrap()).unwrap()
}

fn hash(number: u32) -> Infohash {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Infohash::V1(bytes)
}

fn peer(number: u32) -> PeerAddr {
    PeerAddr::new(std::net::Ipv4Addr::from(0x0100_0000 + number).into(), 6881)
}

fn attempt(peer: PeerAddr, started_at_ms: i64, outcome: Option<Reason>) -> Attempt {
    Attempt {
        way: Way::plain(Arm::Direct),
        peer,
        source: PeerSource::Dht,
        started_at_ms,
        duration: Duration::from_millis(120),
        phase: Phase::Transfer,
        outcome,
        connect_time: Some(Duration::from_millis(30)),
        detail: "as it came".to_owned(),
        why: "it was there".to_owned(),
        metadata_size: Some(30_000),
        client: Some("a client 1.0".to_owned()),
    }
}

fn torrent(infohash: Infohash) -> ResolvedTorrent {
    ResolvedTorrent {
        infohash,
        infohash_v2: None,
        name: "a name".to_owned(),
        size: 10_000,
        piece_length: 16_384,
        pieces_count: 1,
        private: false,
        source: String::new(),
        info: vec![b'x'; 500],
        trackers: vec!["udp://tracker.example:1".to_owned()],
        files: (0..10)
            .map(|n| (format!("folder/file {n}"), 1_000))
            .collect(),
        arm: "direct".to_owned(),
        peer: Some(peer(1)),
    }
}

fn resolved(number: u32) -> Record {
    Record {
        infohash: hash(number),
        result: RecordResult::Resolved(Box::new(torrent(hash(number)))),
        attempts: vec![
            attempt(peer(number), 1_000, Some(Reason::Rejected)),
            attempt(peer(number + 1), 1_100, Some(Reason::Closed)),
            attempt(peer(number + 2), 1_200, None),
        ],
        tracker_replies: Vec::new(),
        at_ms: 2_000,
    }
}

fn named(number: u32, name: &str) -> Record {
    let torrent = ResolvedTorrent {
        name: name.to_owned(),
        ..torrent(hash(number))
    };
    Record {
        result: RecordResult::Resolved(Box::new(torrent)),
        ..resolved(number)
    }
}

fn failed(infohash: Infohash, failures: u32, at_ms: i64) -> Record {
    Record {
        infohash,
        result: RecordResult::Failed(FailedTorrent {
            reason: Reason::TransferTimeout,
            phase: Phase::Transfer,
            detail: "3 of 4 pieces, then silence".to_owned(),
            failures,
            failed_at_ms: at_ms,
            retry_at_ms: at_ms + 600_000,
        }),
        attempts: Vec::new(),
        tracker_replies: Vec::new(),
        at_ms,
    }
}
