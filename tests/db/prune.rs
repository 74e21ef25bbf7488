//! `db prune`.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use metafetch::store::Counts;

use crate::fixture::{DAY, Home, failed, hash, now_ms, resolved, rows};

fn counts(home: &Home) -> Counts {
    home.with_store(async |store| store.counts().await.unwrap())
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "gz"))
        .collect()
}

#[test]
fn old_rows_go_and_torrents_stay() {
    let home = Home::filled(600, now_ms());
    let dry = home.done(&["prune", "--dry-run"]);
    assert!(
        dry.stdout
            .contains("would delete 600 rows of metadata_request"),
        "{dry:#?}"
    );
    assert!(
        dry.stdout.contains("would delete 600 rows of peer_state"),
        "{dry:#?}"
    );
    assert_eq!(counts(&home).attempts, 1_200);
    let done = home.done(&["prune"]);
    assert!(
        done.stdout.contains("deleted 600 rows of metadata_request"),
        "{done:#?}"
    );
    let left = counts(&home);
    assert_eq!(
        (left.attempts, left.peers, left.torrents, left.pending),
        (600, 600, 600, 1)
    );
    assert_eq!(left.failed_torrents, 1, "it is not yet due again");
    assert!(
        home.done(&["prune"])
            .stdout
            .contains("nothing is to be deleted")
    );

    let torrents = home.done(&["prune", "--torrents", "1d", "--attempts", "never"]);
    assert!(
        torrents
            .stdout
            .contains("deleted 1 rows of torrent_metadata"),
        "{torrents:#?}"
    );
    assert_eq!((counts(&home).pending, counts(&home).files), (0, 1_200));
}

#[test]
fn what_is_archived_can_be_imported_again() {
    let home = Home::filled(600, now_ms());
    home.record(vec![failed(2_000_000, now_ms() - 200 * DAY)]);
    let before = rows(&home.done(&["export"]).stdout);
    let archive = home.path("archive");
    let args = [
        "prune",
        "--torrents",
        "1d",
        "--archive",
        archive.to_str().unwrap(),
    ];
    let done = home.done(&args);
    assert_eq!(files(&archive).len(), 4, "{done:#?}");
    assert!(rows(&home.done(&["export"]).stdout).len() < before.len());
    let paths = files(&archive);
    let mut import = vec!["import", "--strict"];
    import.extend(paths.iter().map(|path| path.to_str().unwrap()));
    home.done(&import);
    assert_eq!(rows(&home.done(&["export"]).stdout), before);
}

/// The rows of all archives.
fn archived(directory: &Path) -> HashSet<String> {
    let mut rows = HashSet::new();
    for path in files(directory) {
        let file = std::fs::File::open(path).unwrap();
        let lines = BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines();
        rows.extend(lines.skip(1).map(Result::unwrap));
    }
    rows
}

/// Killed at any moment, each row is in the database or in an archive.
#[test]
fn kill_9_loses_nothing() {
    let home = Home::filled(2_000, now_ms());
    let exported = || -> HashSet<String> {
        let run = home.done(&["export", "--table", "metadata_request"]);
        rows(&run.stdout).into_iter().collect()
    };
    let before = exported();
    let archive = home.path("archive");
    let args = [
        "prune",
        "--attempts",
        "0s",
        "--archive",
        archive.to_str().unwrap(),
    ];
    let mut killed_with_rows_left = 0;
    for _ in 0..4 {
        let mut child = home.command(&args).spawn().unwrap();
        // As soon as there is one more file the rows begin to go.
        let known = files(&archive).len();
        while files(&archive).len() == known && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        let status = child.wait().unwrap();
        let left = exported();
        if !status.success() && !left.is_empty() {
            killed_with_rows_left += 1;
        }
        let kept = archived(&archive);
        let lost = before
            .iter()
            .filter(|row| !left.contains(*row) && !kept.contains(*row));
        assert_eq!(lost.count(), 0);
    }
    assert!(
        killed_with_rows_left > 0,
        "it was never killed between the file and the last row"
    );
    home.done(&args);
    assert!(exported().is_empty());
    let kept = archived(&archive);
    assert!(before.is_subset(&kept));
}

#[test]
fn a_quota_takes_attempts_then_useless_peers_then_torrents() {
    let home = Home::filled(4_000, now_ms());
    home.sql("UPDATE torrent_metadata SET last_seen_at = last_seen_at + substr(name, 9)");
    let never = [
        "--attempts",
        "never",
        "--peers",
        "never",
        "--failed",
        "never",
    ];
    let prune = |more: &[&str]| home.run(&[&["prune"][..], &never, more].concat());
    let size = |run: &str| -> u64 {
        let line = run
            .lines()
            .find(|line| line.starts_with("the data takes"))
            .unwrap();
        line.split(' ').nth(3).unwrap().parse().unwrap()
    };
    let full = size(&prune(&[]).stdout);
    let below = prune(&["--max-size", &format!("{}B", full - 100_000)]);
    assert_eq!(below.code, 0, "{below:#?}");
    assert!(size(&below.stdout) <= full - 100_000, "{below:#?}");
    let left = counts(&home);
    assert!(
        left.attempts < 8_000 && left.peers == 8_000,
        "attempts go first: {left:?}"
    );

    let refused = prune(&["--max-size", "200KB"]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stderr.contains("--torrents"), "{refused:#?}");
    let left = counts(&home);
    assert_eq!((left.attempts, left.torrents), (0, 4_000));
    assert_eq!(left.peers, 4_000, "peers that delivered stay");

    let most = size(&refused.stdout) - 400_000;
    let most_arg = format!("{most}B");
    let allowed = prune(&["--max-size", &most_arg, "--torrents", "10000d", "--vacuum"]);
    assert_eq!(allowed.code, 0, "{allowed:#?}");
    let left = counts(&home);
    assert!(left.torrents < 4_000 && left.torrents > 0, "{left:?}");
    home.with_store(async |store| {
        assert_eq!(
            store.torrent(&hash(0)).await,
            Ok(None),
            "the oldest goes first"
        );
        assert!(store.torrent(&hash(3_999)).await.unwrap().is_some());
    });
    assert!(std::fs::metadata(home.store()).unwrap().len() <= most);
    home.done(&["check"]);
}

/// What goes by its age is not counted again for the quota.
#[test]
fn a_dry_run_counts_no_row_twice() {
    let home = Home::filled(600, now_ms());
    let dry = home.run(&["prune", "--dry-run", "--max-size", "1B"]);
    for rows in ["1200 rows of metadata_request", "600 rows of peer_state"] {
        assert!(
            dry.stdout.contains(&format!("would delete {rows}")),
            "{dry:#?}"
        );
    }
    let left = counts(&home);
    assert_eq!((left.attempts, left.peers), (1_200, 1_200));
}

/// Another process writes all the while.
#[test]
fn a_running_process_is_not_locked_out() {
    let home = Home::filled(3_000, now_ms());
    let mut child = home
        .command(&["prune", "--attempts", "0s"])
        .spawn()
        .unwrap();
    home.with_store(async |store| {
        let mut number = 10_000;
        // Once at least: on a slow machine the other process may have ended by now.
        loop {
            store
                .record(resolved(number, now_ms() + DAY))
                .await
                .unwrap();
            number += 1;
            if child.try_wait().unwrap().is_some() {
                break;
            }
        }
        assert!(store.torrent(&hash(10_000)).await.unwrap().is_some());
    });
    let run = crate::fixture::Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, 0, "{run:#?}");
}

#[test]
fn wrong_times_and_sizes_are_refused() {
    let home = Home::new();
    for args in [
        ["prune", "--attempts", "soon"],
        ["prune", "--max-size", "much"],
    ] {
        let run = home.run(&args);
        assert_eq!(run.code, 2, "{run:#?}");
        assert!(run.stderr.contains(args[1]), "{run:#?}");
    }
}
