//! `metafetch block`, and what `resolve` makes of it.

use std::fmt::Write as _;
use std::fs;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::command::Resolve;
use crate::swarm::{Behaviour, Swarm, TestTorrent};

use super::*;

fn digest(salt: &[u8], hash: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest([salt, hash].concat()))
}

#[tokio::test]
async fn a_blocked_hash_is_refused_before_any_packet() {
    let swarm = Swarm::start(61);
    let torrents = [TestTorrent::v1(1, 1_000), TestTorrent::v1(2, 1_000)];
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let tracker = swarm.http_tracker().await;
    tracker.announce(&torrents[0], peer);
    let (_home, store) = home();
    let blocked = torrents[0].hex();
    stdout(&store, &["block", "add", &blocked, "--list", "court"]).await;

    let resolve = || {
        Resolve::new()
            .store(&store)
            .peer(peer)
            .tracker(&tracker.url)
            .arg(&blocked)
    };
    for resolve in [
        resolve(),
        resolve().arg("--refetch"),
        resolve().strategy("direct"),
    ] {
        let run = resolve.run().await;
        assert_eq!((run.code, run.reason().as_str()), (3, "blocked"));
        let line = run.line();
        assert!(line["retry_at"].is_null(), "{line}");
        assert_eq!(line["attempts"], serde_json::json!({}), "{line}");
    }
    assert_eq!(swarm.totals().connections, 0);
    assert_eq!(tracker.announces(&torrents[0]), 0);
    let stats = command(&store, &["stats", "--json"]).await.line();
    assert_eq!(stats["tables"]["attempts"], 0, "{stats}");
    assert_eq!(stats["tables"]["failed_torrents"], 0, "{stats}");

    // The others go on, and this one does once it is off the list.
    let other = Resolve::new().store(&store).peer(peer);
    assert_eq!(other.arg(torrents[1].hex()).run().await.code, 0);
    stdout(&store, &["block", "remove", &blocked]).await;
    let freed = resolve().run().await;
    assert_eq!(freed.code, 0, "{freed:#?}");

    // What is stored is held back as well.
    stdout(&store, &["block", "add", &blocked]).await;
    assert_eq!(resolve().run().await.reason(), "blocked");
}

#[tokio::test]
async fn every_form_of_a_hash_is_blocked_and_comes_off_again() {
    let (_home, store) = home();
    let v2 = Infohash::V2([7; 32]);
    let full = v2.to_string();
    let short = Infohash::V1(v2.wire_id()).to_string();
    let multihash = format!("1220{full}");
    let check = async |hash: &str| {
        command(&store, &["block", "check", hash, "--json"])
            .await
            .code
    };
    stdout(&store, &["block", "add", &multihash, "--list", "a"]).await;
    for form in [&full, &short, &multihash] {
        assert_eq!(check(form).await, 0, "{form}");
    }
    let run = command(&store, &["block", "remove", &short]).await;
    assert_eq!(run.code, 0, "{run:#?}");
    for form in [&full, &short] {
        assert_eq!(check(form).await, 3, "{form}");
    }
    let again = command(&store, &["block", "remove", &short, &full]).await;
    assert_eq!(again.code, 3, "{again:#?}");
    assert!(again.stderr.contains("was not blocked"), "{again:#?}");
}

#[tokio::test]
async fn import_takes_hashes_and_digests_and_reports_what_is_neither() {
    let (home, store) = home();
    let file = home.path().join("list.txt");
    let salt = [0xab, 0xcd];
    let mut text = String::from("# a list\n\n");
    writeln!(text, "{}", hash(1)).unwrap();
    writeln!(text, "magnet:?xt=urn:btih:{}&dn=x", hash(2)).unwrap();
    writeln!(text, "abcd:{}", digest(&salt, &[3; 20])).unwrap();
    writeln!(text, "nonsense\n{}zz", hash(4)).unwrap();
    fs::write(&file, &text).unwrap();
    let path = file.to_str().unwrap();
    let run = command(&store, &["block", "import", path, "--list", "mixed"]).await;
    assert_eq!(run.code, 0, "{run:#?}");
    for says in ["list.txt:6:", "list.txt:7:", "3 lines taken", "2 malformed"] {
        assert!(run.stderr.contains(says), "`{says}` in {}", run.stderr);
    }
    let strict = command(&store, &["block", "import", path, "--strict"]).await;
    assert_eq!(strict.code, 2, "{strict:#?}");
    assert!(strict.stderr.contains("0 rows were new"), "{strict:#?}");

    // Digests, by option.
    let plain = home.path().join("digests");
    fs::write(&plain, digest(b"", &[5; 20])).unwrap();
    let plain = plain.to_str().unwrap();
    stdout(&store, &["block", "import", plain, "--digest"]).await;
    let salted = home.path().join("salted");
    fs::write(&salted, digest(b"\x01", &[6; 20])).unwrap();
    let salted = salted.to_str().unwrap();
    stdout(&store, &["block", "import", salted, "--salt", "01"]).await;

    for (number, code) in [(1, 0), (2, 0), (3, 0), (4, 3), (5, 0), (6, 0), (7, 3)] {
        let run = command(&store, &["block", "check", &hash(number).to_string()]).await;
        assert_eq!(run.code, code, "{number}: {run:#?}");
    }
    let listed = command(&store, &["block", "list", "--json", "--list", "mixed"]).await;
    assert_eq!(listed.lines().len(), 3, "{listed:#?}");
    let off = command(&store, &["block", "remove", "--list", "mixed"]).await;
    assert!(off.stderr.contains("3 rows removed"), "{off:#?}");
    // A digest comes off by the hash that it is of.
    stdout(&store, &["block", "remove", &hash(6).to_string()]).await;
    let left = command(&store, &["block", "list", "--json"]).await;
    assert_eq!(left.lines().len(), 1, "{left:#?}");

    for wrong in [
        &["--salt", ""][..],
        &["--salt", "0"],
        &["--salt", "01", "--digest"],
    ] {
        let args = [&["block", "import", path], wrong].concat();
        assert_eq!(command(&store, &args).await.code, 2, "{wrong:?}");
    }
    let missing = command(&store, &["block", "import", "/no/such/file"]).await;
    assert_eq!(missing.code, 2, "{missing:#?}");
}

#[tokio::test]
async fn a_run_that_has_begun_takes_note_of_what_is_blocked_and_salted_meanwhile() {
    let (_home, path) = home();
    let store = Store::open(&StoreUrl::Sqlite(path.clone())).unwrap();
    assert_eq!(store.is_blocked(&hash(1)).await, Ok(false));
    stdout(&path, &["block", "add", &hash(1).to_string()]).await;
    assert_eq!(store.is_blocked(&hash(1)).await, Ok(true));

    // The salts are re-read after a while.
    let list = path.with_extension("txt");
    fs::write(&list, format!("aa:{}", digest(&[0xaa], &[2; 20]))).unwrap();
    stdout(&path, &["block", "import", list.to_str().unwrap()]).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while store.is_blocked(&hash(2)).await != Ok(true) {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store.close().await;
}

#[tokio::test]
async fn a_blocklist_that_cannot_be_read_lets_nothing_through() {
    let swarm = Swarm::start(63);
    let torrent = TestTorrent::v1(3, 1_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let (_home, store) = home();
    stdout(&store, &["block", "add", &hash(1).to_string()]).await;
    // More salts than there may be: it is not known what each of them blocks.
    let salts = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= 1000) \
                 INSERT INTO blocked_salt SELECT CAST(printf('%04d', i) AS BLOB) FROM n";
    let sqlite = std::process::Command::new("sqlite3")
        .arg(&store)
        .arg(salts)
        .status()
        .expect("sqlite3 is installed by scripts/setup test");
    assert!(sqlite.success());
    let resolve = Resolve::new().store(&store).peer(peer).arg(torrent.hex());
    let run = resolve.run().await;
    assert_eq!((run.code, run.reason().as_str()), (3, "internal"));
    let detail = run.line()["detail"].to_string();
    assert!(detail.contains("nothing is fetched unchecked"), "{detail}");
    assert_eq!(swarm.totals().connections, 0);
}

/// More than a batch, more than memory should be needed for, from stdin.
#[tokio::test]
async fn a_long_list_comes_in_whole_and_twice_is_once() {
    let (home, store) = home();
    let list = home.path().join("long");
    let mut text = String::new();
    for n in 0..60_000_u32 {
        writeln!(text, "{n:040x}").unwrap();
    }
    fs::write(&list, &text).unwrap();
    for new in [60_000, 0] {
        let mut import = metafetch(&store, &["block", "import", "-"]);
        let run = run(import.stdin(fs::File::open(&list).unwrap())).await;
        assert_eq!(run.code, 0, "{run:#?}");
        let says = format!("60000 lines taken ({new} rows were new), 0 malformed");
        assert!(run.stderr.contains(&says), "{}", run.stderr);
    }
    let stats = command(&store, &["stats", "--json"]).await.line();
    assert_eq!(stats["tables"]["blocked"], 60_000);
}
