//! Inputs, outputs and exit codes of `metafetch resolve`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::command::Resolve;
use crate::swarm::{Behaviour, Swarm, TestTorrent};
use tokio::io::AsyncWriteExt as _;

/// Whether the info key of a `.torrent` has these very bytes.
fn holds_info(torrent_file: &Path, torrent: &TestTorrent) -> bool {
    let bytes = std::fs::read(torrent_file).unwrap_or_default();
    bytes.ends_with(&[b"4:info", &torrent.info[..], b"e"].concat())
}

#[tokio::test]
async fn a_file_with_all_kinds_of_lines() {
    let swarm = Swarm::start(21);
    let torrents: Vec<_> = (0..4).map(|n| TestTorrent::v1(n, 20_000)).collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let home = tempfile::tempdir().unwrap();
    let list = home.path().join("list.txt");
    let text = format!(
        "# a list\n\n{}\n  {}  \r\nnot a hash\n{}\n{}\nmagnet:?dn=nothing\n",
        torrents[0].hex(),
        torrents[1].hex().to_uppercase(),
        torrents[2].magnet(&[], &["http://127.0.0.1:1/announce".into()]),
        torrents[0].hex(),
    );
    std::fs::write(&list, text).unwrap();
    let out = home.path().join("out");

    let resolve = Resolve::new()
        .peer(peer)
        .out(&out)
        .arg(list.display())
        .arg(torrents[3].hex());
    let run = resolve.run().await;
    assert_eq!(run.code, 3, "malformed lines are unresolved: {run:#?}");
    assert_eq!(run.lines().len(), 5, "the duplicate is reported too");
    assert!(run.lines().iter().all(|line| line["status"] == "resolved"));
    for line in ["list.txt:5: ", "list.txt:8: "] {
        assert!(run.stderr.contains(line), "{line} in {}", run.stderr);
    }
    assert!(
        run.stderr.contains("5 resolved, 0 failed, 2 malformed"),
        "{}",
        run.stderr
    );
    assert_eq!(
        swarm.counters(peer).handshakes,
        4,
        "the duplicate is fetched once"
    );
    for torrent in &torrents {
        assert!(holds_info(
            &out.join(format!("{}.torrent", torrent.hex())),
            torrent
        ));
    }
    let with_tracker = std::fs::read(out.join(format!("{}.torrent", torrents[2].hex()))).unwrap();
    assert!(with_tracker.starts_with(b"d8:announce27:http://127.0.0.1:1/announce"));

    let strict = resolve.arg("--strict").run().await;
    assert_eq!(strict.code, 2);
    assert_eq!(strict.lines().len(), 5, "strict does not stop the others");
}

#[tokio::test]
async fn stdin_is_an_input() {
    let swarm = Swarm::start(22);
    let torrents: Vec<_> = (10..13).map(|n| TestTorrent::v1(n, 1000)).collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let mut command = Resolve::new().peer(peer).arg("-").command();
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for torrent in &torrents {
        stdin
            .write_all(format!("{}\n", torrent.hex()).as_bytes())
            .await
            .unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let hashes: BTreeSet<_> = stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["infohash"].to_string()
        })
        .collect();
    assert_eq!(hashes.len(), 3);
}

#[tokio::test]
async fn wrong_usage_and_hopeless_input_exit_with_2() {
    for args in [
        vec!["--strategy", "magic", "aa"],
        vec!["--timeout", "0s", "aa"],
        vec!["--peer", "nowhere", "aa"],
        vec!["not-a-hash"],
        vec!["c12fe1c06bba254a9dc9f519b335aa7c1367a88"],
        vec![],
    ] {
        let run = args.iter().fold(Resolve::new(), Resolve::arg).run().await;
        assert_eq!(run.code, 2, "{args:?}: {run:#?}");
        assert!(!run.stderr.is_empty() && run.stdout.is_empty(), "{run:#?}");
    }
    let run = Resolve::new()
        .arg("--store")
        .arg("mysql://host/db")
        .arg("aa")
        .run()
        .await;
    assert_eq!(run.code, 2, "{run:#?}");
}

#[tokio::test]
async fn templates_name_files_and_stay_in_their_directory() {
    let swarm = Swarm::start(23);
    let torrent = TestTorrent::v1(20, 1000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("t/{name}-{hash}.torrent");
    let run = Resolve::new()
        .peer(peer)
        .out(&out)
        .arg(torrent.hex())
        .run()
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
    let files: Vec<_> = std::fs::read_dir(home.path().join("t"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        files,
        [format!("{}-{}.torrent", torrent.name, torrent.hex())]
    );
}

#[tokio::test]
async fn formats() {
    let swarm = Swarm::start(24);
    let torrent = TestTorrent::v1(30, 1000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let resolve = || Resolve::new().peer(peer).arg(torrent.hex());
    let line = resolve().run().await.line();
    let keys: BTreeSet<_> = line
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "infohash",
        "status",
        "name",
        "size",
        "files",
        "piece_length",
        "private",
        "metadata_size",
        "arm",
        "peer",
        "elapsed_ms",
    ];
    assert_eq!(keys, expected.into());
    for (format, expected) in [("table", 1), ("none", 0)] {
        let stdout = resolve().format(format).run().await.stdout;
        assert_eq!(stdout.lines().count(), expected, "{stdout}");
        assert_eq!(stdout.contains(&torrent.hex()), expected == 1);
    }
}

#[tokio::test]
async fn a_failed_line_has_its_keys() {
    let run = Resolve::new()
        .arg(TestTorrent::v1(40, 1000).hex())
        .run()
        .await;
    assert_eq!(run.code, 3);
    let line = run.line();
    let keys: BTreeSet<_> = line
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "infohash",
        "status",
        "reason",
        "detail",
        "attempts",
        "retry_at",
        "elapsed_ms",
    ];
    assert_eq!(keys, expected.into());
    assert_eq!(line["reason"], "no_peers");
}

#[tokio::test]
async fn an_output_directory_that_cannot_be_written_to_is_said_before_any_work() {
    let swarm = Swarm::start(25);
    let torrent = TestTorrent::v1(50, 1000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("file"), "").unwrap();
    let out = home.path().join("file/out");
    let run = Resolve::new()
        .peer(peer)
        .out(&out)
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
    assert!(run.stderr.contains("can't be written to"), "{}", run.stderr);
    assert_eq!(swarm.counters(peer).connections, 0);
}

#[tokio::test]
async fn a_taken_port_is_worked_around() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let swarm = Swarm::start(26);
    let torrent = TestTorrent::v1(60, 1000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let resolve = Resolve::new()
        .listen(addr)
        .strategy("libtorrent")
        .peer(peer);
    let run = resolve.arg(torrent.hex()).run().await;
    let stderr = &run.stderr;
    assert_eq!(run.code, 0, "{stderr}");
    assert_eq!(
        stderr.matches(&addr.port().to_string()).count(),
        1,
        "said once: {stderr}"
    );
}

/// Nothing but what was asked for is ever written: no payload, no resume data.
#[tokio::test]
async fn no_payload_file_is_ever_created() {
    let swarm = Swarm::start(27);
    let torrents: Vec<_> = (70..75).map(|n| TestTorrent::v1(n, 30_000)).collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let home = tempfile::tempdir().unwrap();
    let trace = home.path().join("trace");
    for strategy in ["libtorrent", "race"] {
        let inner = Resolve::new().strategy(strategy).peer(peer);
        let inner = torrents
            .iter()
            .fold(inner, |resolve, torrent| resolve.arg(torrent.hex()));
        let command = inner.command();
        let status = tokio::process::Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-e",
                "trace=open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2",
            ])
            .arg("-o")
            .arg(&trace)
            .arg(command.as_std().get_program())
            .args(command.as_std().get_args())
            .current_dir(home.path())
            .stdout(std::process::Stdio::null())
            .status()
            .await
            .expect("strace is installed by scripts/setup test");
        assert!(status.success());
        let calls = std::fs::read_to_string(&trace).unwrap();
        assert!(calls.contains("openat("), "the trace has seen something");
        let created: Vec<_> = calls
            .lines()
            .filter(|call| {
                ["O_CREAT", "creat(", "mkdir", "rename"]
                    .iter()
                    .any(|s| call.contains(s))
            })
            .collect();
        assert_eq!(created, Vec::<&str>::new(), "{strategy}");
    }
}

/// Where stderr can't be written to, the results are none the worse; where stdout can't, that is
/// said, and what was resolved is in the store.
#[tokio::test]
async fn streams_that_are_full() {
    let full = || {
        std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let swarm = Swarm::start(28);
    let torrent = TestTorrent::v1(80, 1000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("metafetch.db");
    let resolve = || Resolve::new().peer(peer).store(&store).arg(torrent.hex());

    let mut command = resolve().arg("--explain").arg("malformed").command();
    let child = command.stderr(full()).spawn().unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(3), "one input is malformed");
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains(r#""status":"resolved""#)
    );

    let mut command = resolve().arg("--refetch").command();
    let child = command.stdout(full()).spawn().unwrap();
    let output = child.wait_with_output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(
        stderr.matches("can't be written to stdout").count(),
        1,
        "{stderr}"
    );
}

/// A `.torrent` has the trackers that were given with the hash, now or when it was resolved.
#[tokio::test]
async fn trackers_of_every_mention_are_in_the_file() {
    let swarm = Swarm::start(29);
    let torrent = TestTorrent::v1(90, 1000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("metafetch.db");
    let urls = ["http://127.0.0.1:1/a", "http://127.0.0.1:1/b"].map(str::to_owned);
    let run = Resolve::new()
        .peer(peer)
        .store(&store)
        .arg(torrent.magnet(&[], &urls[..1]))
        .run()
        .await;
    assert_eq!(run.code, 0);
    let run = Resolve::new()
        .store(&store)
        .out(home.path())
        .arg(torrent.magnet(&[], &urls[1..]))
        .run()
        .await;
    assert_eq!(run.code, 0);
    let file = std::fs::read(home.path().join(format!("{}.torrent", torrent.hex()))).unwrap();
    let text = String::from_utf8_lossy(&file);
    assert!(urls.iter().all(|url| text.contains(url.as_str())), "{text}");
}
