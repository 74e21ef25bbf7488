//! The store as its callers see it: what is acknowledged is there, and each failure has its name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state what they expect by panicking, and so do the functions they share"
)]

#[path = "../databases/mod.rs"]
mod databases;

/// Makes one test for each database from a function that takes a [`Place`].
macro_rules! on_each_database {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $test() { super::$test(super::Place::sqlite()).await })+
        }
        mod mariadb {
            $(#[tokio::test] async fn $test() { super::$test(super::Place::mariadb()).await })+
        }
        mod postgres {
            $(#[tokio::test] async fn $test() { super::$test(super::Place::postgres()).await })+
        }
    };
}

mod contents;
mod journal;
mod migrating;
mod opening;
mod outage;
mod processes;
mod questions;
mod search;
mod server_outage;
mod servers;
mod sessions;
mod wanted;
mod writing;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use databases::{Database, Kind};
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, MysqlConnection, PgConnection, SqliteConnection};
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

/// An empty database of one kind.
enum Place {
    Sqlite(
        #[allow(dead_code, reason = "removed when dropped")] TempDir,
        PathBuf,
    ),
    Server(Database),
}

/// Holds what a writer needs, until it is dropped.
#[allow(dead_code, reason = "they are held")]
enum Lock {
    Sqlite(SqliteConnection),
    Mysql(MysqlConnection),
    Postgres(PgConnection),
}

impl Place {
    fn sqlite() -> Self {
        let (directory, path) = directory();
        Self::Sqlite(directory, path)
    }

    fn mariadb() -> Self {
        Self::Server(Database::new(Kind::Mariadb))
    }

    fn postgres() -> Self {
        Self::Server(Database::new(Kind::Postgres))
    }

    fn url(&self) -> StoreUrl {
        match self {
            Self::Sqlite(_, path) => StoreUrl::Sqlite(path.clone()),
            Self::Server(database) => database.url().parse().unwrap(),
        }
    }

    fn open(&self) -> Result<Store, StoreError> {
        self.open_with(&impatient())
    }

    fn open_with(&self, options: &StoreOptions) -> Result<Store, StoreError> {
        Store::open_with(&self.url(), options)
    }

    /// Runs statements in the database, as another process does.
    fn run(&self, sql: &str) {
        match self {
            Self::Sqlite(_, path) => raw(path).batch_execute(sql).unwrap(),
            Self::Server(database) => database.run(sql),
        }
    }

    /// As another process that writes.
    fn lock(&self) -> Lock {
        match self {
            Self::Sqlite(_, path) => {
                let mut other = raw(path);
                other.batch_execute("BEGIN IMMEDIATE").unwrap();
                Lock::Sqlite(other)
            }
            Self::Server(database) => match database.server.kind {
                Kind::Mariadb => {
                    let mut other = MysqlConnection::establish(&database.diesel_url()).unwrap();
                    other
                        .batch_execute(
                            "START TRANSACTION; \
                             SELECT version FROM __diesel_schema_migrations FOR UPDATE",
                        )
                        .unwrap();
                    Lock::Mysql(other)
                }
                Kind::Postgres => {
                    let mut other = PgConnection::establish(&database.diesel_url()).unwrap();
                    other
                        .batch_execute("SELECT pg_advisory_lock(7882834684460495971)")
                        .unwrap();
                    Lock::Postgres(other)
                }
            },
        }
    }
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
