//! `db check`.

use crate::fixture::{Home, dictionary, hash, now_ms};

#[test]
fn a_flipped_byte_is_found_and_the_torrent_fetched_again() {
    let home = Home::filled(1_200, now_ms());
    assert!(
        home.done(&["check"])
            .stdout
            .contains("checked 1201 torrents")
    );
    let mut flipped = dictionary(77);
    flipped[60] ^= 1;
    home.sql(&format!(
        "UPDATE torrent_metadata SET info = x'{}' WHERE infohash = x'{}'",
        data_encoding::HEXLOWER.encode(&flipped),
        hash(77)
    ));
    let found = home.run(&["check"]);
    assert_eq!(found.code, 3, "{found:#?}");
    let line = format!(
        "damaged torrent_metadata {}: the dictionary does not have the hash",
        hash(77)
    );
    assert!(found.stdout.contains(&line), "{found:#?}");
    assert!(found.stdout.contains("1 damaged, 0 repaired"), "{found:#?}");

    let repaired = home.run(&["check", "--repair"]);
    assert_eq!(repaired.code, 0, "{repaired:#?}");
    home.with_store(async |store| {
        assert_eq!(store.torrent(&hash(77)).await, Ok(None));
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.torrents, counts.pending), (1_199, 2));
    });
    assert!(home.done(&["check"]).stdout.contains(" 0 damaged"));
}

#[test]
fn rows_are_made_from_their_dictionary_again() {
    let home = Home::filled(10, now_ms());
    let of = |number| {
        format!(
            "(SELECT id FROM torrent_metadata WHERE infohash = x'{}')",
            hash(number)
        )
    };
    home.sql(&format!(
        "UPDATE torrent_metadata SET name = 'a lie' WHERE id = {};
         UPDATE torrent_metadata SET trackers = 'no list' WHERE id = {};
         DELETE FROM torrent_file WHERE torrent_id = {} AND position = 1;
         UPDATE torrent_file SET length = 99 WHERE torrent_id = {} AND position = 0;
         UPDATE torrent_file SET path = 'x' WHERE torrent_id = {} AND position = 0;
         UPDATE torrent_metadata SET comment = printf('%.1001c', 'c'), arm = printf('%.21c', 'a')
             WHERE id = {};",
        of(1),
        of(2),
        of(3),
        of(4),
        of(5),
        of(6)
    ));
    let found = home.run(&["check"]);
    assert_eq!(
        (found.code, found.stdout.matches("\ndamaged").count()),
        (3, 5),
        "{found:#?}"
    );
    for says in [
        "its name is not",
        "trackers is no list",
        "1 files are stored",
        "its list of files",
        "arm has more than 20",
    ] {
        assert!(found.stdout.contains(says), "{says}: {found:#?}");
    }
    home.done(&["check", "--repair"]);
    home.done(&["check"]);
    home.with_store(async |store| {
        for number in 1..7 {
            let stored = store.torrent(&hash(number)).await.unwrap().unwrap();
            assert_eq!(stored.name, format!("torrent {number:06}"));
            let files = store.files(&hash(number)).await.unwrap();
            let first = ("dir/a".to_owned(), u64::from(number) + 1);
            assert_eq!(files, [first, ("b".to_owned(), 7)]);
        }
    });
}

#[test]
fn orphans_and_rows_that_can_not_be_read_back_are_deleted() {
    let home = Home::filled(5, now_ms());
    home.sql(&format!(
        "PRAGMA foreign_keys = OFF;
         DELETE FROM torrent_metadata WHERE infohash = x'{}';
         UPDATE peer_state SET last_outcome = 'made up' WHERE peer_ip = '1.0.0.2';
         UPDATE peer_state SET peer_ip = 'host' WHERE peer_ip = '1.0.0.3';
         UPDATE failed_torrent SET phase = 'later';",
        hash(4)
    ));
    let found = home.run(&["check"]);
    assert_eq!(found.code, 3, "{found:#?}");
    for says in [
        "torrent_file torrent 5: its torrent is missing",
        "torrent_search torrent 5: its torrent is missing",
        "peer_state 1.0.0.2 port 6881: unknown reason `made up`",
        "peer_state host port 6881: `host` port 6881 is no peer",
        "unknown phase `later`",
        "damaged the database: a row of torrent_file refers to a missing row",
    ] {
        assert!(found.stdout.contains(says), "{says}: {found:#?}");
    }
    let repaired = home.done(&["check", "--repair"]);
    assert!(
        repaired.stdout.contains("5 damaged, 5 repaired"),
        "{repaired:#?}"
    );
    home.done(&["check"]);
    home.with_store(async |store| {
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.torrents, counts.files), (4, 4 * 2 + 2));
        assert_eq!((counts.peers, counts.failed_torrents), (8, 0));
    });
}

#[test]
fn damaged_torrents_are_not_exported_as_files() {
    let home = Home::filled(2, now_ms());
    home.sql(&format!(
        "UPDATE torrent_metadata SET info = x'6465' WHERE infohash = x'{}'",
        hash(1)
    ));
    let out = home.path("out");
    let run = home.run(&["export", "--format", "torrent", out.to_str().unwrap()]);
    assert_eq!(run.code, 3, "{run:#?}");
    assert!(
        run.stderr.contains(&format!("left out {}", hash(1))),
        "{run:#?}"
    );
    assert_eq!(std::fs::read_dir(out).unwrap().count(), 1);
}
