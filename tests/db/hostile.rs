//! Imports of what nobody should have written.

use std::io::Write as _;
use std::process::Stdio;

use metafetch::store::{Database, Importer, StoreUrl, Watch};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::fixture::{Home, Run, dictionary, hash, now_ms};

const HEADER: &str = r#"{"format":"metafetch-export","version":1,"schema":"1","written_at":0}"#;

fn import(home: &Home, lines: &[String], args: &[&str]) -> Run {
    let mut child = home
        .command(&[&["import", "-"], args].concat())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may end without reading all.
    let _ = stdin.write_all(lines.join("\n").as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

fn torrent_line(hash: &str, info: &[u8]) -> String {
    let info = data_encoding::BASE64.encode(info);
    format!(
        r#"{{"table":"torrent_metadata","infohash":"{hash}","infohash_v2":null,"name":"a lie","size":1,"piece_length":1,"pieces_count":1,"files_count":1,"private":true,"metadata_size":1,"trackers":"[]","source":"","arm":"direct","peer":null,"discovered_at":1,"last_seen_at":2,"resolved_at":2,"validation_status":"valid","comment":"","created_by":"","encoding":"","info":"{info}"}}"#
    )
}

fn peer_line(ip: &str, port: i64, attempts: i64, outcome: &str) -> String {
    format!(
        r#"{{"table":"peer_state","peer_ip":"{ip}","peer_port":{port},"client":null,"first_seen_at":1,"last_seen_at":2,"attempts":{attempts},"connections":0,"deliveries":0,"failures":0,"last_outcome":"{outcome}","last_arm":"direct","last_delivered_at":null,"avg_latency_ms":null,"bep9_support":null,"needs_encryption":null,"delivered_way":null,"failures_in_a_row":0,"delivered_weight":0.0,"unreachable_weight":0.0,"unserved_weight":0.0,"misbehaved_weight":0.0,"weighed_at":0,"latencies":null,"bep10_support":null}}"#
    )
}

#[test]
fn each_malformed_line_is_named_and_the_others_are_taken() {
    let home = Home::new();
    let lines = [
        HEADER.to_owned(),
        torrent_line(&hash(1).to_string(), &dictionary(1)),
        torrent_line(&hash(2).to_string(), &dictionary(3)), // another dictionary
        torrent_line("00", &dictionary(1)),
        "{\"table\":\"elsewhere\"}".to_owned(),
        "no json at all".to_owned(),
        String::new(),
        peer_line("1.2.3.4", 5, 1, "refused"),
        peer_line("1.2.3.4", 70_000, 1, "refused"),
        peer_line("001.2.3.4", 5, 1, "refused"),
        peer_line("::ffff:1.2.3.4", 5, 1, "refused"),
        peer_line("1.2.3.5", 5, -1, "refused"),
        peer_line("1.2.3.5", 5, 1, "made up"),
        "[".repeat(100_000),
    ];
    let run = import(&home, &lines, &[]);
    assert_eq!(run.code, 0, "{run:#?}");
    for (line, says) in [
        (3, "does not have the hash"),
        (4, "has 1 bytes, not 20 or 32"),
        (5, "unknown variant"),
        (6, "expected"),
        (9, "port 70000"),
        (10, "is no peer"),
        (11, "written in another way"),
        (12, "attempts is -1"),
        (13, "unknown reason `made up`"),
        (14, "invalid type"),
    ] {
        let place = format!("left out stdin:{line}: ");
        let said = run.stderr.lines().find(|text| text.contains(&place));
        assert!(
            said.is_some_and(|text| text.contains(says)),
            "line {line}: {}",
            run.stderr
        );
    }
    assert!(run.stderr.contains("left out 10 lines"), "{}", run.stderr);
    assert!(run.stdout.contains("torrent_metadata: 1 added"), "{run:#?}");
    assert!(run.stdout.contains("peer_state: 1 added"), "{run:#?}");
    assert_eq!(import(&home, &lines, &["--strict"]).code, 2);
    home.with_store(async |store| {
        let stored = store.torrent(&hash(1)).await.unwrap().unwrap();
        assert_eq!(
            stored.name, "torrent 000001",
            "what the line says of it is not believed"
        );
        assert!(!stored.private);
        assert_eq!(store.files(&hash(1)).await.unwrap().len(), 2);
        assert_eq!(store.counts().await.unwrap().torrents, 1);
    });
}

#[test]
fn what_is_no_export_is_refused_as_a_whole() {
    let home = Home::new();
    let newer = HEADER.replace("\"version\":1", "\"version\":2");
    for (first, says) in [
        ("<html>", "no export of metafetch"),
        ("{}", "no export of metafetch"),
        (newer.as_str(), "version 2"),
        (
            &HEADER.replace("metafetch-export", "other"),
            "format `other`",
        ),
    ] {
        let run = import(
            &home,
            &[first.to_owned(), peer_line("1.2.3.4", 5, 1, "refused")],
            &[],
        );
        assert_eq!(run.code, 2, "{run:#?}");
        assert!(run.stderr.contains(says), "{run:#?}");
    }
    let missing = home.run(&["import", "/nowhere/at/all"]);
    assert_eq!(missing.code, 1, "{missing:#?}");
    assert!(missing.stderr.contains("/nowhere/at/all"), "{missing:#?}");
}

#[test]
fn a_file_that_is_cut_is_an_error_and_what_was_read_is_taken() {
    let source = Home::filled(300, now_ms());
    let file = source.path("all.jsonl.gz");
    source.done(&["export", file.to_str().unwrap()]);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let home = Home::new();
    let run = home.run(&["import", file.to_str().unwrap()]);
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(run.stderr.contains("cannot read"), "{run:#?}");
    assert!(run.stdout.contains(" added"), "{run:#?}");
    std::fs::write(&file, bytes).unwrap();
    home.done(&["import", "--strict", file.to_str().unwrap()]);
    assert!(
        home.done(&["check"])
            .stdout
            .contains("checked 301 torrents")
    );
}

/// Rows of a blocklist block, whether or not their salt comes with them; salts that no lookup could try
/// are refused.
#[test]
fn a_blocked_digest_brings_its_salt() {
    let home = Home::new();
    let blocked = |salt: &str, value: [u8; 32]| {
        let value = data_encoding::HEXLOWER.encode(&value);
        format!(
            r#"{{"table":"blocked_infohash","value":"{value}","salt":"{salt}","list":"a","added_at":1}}"#
        )
    };
    let digest = Sha256::digest([b"salt".as_slice(), hash(1).as_bytes()].concat());
    let mut lines = vec![HEADER.to_owned(), blocked("73616c74", digest.into())];
    lines.extend((1..1_002).map(|salt| blocked(&format!("{salt:04x}"), [1; 32])));
    let run = import(&home, &lines, &[]);
    assert!(run.stderr.contains("left out 2 lines"), "{}", run.stderr);
    assert!(run.stderr.contains("more than 1000"), "{}", run.stderr);
    home.with_store(async |store| {
        assert_eq!(store.block_salts().await.unwrap().len(), 1_000);
        assert!(store.is_blocked(&hash(1)).await.unwrap());
        assert_eq!(store.is_blocked(&hash(2)).await, Ok(false));
        assert_eq!(store.unblock(&[hash(1)]).await, Ok(Vec::new()));
        assert_eq!(store.block_salts().await.unwrap().len(), 999);
        assert_eq!(store.unblock_list("a").await, Ok(999));
        assert_eq!(store.block_salts().await.unwrap().len(), 0);
    });
}

/// A value as a line may have it at any place.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1e400".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        "[a-f0-9\u{0}'\"é\\\\]{0,50}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the lines say: no panic, and what is in the database afterwards is sound.
    #[test]
    fn no_line_spoils_the_database(
        changes in prop::collection::vec((0..60_usize, value()), 1..30),
        junk in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let home = Home::filled(2, 1_000_000);
        let good = home.done(&["export"]).stdout;
        let mut lines: Vec<Vec<u8>> = good.lines().map(|line| line.as_bytes().to_vec()).collect();
        // Each change replaces one value of one line.
        let count = lines.len();
        for (at, value) in changes {
            let line = String::from_utf8(lines[1 + at % (count - 1)].clone()).unwrap();
            let Ok(mut object) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&line)
            else {
                continue;
            };
            let key = object.keys().nth(at % object.len()).unwrap().clone();
            object.insert(key.clone(), "PLACE".into());
            let text = serde_json::to_string(&object).unwrap().replacen("\"PLACE\"", &value, 1);
            lines.push(text.into_bytes());
        }
        lines.push(junk);
        let text = lines.join(&b'\n');

        let other = Home::new();
        let mut database = Database::open(&StoreUrl::Sqlite(other.store())).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let mut progress = |_: &str, _| {};
        let mut watch = Watch { stop: &stop, progress: &mut progress };
        let mut ignored = |_| {};
        let mut importer = Importer::new(&mut database, &mut ignored, 5);
        importer.lines("test".as_ref(), &text[..], &mut watch).unwrap();
        importer.finish().unwrap();
        let mut damages = Vec::new();
        let checked = database
            .check(false, &mut |damage| damages.push(damage.clone()), &mut watch)
            .unwrap();
        prop_assert_eq!(checked.damaged, 0, "{:?}", damages);
    }
}
