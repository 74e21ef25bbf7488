//! What the store remembers, and what happens to results when it, or the run, breaks.

use std::path::Path;
use std::time::Duration;

use crate::command::Resolve;
use crate::swarm::{Behaviour, Swarm, TestTorrent};
use tokio::io::{AsyncBufReadExt as _, BufReader};

fn interrupt(child: &tokio::process::Child, signal: &str) {
    let pid = child.id().unwrap().to_string();
    let status = std::process::Command::new("kill")
        .args([signal, &pid])
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn what_was_resolved_is_answered_from_the_store() {
    let swarm = Swarm::start(31);
    let torrent = TestTorrent::v1(1, 30_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("deep/er/metafetch.db");
    let out = home.path().join("out");

    let first = Resolve::new()
        .store(&store)
        .peer(peer)
        .arg(torrent.hex())
        .run()
        .await;
    assert_eq!(first.code, 0, "{first:#?}");
    let second = Resolve::new()
        .store(&store)
        .out(&out)
        .arg(torrent.hex())
        .run()
        .await;
    assert_eq!(second.code, 0, "{second:#?}");
    assert_eq!(second.line()["arm"], "store");
    assert_eq!(second.line()["name"], first.line()["name"]);
    assert!(out.join(format!("{}.torrent", torrent.hex())).exists());
    assert_eq!(swarm.counters(peer).handshakes, 1);

    let forced = Resolve::new()
        .store(&store)
        .peer(peer)
        .arg("--refetch")
        .arg(torrent.hex());
    assert_ne!(forced.run().await.line()["arm"], "store");
    assert_eq!(swarm.counters(peer).handshakes, 2);
}

#[tokio::test]
async fn a_hash_that_cools_down_says_so_at_once() {
    let swarm = Swarm::start(32);
    let torrent = TestTorrent::v1(2, 30_000);
    let torrents = std::slice::from_ref(&torrent);
    let refused = swarm.peer(Behaviour::Refused, torrents).await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("metafetch.db");
    let resolve = || Resolve::new().store(&store).arg(torrent.hex());

    let first = resolve().peer(refused).run().await;
    assert_eq!(first.reason(), "refused");
    assert!(first.line()["retry_at"].is_string(), "{first:#?}");
    let second = resolve().peer(refused).run().await;
    assert_eq!((second.code, second.reason().as_str()), (3, "cooldown"));
    let detail = second.line()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("refused") && detail.contains(" seconds"),
        "{detail}"
    );
    assert_eq!(
        second.line()["attempts"],
        serde_json::json!({}),
        "nobody is asked"
    );
    assert_eq!(
        resolve()
            .peer(refused)
            .arg("--refetch")
            .run()
            .await
            .reason(),
        "refused"
    );

    // A peer that was not tried yet is news.
    let honest = swarm.peer(Behaviour::Honest, torrents).await;
    assert_eq!(resolve().peer(honest).run().await.code, 0);
}

#[tokio::test]
async fn a_peer_that_delivered_is_tried_first_the_next_time() {
    let swarm = Swarm::start(33);
    let torrents: Vec<_> = (3..5).map(|n| TestTorrent::v1(n, 30_000)).collect();
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(swarm.peer(Behaviour::Silent, &torrents).await);
    }
    let honest = swarm.peer(Behaviour::Honest, &torrents).await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("metafetch.db");
    let first = Resolve::new()
        .strategy("direct")
        .store(&store)
        .peer(honest)
        .arg(torrents[0].hex());
    assert_eq!(first.run().await.code, 0);

    let second = silent
        .iter()
        .fold(
            Resolve::new().strategy("direct").store(&store),
            |resolve, &peer| resolve.peer(peer),
        )
        .peer(honest)
        .arg("--explain")
        .arg(torrents[1].hex())
        .run()
        .await;
    assert_eq!(second.code, 0, "{second:#?}");
    let tried = second
        .stderr
        .lines()
        .find(|line| line.contains("direct:tcp tries"))
        .unwrap();
    assert!(tried.contains(&honest.to_string()), "{}", second.stderr);
}

#[tokio::test]
async fn ctrl_c_keeps_what_was_done_and_a_rerun_goes_on() {
    let swarm = Swarm::start(34);
    let torrents: Vec<_> = (10..14).map(|n| TestTorrent::v1(n, 20_000)).collect();
    let (done, open) = torrents.split_at(2);
    let honest = swarm.peer(Behaviour::Honest, done).await;
    let silent = swarm.peer(Behaviour::Silent, open).await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("metafetch.db");
    let list = home.path().join("list");
    let magnets: Vec<_> = done
        .iter()
        .map(|torrent| torrent.magnet(&[honest], &[]))
        .chain(open.iter().map(|torrent| torrent.magnet(&[silent], &[])))
        .collect();
    std::fs::write(&list, magnets.join("\n")).unwrap();

    for signal in ["-INT", "-TERM"] {
        let mut child = Resolve::new()
            .store(&store)
            .arg("--refetch")
            .arg(list.display())
            .start();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..2 {
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(line.contains(r#""status":"resolved""#), "{line}");
        }
        interrupt(&child, signal);
        for _ in 0..2 {
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(line.contains(r#""reason":"cancelled""#), "{line}");
        }
        let output = child.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(130));
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .contains("the same command goes on")
        );
    }

    // The others have found a peer meanwhile; those that were done are not fetched again.
    let late = swarm.peer(Behaviour::Honest, open).await;
    let before = swarm.counters(honest).handshakes;
    let rerun = Resolve::new()
        .store(&store)
        .peer(late)
        .arg(list.display())
        .run()
        .await;
    assert_eq!(rerun.code, 0, "{rerun:#?}");
    assert_eq!(rerun.lines().len(), 4);
    assert_eq!(swarm.counters(honest).handshakes, before);
}

/// What was told as resolved is in the store, whatever happens next.
#[tokio::test]
async fn kill_9_loses_nothing_that_was_reported() {
    let swarm = Swarm::start(35);
    let torrents: Vec<_> = (100..400).map(|n| TestTorrent::v1(n, 2000)).collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("metafetch.db");
    let list = home.path().join("list");
    let hashes: Vec<_> = torrents.iter().map(TestTorrent::hex).collect();
    std::fs::write(&list, hashes.join("\n")).unwrap();

    let resolve = Resolve::new()
        .store(&store)
        .peer(peer)
        .arg("--jobs")
        .arg(20)
        .arg(list.display());
    let mut child = resolve.start();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut reported = Vec::new();
    for _ in 0..100 {
        let line: serde_json::Value =
            serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        reported.push(line["infohash"].as_str().unwrap().to_owned());
    }
    interrupt(&child, "-KILL");
    child.wait().await.unwrap();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) {
            reported.push(line["infohash"].as_str().unwrap().to_owned());
        }
    }

    let kept = home.path().join("kept");
    std::fs::write(&kept, reported.join("\n")).unwrap();
    let check = Resolve::new().store(&store).arg(kept.display()).run().await;
    assert_eq!(check.code, 0, "{}", check.stderr);
    assert!(check.lines().iter().all(|line| line["arm"] == "store"));
    let rest = resolve.run().await;
    assert_eq!((rest.code, rest.lines().len()), (0, 300), "{}", rest.stderr);
}

/// One clear sentence, exit 1, and no packet sent.
async fn store_is_refused(store: &Path, says: &str) {
    let swarm = Swarm::start(36);
    let torrent = TestTorrent::v1(500, 1000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let run = Resolve::new()
        .store(store)
        .peer(peer)
        .arg(torrent.hex())
        .run()
        .await;
    assert_eq!(run.code, 1, "{run:#?}");
    assert_eq!(
        run.stderr.lines().count(),
        1,
        "one sentence: {}",
        run.stderr
    );
    assert!(run.stderr.contains(says), "`{says}` in {}", run.stderr);
    assert!(
        run.stderr.contains(store.to_str().unwrap()),
        "{}",
        run.stderr
    );
    assert_eq!(swarm.counters(peer).connections, 0);
}

#[tokio::test]
async fn a_store_that_cannot_be_used_is_said_before_any_work() {
    let home = tempfile::tempdir().unwrap();
    let corrupt = home.path().join("corrupt.db");
    std::fs::write(&corrupt, vec![b'x'; 10_000]).unwrap();
    store_is_refused(&corrupt, "no SQLite database").await;
    assert_eq!(
        std::fs::read(&corrupt).unwrap(),
        vec![b'x'; 10_000],
        "left as it was"
    );

    store_is_refused(home.path(), "no file").await;

    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let run = Resolve::new()
        .store(&file.join("metafetch.db"))
        .arg(TestTorrent::v1(9, 99).hex());
    let run = run.run().await;
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(
        run.stderr.contains("cannot make the directory"),
        "{}",
        run.stderr
    );
}

#[tokio::test]
async fn a_store_that_another_process_has_locked_is_said() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("metafetch.db");
    let torrent = TestTorrent::v1(501, 1000);
    assert_eq!(
        Resolve::new()
            .store(&path)
            .arg(torrent.hex())
            .run()
            .await
            .code,
        3
    );
    let mut sqlite = std::process::Command::new("sqlite3")
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("sqlite3 is installed by scripts/setup test");
    let mut stdin = sqlite.stdin.take().unwrap();
    std::io::Write::write_all(
        &mut stdin,
        b"PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; SELECT 'locked';\n",
    )
    .unwrap();
    let mut said = String::new();
    let mut stdout = std::io::BufReader::new(sqlite.stdout.take().unwrap());
    while !said.contains("locked") {
        std::io::BufRead::read_line(&mut stdout, &mut said).unwrap();
    }
    store_is_refused(&path, "another process").await;
    sqlite.kill().unwrap();
    sqlite.wait().unwrap();
}

#[tokio::test]
async fn without_a_peer_to_ask_the_answer_is_quick() {
    let run = Resolve::new()
        .arg(TestTorrent::v1(502, 1000).hex())
        .run()
        .await;
    assert_eq!(run.reason(), "no_peers");
    // Not by the deadline of the hash, of 60 s.
    assert!(run.elapsed < Duration::from_secs(45), "{:?}", run.elapsed);
}
