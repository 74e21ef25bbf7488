//! `db import-legacy`, from a private MariaDB server with the tables of the old crawler.

use std::fmt::Write as _;

use metafetch::torrent::Infohash;

use crate::databases::{Database, Kind};
use crate::fixture::{Home, resolved, rows};

/// An empty database for the old crawler's tables.
pub(crate) struct Mariadb(Database);

impl Mariadb {
    pub(crate) fn start() -> Self {
        let database = Database::new(Kind::Mariadb);
        database.run(&format!(
            "ALTER DATABASE {} CHARACTER SET utf8mb4",
            database.name
        ));
        Self(database)
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    /// Runs statements, each ended by a line with nothing but `;`.
    pub(crate) fn run(&self, sql: &str) {
        let statements = sql
            .split("\n;")
            .filter(|statement| !statement.trim().is_empty());
        statements.for_each(|statement| self.0.run(statement));
    }

    /// How many torrents pass.
    pub(crate) fn count(&self, condition: &str) -> i64 {
        use diesel::prelude::*;
        let mut connection = MysqlConnection::establish(&self.0.diesel_url()).unwrap();
        let count = format!("(SELECT COUNT(*) FROM discovered_torrents WHERE {condition})");
        let count = diesel::dsl::sql::<diesel::sql_types::BigInt>(&count);
        diesel::select(count).get_result(&mut connection).unwrap()
    }
}

/// Torrents of every kind, the id of each its hash; two thirds of `peers` peers are seen twice.
fn fill(mariadb: &Mariadb, torrents: u32, peers: u32) {
    mariadb.run(include_str!("legacy.sql"));
    let mut sql = "SET time_zone = '+00:00'".to_owned();
    for id in 1..=torrents {
        let _ = write!(
            sql,
            "\n;INSERT INTO discovered_torrents (info_hash, name, size, num_files, trackers, source,
                 metadata_received, comment, discovered_at, last_seen_at)
             VALUES ('{id:040X}', 'näme {id}', {id}, 2, '[]', 'METADATA_ONLY', 1, 'said',
                 '2025-01-02 03:04:05', '2025-02-03 04:05:06')"
        );
    }
    for id in 0..peers {
        let _ = write!(
            sql,
            "\n;INSERT INTO discovered_peers (torrent_hash, peer_address, peer_port, client_name,
                 client_version, discovered_at, last_seen_at)
             VALUES ('{:040x}', '1.2.{}.{}', 6881, 'qBittorrent', '4.5', '2025-01-01 00:00:00',
                 '2025-01-0{} 00:00:00')",
            id % torrents + 1,
            id / 3 / 250,
            id / 3 % 250,
            id % 3 + 1,
        );
    }
    mariadb.run(&sql);
}

/// A hybrid, and rows that can't be taken.
fn add_odd_rows(mariadb: &Mariadb) {
    let hybrid = format!(
        "magnet:?xt=urn:btih:{}&xt=urn:btmh:1220{}",
        "c".repeat(40),
        "d".repeat(64)
    );
    mariadb.run(&format!(
        "INSERT INTO discovered_torrents (info_hash, name, discovered_at, last_seen_at, magnet_link,
             announce_url, size, num_files, private_torrent)
         VALUES ('{d}', 'DHT Item', NULL, NULL, '{hybrid}', 'udp://t.example:1', -1, NULL, NULL),
             ('too short', 'x', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
             ('YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
\n;INSERT INTO torrent_files (torrent_hash, file_index, file_path, file_size) VALUES
             ('{one}', 0, 'ä/b', 5), ('{one}', 1, 'c', 6), ('{gone}', 0, 'x', 1), ('{d}', 0, 'd', 7),
             ('{one}', -1, 'x', 1)
\n;INSERT INTO discovered_peers (torrent_hash, peer_address, peer_port) VALUES
             ('{one}', '2a00:', 5), ('{one}', '9.9.9.9', 99999), ('{one}', '2a00::1', 5)",
        d = "d".repeat(40),
        one = format!("{:040x}", 1),
        gone = "e".repeat(40),
    ));
}

#[test]
fn everything_is_taken_or_counted_and_again_changes_nothing() {
    let mariadb = Mariadb::start();
    fill(&mariadb, 1_200, 900);
    add_odd_rows(&mariadb);
    let home = Home::new();
    home.record(vec![resolved(1, 5_000)]);
    let url = mariadb.url();

    let dry = home.done(&["import-legacy", "--dry-run", &url]);
    assert!(
        dry.stdout
            .contains("1203 rows, 0 read before, 1202 added, 0 merged, 1 rejected"),
        "{dry:#?}"
    );
    let empty = home.done(&["export", "--table", "torrent_metadata"]);
    assert_eq!(rows(&empty.stdout).len(), 1);

    let first = home.done(&["import-legacy", &url]);
    for line in [
        "discovered_torrents: 1203 rows, 0 read before, 1202 added, 0 merged, 1 rejected",
        "torrent_files: 5 rows, 0 read before, 3 added, 0 merged, 2 rejected",
        "discovered_peers: 903 rows, 0 read before, 301 added, 600 merged, 2 rejected",
        "  1 rejected: there is no torrent of this hash",
        "  1 rejected: the address is no IP address",
    ] {
        assert!(first.stdout.contains(line), "{line}: {first:#?}");
    }
    assert!(
        first
            .stderr
            .contains("left out discovered_torrents id 1202: "),
        "{first:#?}"
    );
    let check = home.done(&["check"]);
    assert!(check.stdout.contains("checked 1203 torrents"), "{check:#?}");
    home.with_store(async |store| {
        let counts = store.counts().await.unwrap();
        assert_eq!(
            (counts.torrents, counts.pending, counts.peers),
            (1, 1_202, 303)
        );
        let one: Infohash = format!("{:040x}", 1).parse().unwrap();
        assert_eq!(store.torrent(&one).await, Ok(None), "it has no dictionary");
        let files = store.files(&one).await.unwrap();
        assert_eq!(files, [("ä/b".to_owned(), 5), ("c".to_owned(), 6)]);
        let by_v2: Infohash = "d".repeat(64).parse().unwrap();
        assert_eq!(store.files(&by_v2).await.unwrap(), [("d".to_owned(), 7)]);
        let peer = "1.2.0.0:6881".parse().unwrap();
        let state = &store.peer_states(&[peer]).await.unwrap()[&peer];
        assert_eq!((state.attempts, state.deliveries), (0, 0));
        assert_eq!(state.client.as_deref(), Some("qBittorrent 4.5"));
        assert_eq!(state.first_seen_at_ms, 1_735_689_600_000);
        assert_eq!(state.last_seen_at_ms, 1_735_862_400_000);
    });
    let exported = home.done(&["export"]).stdout;
    let line = exported
        .lines()
        .find(|line| line.contains("näme 7\""))
        .unwrap();
    for says in [
        "\"discovered_at\":1735787045000",
        "\"last_seen_at\":1738555506000",
        "\"size\":7",
        "\"files_count\":2",
        "\"comment\":\"said\"",
        "\"validation_status\":\"pending\"",
    ] {
        assert!(line.contains(says), "{says}: {line}");
    }

    let again = home.done(&["import-legacy", &url]);
    assert!(
        again.stdout.contains("1203 read before, 0 added, 0 merged"),
        "{again:#?}"
    );
    let restarted = home.done(&["import-legacy", "--restart", &url]);
    assert!(
        restarted
            .stdout
            .contains("0 read before, 0 added, 1202 merged"),
        "{restarted:#?}"
    );
    assert_eq!(rows(&home.done(&["export"]).stdout), rows(&exported));

    // What is gone from the old tables is not overlooked.
    mariadb.run("DELETE FROM discovered_torrents WHERE info_hash = 'too short'");
    let less = home.run(&["import-legacy", &url]);
    assert_eq!(less.code, 1, "{less:#?}");
    assert!(
        less.stderr
            .contains("discovered_torrents has 1202 rows, and 1203 were read"),
        "{less:#?}"
    );
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_ended() {
    let mariadb = Mariadb::start();
    fill(&mariadb, 3_000, 300);
    let home = Home::new();
    home.done(&["migrate"]);
    let url = mariadb.url();
    let mut child = home.command(&["import-legacy", &url]).spawn().unwrap();
    let pending = || home.with_store(async |store| store.counts().await.unwrap().pending);
    while pending() == 0 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = pending();
    assert_eq!(before % 500, 0, "a batch is there whole, or not at all");
    let rest = home.done(&["import-legacy", &url]);
    let line = format!(
        "3000 rows, {before} read before, {} added, 0 merged",
        3_000 - before
    );
    assert!(rest.stdout.contains(&line), "{line}: {rest:#?}");
    assert_eq!(pending(), 3_000);
}

#[test]
fn what_is_no_old_database_is_said_without_a_password() {
    let mariadb = Mariadb::start();
    let home = Home::new();
    let empty = home.run(&["import-legacy", &mariadb.url()]);
    assert_eq!(empty.code, 2, "{empty:#?}");
    assert!(
        empty.stderr.contains("no table discovered_torrents"),
        "{empty:#?}"
    );
    for url in [
        "mysql://me:secret@127.0.0.1:1/old",
        "postgres://me:secret@127.0.0.1:1/old",
    ] {
        let run = home.run(&["import-legacy", url]);
        assert_ne!(run.code, 0, "{run:#?}");
        assert!(!run.stderr.contains("secret"), "{run:#?}");
    }
}
