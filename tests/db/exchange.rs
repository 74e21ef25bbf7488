//! `db export` and `db import`.

use std::io::Write as _;
use std::process::Stdio;

use metafetch::store::Counts;
use metafetch::torrent::{Infohash, MetaVersion, split};

use crate::fixture::{Home, Run, dictionary, hash, now_ms, resolved, rows};

fn counts(home: &Home) -> Counts {
    home.with_store(async |store| store.counts().await.unwrap())
}

/// `db import -` with this on stdin.
fn import(home: &Home, text: &[u8], args: &[&str]) -> Run {
    let mut child = home
        .command(&[&["import", "-"], args].concat())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

#[test]
fn what_is_exported_is_the_same_after_an_import() {
    let source = Home::filled(700, now_ms());
    let exported = source.done(&["export"]);
    let file = source.path("all.jsonl.gz");
    source.done(&["export", file.to_str().unwrap()]);
    assert!(std::fs::read(&file).unwrap().starts_with(&[0x1f, 0x8b]));

    let copy = Home::new();
    let taken = copy.done(&["import", file.to_str().unwrap(), "--strict"]);
    assert!(
        taken.stdout.contains("torrent_metadata: 701 added"),
        "{taken:#?}"
    );
    assert_eq!(rows(&copy.done(&["export"]).stdout), rows(&exported.stdout));
    assert_eq!(counts(&copy), counts(&source));
    assert_eq!(counts(&copy).pending, 1);
    let check = copy.done(&["check"]);
    assert!(
        check.stdout.ends_with(" 0 damaged, 0 repaired\n"),
        "{check:#?}"
    );

    // Again, and from stdin: nothing changes, and no count is added up.
    let again = import(&copy, exported.stdout.as_bytes(), &["--strict"]);
    assert_eq!(again.code, 0, "{again:#?}");
    assert!(
        again
            .stdout
            .lines()
            .all(|line| line.contains(": 0 added, 0 updated")),
        "{again:#?}"
    );
    assert_eq!(rows(&copy.done(&["export"]).stdout), rows(&exported.stdout));
}

#[test]
fn one_table_can_be_exported() {
    let home = Home::filled(3, now_ms());
    let run = home.done(&["export", "--table", "peer_state", "--table", "blocked_salt"]);
    let rows = rows(&run.stdout);
    assert_eq!(rows.len(), 7);
    assert!(
        rows.iter()
            .all(|row| row.contains("\"table\":\"peer_state\"")
                || row == "{\"table\":\"blocked_salt\",\"salt\":\"00ff\"}")
    );
}

#[test]
fn a_pending_torrent_becomes_valid_and_keeps_when_it_was_discovered() {
    let home = Home::new();
    home.record(vec![resolved(1, 150 * crate::fixture::DAY)]);
    home.sql(&format!(
        "UPDATE torrent_metadata SET info = x'', metadata_size = 0, validation_status = 'pending',
             discovered_at = 5, trackers = '[\"udp://old.example:1\"]' WHERE infohash = x'{}'",
        hash(1)
    ));
    home.with_store(async |store| {
        assert_eq!(store.torrent(&hash(1)).await, Ok(None));
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.torrents, counts.pending), (0, 1));
        store
            .record(resolved(1, 200 * crate::fixture::DAY))
            .await
            .unwrap();
        let stored = store.torrent(&hash(1)).await.unwrap().unwrap();
        assert_eq!(stored.info, dictionary(1));
        assert_eq!(stored.discovered_at_ms, 5);
        assert_eq!(stored.trackers.len(), 2, "{:?}", stored.trackers);
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.torrents, counts.pending, counts.files), (1, 0, 2));
    });
}

#[test]
fn the_newer_row_wins() {
    let older = Home::new();
    older.record(vec![resolved(1, 1_000_000)]);
    let newer = Home::new();
    newer.record(vec![resolved(1, 2_000_000), resolved(2, 2_000_000)]);
    let (old, new) = (
        older.done(&["export"]).stdout,
        newer.done(&["export"]).stdout,
    );

    // The older one knows no more than since when the torrent and the peer are known.
    assert_eq!(import(&newer, old.as_bytes(), &[]).code, 0);
    assert_eq!(import(&older, new.as_bytes(), &[]).code, 0);
    for home in [&older, &newer] {
        let peers = home.done(&["export", "--table", "peer_state"]).stdout;
        let of_today = peers
            .lines()
            .find(|line| line.contains("\"1.0.0.1\""))
            .unwrap();
        assert!(of_today.contains("\"last_seen_at\":2000000"), "{of_today}");
        assert!(of_today.contains("\"attempts\":1"), "{of_today}");
        home.with_store(async |store| {
            let stored = store.torrent(&hash(1)).await.unwrap().unwrap();
            assert_eq!(stored.last_seen_at_ms, 2_000_000);
            assert_eq!(
                stored.discovered_at_ms,
                1_000_000 - 100 * crate::fixture::DAY
            );
        });
    }
}

#[test]
fn torrent_files_go_out_and_in() {
    let home = Home::filled(20, now_ms());
    let out = home.path("out/deep");
    let run = home.done(&["export", "--format", "torrent", out.to_str().unwrap()]);
    assert!(run.stdout.contains("wrote 20 files"), "{run:#?}");
    for number in 0..20 {
        let bytes = std::fs::read(out.join(format!("{}.torrent", hash(number)))).unwrap();
        let (info, trackers) = split(&bytes).unwrap();
        assert_eq!(Infohash::of(info, MetaVersion::V1), hash(number));
        assert_eq!(trackers, ["udp://tracker.example:1/\"x\""]);
    }
    std::fs::write(out.join("broken.torrent"), "d4:infod4:name1:aee").unwrap();
    std::fs::write(out.join("no torrent"), "x").unwrap();

    let copy = Home::new();
    let above = home.path("out");
    let run = copy.run(&["import", above.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(
        run.stdout.contains("torrent_metadata: 20 added"),
        "{run:#?}"
    );
    assert!(
        run.stderr
            .contains("broken.torrent: the info dictionary has no valid"),
        "{run:#?}"
    );
    let counts = counts(&copy);
    assert_eq!((counts.torrents, counts.files), (20, 40));
    let strict = copy.run(&["import", "--strict", above.to_str().unwrap()]);
    assert_eq!(strict.code, 2, "{strict:#?}");
    assert_eq!(copy.done(&["check"]).stdout.matches("damaged").count(), 1);
}

/// What the library that most clients use says of our files.
#[test]
fn libtorrent_reads_the_torrent_files() {
    let home = Home::filled(3, now_ms());
    let out = home.path("out");
    home.done(&["export", "--format", "torrent", out.to_str().unwrap()]);
    let script = "import libtorrent, sys\n\
                  for path in sys.argv[1:]: print(libtorrent.torrent_info(path).info_hash())";
    let paths = (0..3).map(|number| out.join(format!("{}.torrent", hash(number))));
    let said = std::process::Command::new("/usr/bin/python3")
        .args(["-c", script])
        .args(paths)
        .output()
        .unwrap();
    let expected: Vec<String> = (0..3).map(|number| hash(number).to_string()).collect();
    let text = String::from_utf8(said.stdout).unwrap();
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        expected,
        "{:?}",
        said.stderr
    );
}

#[test]
fn a_full_or_closed_output_is_an_error_and_leaves_no_file() {
    let home = Home::filled(3, now_ms());
    let full = home
        .command(&["export"])
        .stdout(
            std::fs::File::options()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
        .output()
        .unwrap();
    assert_eq!(full.status.code(), Some(1));
    assert!(
        String::from_utf8(full.stderr)
            .unwrap()
            .contains("cannot write")
    );
    let missing = home.path("missing/all.jsonl");
    let run = home.run(&["export", missing.to_str().unwrap()]);
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(run.stderr.contains("missing/all.jsonl"), "{run:#?}");
}
