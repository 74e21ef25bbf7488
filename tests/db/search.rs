//! The index of torrents: made by `db migrate`, checked and repaired by `db check`; and `db backup`.

use crate::fixture::{Home, now_ms};
use metafetch::store::TorrentQuery;

fn found(home: &Home, text: &str) -> usize {
    home.with_store(async |store| {
        let query = TorrentQuery {
            text: text.to_owned(),
            limit: 1_000,
            ..TorrentQuery::default()
        };
        store.search(&query).await.unwrap().torrents.len()
    })
}

#[test]
fn migrate_indexes_what_was_there_before() {
    let home = Home::filled(300, now_ms());
    assert_eq!(found(&home, "torrent"), 300);
    // As the migration leaves a database that had torrents.
    home.sql(
        "DELETE FROM torrent_search; DELETE FROM torrent_terms;
         INSERT INTO import_progress VALUES ('torrent_metadata', 'torrent_search', 0, 0, 0, 0);",
    );
    let run = home.done(&["migrate"]);
    assert!(run.stdout.ends_with("indexed 301 torrents\n"), "{run:#?}");
    let again = home.done(&["migrate"]);
    assert!(!again.stdout.contains("indexed"), "{again:#?}");
    assert_eq!(found(&home, "torrent"), 300);
    assert_eq!(found(&home, "000299 dir"), 1);
    assert_eq!(found(&home, "only a name"), 0, "it is pending");
}

#[test]
fn check_finds_and_repairs_what_no_search_finds() {
    let home = Home::filled(20, now_ms());
    home.sql(
        "DELETE FROM torrent_terms WHERE rowid % 4 = 0;
         DELETE FROM torrent_search WHERE torrent_id % 4 = 0",
    );
    let run = home.run(&["check"]);
    assert_eq!(run.code, 3, "{run:#?}");
    assert!(
        run.stdout.contains("damaged torrent_search torrent 4"),
        "{run:#?}"
    );
    let run = home.done(&["check", "--repair"]);
    assert!(run.stdout.ends_with(" 5 damaged, 5 repaired\n"), "{run:#?}");
    home.done(&["check"]);
    assert_eq!(found(&home, "torrent"), 20);
}

#[test]
fn a_backup_is_the_database_and_replaces_nothing() {
    let home = Home::filled(50, now_ms());
    let copy = home.path("copy.db");
    let run = home.done(&["backup", copy.to_str().unwrap()]);
    assert!(run.stdout.starts_with("copied "), "{run:#?}");
    let exported = home.done(&["export"]).stdout;
    let again = crate::fixture::on(&copy, &["export"]).output().unwrap();
    let again = String::from_utf8(again.stdout).unwrap();
    assert_eq!(
        crate::fixture::rows(&again),
        crate::fixture::rows(&exported)
    );
    let run = home.run(&["backup", copy.to_str().unwrap()]);
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(run.stderr.contains("already"), "{run:#?}");
    let run = home.run(&["backup", home.path("no/such/copy.db").to_str().unwrap()]);
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(run.stderr.contains("No such file"), "{run:#?}");
}
