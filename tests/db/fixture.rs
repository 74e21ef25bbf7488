//! A database with some of everything, and the command that is run on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use metafetch::history::Attempt;
use metafetch::store::{FailedTorrent, Record, RecordResult, ResolvedTorrent, Store, StoreUrl};
use metafetch::torrent::{
    Arm, Info, Infohash, MetaVersion, PeerAddr, PeerSource, Phase, Reason, Way,
};
use tempfile::TempDir;

/// A day, in milliseconds.
pub(crate) const DAY: i64 = 24 * 3600 * 1000;

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A directory of a test, with a database in it.
pub(crate) struct Home {
    pub(crate) directory: TempDir,
}

impl Home {
    /// With no database yet.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("metafetch.db")
    }

    /// `metafetch db` with these arguments, on this home's database.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        on(&self.store(), args)
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.command(args).output().unwrap().into()
    }

    /// A run that must end well.
    pub(crate) fn done(&self, args: &[&str]) -> Run {
        let run = self.run(args);
        assert_eq!(run.code, 0, "{args:?}: {run:#?}");
        run
    }

    /// Runs SQL beside the program.
    pub(crate) fn sql(&self, sql: &str) {
        let path = self.store();
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        connection.batch_execute(sql).unwrap();
    }

    /// Stores records.
    pub(crate) fn record(&self, records: Vec<Record>) {
        self.with_store(async |store| {
            let writing = records.into_iter().map(|record| store.record(record));
            for written in futures_util::future::join_all(writing).await {
                written.unwrap();
            }
        });
    }

    /// Opens the store for some work.
    pub(crate) fn with_store<T>(&self, work: impl AsyncFnOnce(&Store) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let store = Store::open(&StoreUrl::Sqlite(self.store())).unwrap();
            let done = work(&store).await;
            store.close().await;
            done
        })
    }

    /// A database with `count` torrents, attempts of two ages, and some of every other table.
    pub(crate) fn filled(count: u32, now_ms: i64) -> Self {
        let home = Self::new();
        home.record((0..count).map(|number| resolved(number, now_ms)).collect());
        home.record(vec![failed(1_000_000, now_ms)]);
        home.sql(&format!(
            "INSERT INTO tracker_state VALUES ('udp://t.example:1', 1, {now_ms}, 2, 3, 2, 1, 50, 0.1, 'é');
             INSERT INTO dht_node_state VALUES
                 ('1.2.3.4', 6881, x'{id}', 1, {now_ms}, 5, 4, 0, 33.25, 1, 9);
             INSERT INTO crawl_session VALUES
                 ('a', 'crawl', {now_ms}, NULL, 'running', 1, 0, 0, 0, 0, 0, NULL,
                  {now_ms}, 1, 2, 1, 3, 2, 1, 60, 1, 250, 1, 'é');
             INSERT INTO wanted_torrent VALUES (x'{id}', NULL, 'api', -3, '[\"udp://w.example:1\"]', '[\"1.2.3.4:5\"]', 8);
             INSERT INTO blocked_salt VALUES (x'00ff');
             INSERT INTO blocked_infohash VALUES (x'{id}', x'', 'a list', 7);
             INSERT INTO torrent_metadata (infohash, name, size, piece_length, pieces_count,
                 files_count, private, metadata_size, trackers, source, arm, discovered_at,
                 last_seen_at, resolved_at, info, validation_status, comment, created_by, encoding)
                 VALUES (x'{id}', 'only a name', 9, 0, 0, 2, 0, 0, '[\"udp://old.example:1\"]', '',
                 'legacy', 5, 6, 0, x'', 'pending', 'a comment', 'someone', 'UTF-8');
             INSERT INTO torrent_file SELECT id, 0, 'a/b', 4 FROM torrent_metadata WHERE infohash = x'{id}';
             INSERT INTO torrent_file SELECT id, 1, 'c', 5 FROM torrent_metadata WHERE infohash = x'{id}';",
            id = "ab".repeat(20),
        ));
        home
    }
}

/// `metafetch db` with these arguments on this database.
pub(crate) fn on(store: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metafetch"));
    command.arg("db").args(args).arg("--store").arg(store);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The dictionary of a torrent with two files.
pub(crate) fn dictionary(number: u32) -> Vec<u8> {
    let mut raw = format!(
        "d5:filesld6:lengthi{}e4:pathl3:dir1:aeed6:lengthi7e4:pathl1:beee4:name{}:torrent {number:06}\
         12:piece lengthi16384e6:pieces20:",
        number + 1,
        14
    )
    .into_bytes();
    raw.extend_from_slice(&[number.to_be_bytes()[3]; 20]);
    raw.push(b'e');
    raw
}

pub(crate) fn hash(number: u32) -> Infohash {
    Infohash::of(&dictionary(number), MetaVersion::V1)
}

pub(crate) fn peer(number: u32) -> PeerAddr {
    PeerAddr::new(std::net::Ipv4Addr::from(0x0100_0000 + number).into(), 6881)
}

pub(crate) fn attempt(peer: PeerAddr, started_at_ms: i64, outcome: Option<Reason>) -> Attempt {
    Attempt {
        way: Way::plain(Arm::Direct),
        peer,
        source: PeerSource::Dht,
        started_at_ms,
        duration: Duration::from_millis(120),
        phase: Phase::Transfer,
        outcome,
        connect_time: Some(Duration::from_millis(30)),
        detail: "as it \"came\"\n".to_owned(),
        why: "it was there".to_owned(),
        metadata_size: Some(30_000),
        client: Some("a client 1.0".to_owned()),
    }
}

/// A torrent with an attempt from a hundred days ago that failed, and one of today that delivered.
pub(crate) fn resolved(number: u32, now_ms: i64) -> Record {
    let raw = dictionary(number);
    let info = Info::parse(&raw).unwrap();
    Record {
        infohash: hash(number),
        result: RecordResult::Resolved(Box::new(ResolvedTorrent {
            infohash: hash(number),
            infohash_v2: None,
            name: info.name.clone(),
            size: info.size,
            piece_length: info.piece_length,
            pieces_count: info.pieces,
            private: info.private,
            source: String::new(),
            trackers: vec!["udp://tracker.example:1/\"x\"".to_owned()],
            files: info
                .files
                .iter()
                .map(|file| (file.path.join("/"), file.length))
                .collect(),
            arm: "direct".to_owned(),
            peer: Some(peer(number)),
            info: raw,
        })),
        attempts: vec![
            attempt(
                peer(1_000_000 + number),
                now_ms - 100 * DAY,
                Some(Reason::Rejected),
            ),
            attempt(peer(number), now_ms, None),
        ],
        tracker_replies: Vec::new(),
        at_ms: now_ms,
    }
}

pub(crate) fn failed(number: u32, now_ms: i64) -> Record {
    Record {
        infohash: hash(number),
        result: RecordResult::Failed(FailedTorrent {
            reason: Reason::TransferTimeout,
            phase: Phase::Transfer,
            detail: "3 of 4 pieces, then silence".to_owned(),
            failures: 2,
            failed_at_ms: now_ms,
            retry_at_ms: now_ms + 600_000,
        }),
        attempts: Vec::new(),
        tracker_replies: Vec::new(),
        at_ms: now_ms,
    }
}

/// Now: UTC, milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

/// The lines of an export without its header, sorted.
pub(crate) fn rows(text: &str) -> Vec<String> {
    let mut rows: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    rows.sort();
    rows
}
