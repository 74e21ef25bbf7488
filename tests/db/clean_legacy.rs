//! `db clean-legacy`, on a private MariaDB server with the tables of the old crawler.

use std::fmt::Write as _;
use std::fs;

use crate::fixture::Home;
use crate::legacy::Mariadb;

/// Rows of every kind; those with an odd id from 1 to 3999 are dead.
fn fill(mariadb: &Mariadb) {
    mariadb.run(include_str!("legacy.sql"));
    let mut sql =
        "INSERT INTO discovered_torrents (id, info_hash, name, source, timed_out, last_seen_at, \
         updated_at) VALUES "
            .to_owned();
    for id in 1..=4_000 {
        let comma = if id == 1 { "" } else { ", " };
        let timed_out = id % 2;
        let _ = write!(
            sql,
            "{comma}({id}, '{id:040x}', 'DHT Item', 'DHT_ITEM', {timed_out}, '2025-01-01', '2025-01-02')"
        );
    }
    mariadb.run(&sql);
    let hash = |id: u32| format!("{id:040x}");
    // Each but for one thing dead.
    for (id, set) in [
        (5_001, "source = 'DHT_ANNOUNCE'"),
        (5_002, "timed_out = 0"),
        (5_003, "timed_out = NULL"),
        (5_004, "metadata_received = 1"),
        (5_005, "num_files = 2"),
        (5_006, "name = 'a film'"),
        (5_007, "last_seen_at = '2025-01-03'"),
        (5_008, "last_seen_at = '2025-01-02'"),
        (5_009, "last_seen_at = NULL"),
        (5_010, "source = NULL"),
        (5_011, "id = 5011"),
        (5_012, "id = 5012"),
        (5_013, "metadata_received = 1, num_files = 2"),
    ] {
        mariadb.run(&format!(
            "INSERT INTO discovered_torrents (id, info_hash, name, source, timed_out, last_seen_at, updated_at) \
             VALUES ({id}, '{}', 'DHT Item', 'DHT_ITEM', 1, '2025-01-01', '2025-01-02')",
            hash(id)
        ));
        mariadb.run(&format!(
            "UPDATE discovered_torrents SET updated_at = '2025-01-02', {set} WHERE id = {id}"
        ));
    }
    mariadb.run(&format!(
        "INSERT INTO discovered_peers (torrent_hash, peer_address, peer_port) VALUES ('{}', '1.2.3.4', 5)",
        hash(5_011)
    ));
    mariadb.run(&format!(
        "INSERT INTO torrent_files (torrent_hash, file_index, file_path, file_size) VALUES ('{}', 0, 'a', 5)",
        hash(5_012)
    ));
    mariadb.run(&format!(
        "INSERT INTO discovered_torrents (id, info_hash, source) VALUES (6001, 'no hash', 'MANUAL'), \
         (6002, '{}', 'MANUAL'), (6003, '{}', 'MANUAL'), (6004, '{:040x}', 'MANUAL')",
        "a".repeat(32),
        "AB".repeat(20),
        0,
    ));
}

#[test]
fn rows_are_counted_and_only_the_dead_go_and_only_when_told() {
    let mariadb = Mariadb::start();
    fill(&mariadb);
    let home = Home::new();
    let url = mariadb.url();
    let counted = home.done(&["clean-legacy", &url]);
    for (count, what) in [
        (4_017, "rows of discovered_torrents"),
        (1, "with their metadata"),
        (2_000, "provably dead"),
        (1, "whose hash is none"),
        (2, "whose hash is not written as 40 lower-case hex digits"),
        (1, "of those whose hash another row has as well"),
        (1, "that are said to have metadata, but have no files"),
    ] {
        let line = format!("{count:>12} {what}\n");
        assert!(counted.stdout.contains(&line), "{line}: {counted:#?}");
    }
    assert!(counted.stderr.contains("--delete --yes"), "{counted:#?}");
    assert_eq!(mariadb.count("TRUE"), 4_017, "nothing is deleted");
    assert!(!home.store().exists(), "the store is not needed");
    assert_ne!(home.run(&["clean-legacy", &url, "--delete"]).code, 0);
    assert_eq!(mariadb.count("TRUE"), 4_017);

    let archive = home.path("dead.jsonl");
    let archive_path = archive.to_str().unwrap();
    let args = [
        "clean-legacy",
        &url,
        "--delete",
        "--yes",
        "--archive",
        archive_path,
    ];
    let deleted = home.done(&args);
    assert!(deleted.stdout.contains("deleted 2000 rows"), "{deleted:#?}");
    assert_eq!(mariadb.count("TRUE"), 2_017);
    assert_eq!(mariadb.count("id < 5000 AND id % 2 = 1"), 0);
    assert_eq!(mariadb.count("id > 5000"), 17);
    let lines = fs::read_to_string(&archive).unwrap();
    let rows: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 2_000);
    assert_eq!(rows[1]["id"], 3);
    assert_eq!(rows[1]["info_hash"], format!("{:040x}", 3));
    assert_eq!(rows[1]["comment"], serde_json::Value::Null);
    assert_eq!(rows[1].as_object().unwrap().len(), 31);
    // The rest, where it was interrupted; here nothing is left.
    let again = home.done(&args);
    assert!(again.stdout.contains("deleted 0 rows"), "{again:#?}");
    assert_eq!(fs::read_to_string(&archive).unwrap(), lines);
}

#[test]
fn an_archive_that_cannot_be_written_deletes_nothing() {
    let mariadb = Mariadb::start();
    fill(&mariadb);
    let home = Home::new();
    let url = mariadb.url();
    for archive in ["/nowhere/dead.jsonl", "/dev/full"] {
        let args = [
            "clean-legacy",
            &url,
            "--delete",
            "--yes",
            "--archive",
            archive,
        ];
        let run = home.run(&args);
        assert_eq!(run.code, 1, "{run:#?}");
        assert!(run.stderr.contains(archive), "{run:#?}");
        assert_eq!(mariadb.count("TRUE"), 4_017);
    }
}

#[test]
fn what_is_no_old_database_is_left_alone() {
    let mariadb = Mariadb::start();
    let home = Home::new();
    let run = home.run(&["clean-legacy", &mariadb.url()]);
    assert_eq!(run.code, 2, "{run:#?}");
    assert!(
        run.stderr.contains("no database of the old crawler"),
        "{run:#?}"
    );
}
