//! `metafetch failed`, `block`, `peers`, `search` and `stats`: the binary, as an operator runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

#[path = "../resolve/command.rs"]
mod command;
#[path = "../swarm/mod.rs"]
mod swarm;

mod block;
mod cooldown;
mod failed;
mod peers;
mod search;
mod stats;

use std::path::{Path, PathBuf};
use std::time::Duration;

use metafetch::history::Attempt;
use metafetch::store::{FailedTorrent, Record, RecordResult, Store, StoreUrl};
use metafetch::torrent::{Arm, Infohash, PeerAddr, PeerSource, Phase, Reason, Way};
use tempfile::TempDir;

use command::{Run, metafetch, run};

fn home() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("metafetch.db");
    (home, store)
}

/// Runs `metafetch` with this store and these arguments.
async fn command(store: &Path, args: &[&str]) -> Run {
    run(&mut metafetch(store, args)).await
}

/// What it printed; it must have ended well.
async fn stdout(store: &Path, args: &[&str]) -> String {
    let run = command(store, args).await;
    assert_eq!(run.code, 0, "{run:#?}");
    run.stdout
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

const MINUTE_MS: i64 = 60_000;

fn hash(number: u8) -> Infohash {
    Infohash::V1([number; 20])
}

/// A failure whose cooldown ends so many milliseconds from now.
fn failed(infohash: Infohash, reason: Reason, left_ms: i64) -> Record {
    Record {
        infohash,
        result: RecordResult::Failed(FailedTorrent {
            reason,
            phase: Phase::Lookup,
            detail: "asked everybody, and \x1b[31mnobody knew".to_owned(),
            failures: 2,
            failed_at_ms: now_ms() - 30 * MINUTE_MS,
            retry_at_ms: now_ms().saturating_add(left_ms),
        }),
        attempts: Vec::new(),
        tracker_replies: Vec::new(),
        at_ms: now_ms(),
    }
}

fn attempt(peer: &str, outcome: Option<Reason>, phase: Phase, ago_ms: i64) -> Attempt {
    Attempt {
        way: Way::plain(Arm::Direct),
        peer: peer.parse::<PeerAddr>().unwrap(),
        source: PeerSource::Dht,
        started_at_ms: now_ms() - ago_ms,
        duration: Duration::from_millis(120),
        connect_time: (phase > Phase::Connect).then_some(Duration::from_millis(30)),
        phase,
        outcome,
        detail: "as it went".to_owned(),
        why: "it was there".to_owned(),
        metadata_size: None,
        client: (phase > Phase::Connect).then(|| "qBittorrent/5.0.1".to_owned()),
    }
}

fn attempts(infohash: Infohash, attempts: Vec<Attempt>) -> Record {
    Record {
        infohash,
        result: RecordResult::AttemptsOnly,
        attempts,
        tracker_replies: Vec::new(),
        at_ms: now_ms(),
    }
}

async fn fill(store: &Path, records: Vec<Record>) {
    let store = Store::open(&StoreUrl::Sqlite(store.to_owned())).unwrap();
    for record in records {
        store.record(record).await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn where_there_is_no_database_none_is_made() {
    let (_home, store) = home();
    let hash = hash(1).to_string();
    for args in [
        &["failed", "list"][..],
        &["failed", "clear", "--all"],
        &["block", "list"],
        &["block", "check", &hash],
        &["peers", "best"],
        &["search"],
        &["stats"],
    ] {
        let run = command(&store, args).await;
        assert_eq!(run.code, 1, "{run:#?}");
        assert!(run.stderr.contains("there is no database"), "{run:#?}");
        assert!(!store.exists());
    }
    let none = command(Path::new("none"), &["stats"]).await;
    assert_eq!(none.code, 2, "{none:#?}");
}

#[tokio::test]
async fn tables_fit_the_terminal_and_stdout_may_go_away() {
    let (_home, store) = home();
    let peer = |n: u8| attempt(&format!("203.0.113.{n}:6881"), None, Phase::Verify, 1_000);
    fill(
        &store,
        vec![
            failed(hash(1), Reason::NoPeers, MINUTE_MS),
            failed(
                Infohash::V2([2; 32]),
                Reason::NoExtensionProtocol,
                MINUTE_MS,
            ),
            attempts(hash(1), (1..50).map(peer).collect()),
        ],
    )
    .await;
    for args in [
        &["failed", "list"][..],
        &["peers", "best"],
        &["peers", "clients"],
        &["peers", "networks"],
        &["peers", "show", "203.0.113.1"],
        &["stats"],
    ] {
        for (columns, width) in [(None, 80), (Some("100"), 100), (Some("x"), 80)] {
            let mut metafetch = metafetch(&store, args);
            metafetch.envs(columns.map(|columns| ("COLUMNS", columns)));
            let run = run(&mut metafetch).await;
            assert_eq!(run.code, 0, "{run:#?}");
            let widest = run.stdout.lines().map(|line| line.chars().count()).max();
            // A v2 hash, which is not cut, leaves little for the other columns.
            let allowed = if args[0] == "failed" {
                width.max(104)
            } else {
                width
            };
            assert!(
                widest.unwrap() <= allowed,
                "{args:?} {widest:?}\n{}",
                run.stdout
            );
            assert!(!run.stdout.contains('\x1b'), "{}", run.stdout);
        }
    }
    let mut gone = metafetch(&store, &["peers", "best", "--json"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let gone = gone.stdout(writer).spawn().unwrap();
    let gone = gone.wait_with_output().await.unwrap();
    let said = String::from_utf8(gone.stderr).unwrap();
    assert_eq!((gone.status.code(), said.as_str()), (Some(1), ""));
}
