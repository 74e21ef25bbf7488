//! What stands in each column, by each way that a row is written.

use metafetch::store::{DiscoveredRow, LogRow, Severity};
use metafetch::torrent::Infohash;

use crate::fixture::{Legacy, discovered, hash, peer, received};

const ALL: &str = "info_hash name size num_files file_names file_sizes comment created_by \
    creation_date encoding piece_length num_pieces trackers private_torrent source \
    metadata_received timed_out magnet_link announce_url announce_list content_type language \
    category seeders_count leechers_count download_speed";
/// Times that an earlier day has set, so that it can be seen which are refreshed.
const LONG_AGO: &str = "UPDATE discovered_torrents SET discovered_at = '2020-01-01', \
    last_seen_at = '2020-01-01', created_at = '2020-01-01', updated_at = '2020-01-01'";
const IS_NOW: &str = "> CURRENT_TIMESTAMP - INTERVAL 1 HOUR";
const FILES: [(&str, u64); 2] = [("a name/one, two.mp3", 30_000), ("a name/b", 20_000)];

fn complete(number: u32, source: &str) -> String {
    format!(
        "{number:040x} | a name | 50000 | 2 | a name/one, two.mp3, a name/b | [30000, 20000] |  |  \
         | NULL |  | 16384 | 4 | [] | 1 | {source} | 1 | 0 | \
         magnet:?xt=urn:btih:{number:040x}&dn=a%20name |  | [] | audio |  |  | 0 | 0 | 0"
    )
}

#[tokio::test]
async fn a_hash_that_was_seen() {
    let legacy = Legacy::new();
    let tables = legacy.tables().await;
    for (number, source) in [(1, "DHT_ANNOUNCE"), (2, "DHT_PEERS"), (3, "DHT_SAMPLE")] {
        let infohash = hash(number);
        let found = DiscoveredRow {
            infohash,
            source,
            peers: Vec::new(),
        };
        tables.discovered(found).await.unwrap();
    }
    let row = |number: u32, name: &str, source: &str| {
        format!(
            "{number:040x} | {name} | 0 | 0 |  | [] |  |  | NULL |  | 0 | 0 | [] | 0 | {source} \
             | 0 | 0 | magnet:?xt=urn:btih:{number:040x} |  | [] |  |  |  | 0 | 0 | 0"
        )
    };
    assert_eq!(
        legacy.rows("discovered_torrents", ALL, "TRUE"),
        [
            row(1, "Announced Torrent", "DHT_ANNOUNCE"),
            row(2, "Unknown Torrent", "DHT_PEERS"),
            row(3, "Unknown Torrent", "DHT_SAMPLE"),
        ]
    );
    let times = format!(
        "discovered_at {IS_NOW} AND last_seen_at {IS_NOW} AND created_at {IS_NOW} AND updated_at {IS_NOW}"
    );
    assert_eq!(legacy.count("discovered_torrents", &times), 3);
    // Ids are not used up by what is seen again: they end at 2^31.
    for _ in 0..5 {
        tables
            .discovered(discovered(1, &["1.2.3.4:5"]))
            .await
            .unwrap();
    }
    tables
        .discovered(discovered(4, &["1.2.3.4:6"]))
        .await
        .unwrap();
    assert_eq!(
        legacy.rows("discovered_torrents", "id", "TRUE"),
        ["1", "2", "3", "4"]
    );
    assert_eq!(legacy.rows("discovered_peers", "id", "TRUE"), ["1", "2"]);
    tables.close().await;
}

#[tokio::test]
async fn metadata_of_a_new_hash_and_of_one_that_was_seen() {
    let legacy = Legacy::new();
    let tables = legacy.tables().await;
    tables.discovered(discovered(1, &[])).await.unwrap();
    tables.timed_out(vec![format!("{:040x}", 1)]).await.unwrap();
    legacy.run(LONG_AGO);
    tables.received(received(1, &FILES)).await.unwrap();
    tables.received(received(2, &FILES)).await.unwrap();
    assert_eq!(
        legacy.rows("discovered_torrents", ALL, "TRUE"),
        [complete(1, "DHT_ANNOUNCE"), complete(2, "METADATA_ONLY")]
    );
    let refreshed = format!(
        "discovered_at = '2020-01-01' AND created_at = '2020-01-01' AND last_seen_at {IS_NOW} \
         AND updated_at {IS_NOW}"
    );
    assert_eq!(legacy.rows("discovered_torrents", "id", &refreshed), ["1"]);
    let files = legacy.rows(
        "torrent_files",
        "torrent_hash file_index file_path file_size file_hash",
        "TRUE",
    );
    let file = |number: u32, index: usize| {
        let (path, size) = FILES[index];
        format!("{number:040x} | {index} | {path} | {size} | NULL")
    };
    assert_eq!(files, [file(1, 0), file(1, 1), file(2, 0), file(2, 1)]);
    tables.close().await;
}

#[tokio::test]
async fn a_hash_that_is_seen_again_loses_nothing() {
    let legacy = Legacy::new();
    let tables = legacy.tables().await;
    tables.received(received(1, &FILES)).await.unwrap();
    // What other programs have added.
    legacy.run(
        "UPDATE discovered_torrents SET seeders_count = 7, category = 'films', comment = 'x', \
         trackers = '[\"udp://t:1\"]'",
    );
    let before = legacy.rows("discovered_torrents", ALL, "TRUE");
    legacy.run(LONG_AGO);
    tables
        .discovered(discovered(1, &["1.2.3.4:5"]))
        .await
        .unwrap();
    assert_eq!(tables.timed_out(vec![format!("{:040x}", 1)]).await, Ok(0));
    assert_eq!(legacy.rows("discovered_torrents", ALL, "TRUE"), before);
    let seen =
        format!("last_seen_at {IS_NOW} AND updated_at {IS_NOW} AND created_at = '2020-01-01'");
    assert_eq!(legacy.count("discovered_torrents", &seen), 1);
    // Nor when its metadata comes again: the files keep their rows, and their hashes.
    legacy.run("UPDATE torrent_files SET file_hash = 'abc'");
    tables.received(received(1, &FILES)).await.unwrap();
    assert_eq!(legacy.rows("discovered_torrents", ALL, "TRUE"), before);
    assert_eq!(
        legacy.rows("torrent_files", "id file_hash", "TRUE"),
        ["1 | abc", "2 | abc"]
    );
    // Files that others have stored wrongly are put right.
    legacy.run(
        "UPDATE torrent_files SET file_path = 'z', file_index = file_index + 1 ORDER BY id DESC",
    );
    tables.received(received(1, &FILES)).await.unwrap();
    let files = legacy.lines(
        "SELECT CONCAT(file_index, ' ', file_path) AS line FROM torrent_files ORDER BY file_index",
    );
    assert_eq!(
        files,
        FILES
            .iter()
            .enumerate()
            .map(|(index, (path, _))| Some(format!("{index} {path}")))
            .collect::<Vec<_>>()
    );
    tables.close().await;
}

#[tokio::test]
async fn time_outs_are_marked_and_reset() {
    let legacy = Legacy::new();
    let tables = legacy.tables().await;
    for number in 1..=3 {
        tables.discovered(discovered(number, &[])).await.unwrap();
    }
    tables.received(received(3, &FILES)).await.unwrap();
    // A row that says both is worked on by the database mode, and so can time out.
    legacy.run("UPDATE discovered_torrents SET metadata_received = 1 WHERE id = 2");
    let texts = (1..=4).map(|number| format!("{number:040X}")).collect();
    assert_eq!(tables.timed_out(texts).await, Ok(2));
    assert_eq!(
        legacy.rows("discovered_torrents", "timed_out", "TRUE"),
        ["1", "1", "0"]
    );
    assert_eq!(
        legacy.count("discovered_torrents", "TRUE"),
        3,
        "no row is made"
    );
    tables.received(received(1, &FILES)).await.unwrap();
    assert_eq!(
        legacy.rows("discovered_torrents", "timed_out", "id = 1"),
        ["0"]
    );
    tables.close().await;
}

#[tokio::test]
async fn rows_in_other_forms_are_found_and_keep_their_form() {
    let legacy = Legacy::with_tables();
    let (upper, base32) = (
        "68C5AA6CA268928B5A493ED1A6CF806A6B2A78D1",
        "MZXW6YTBOJRGC6BANRUWWZJAPFXXKLRA",
    );
    legacy.run(&format!(
        "INSERT INTO discovered_torrents (info_hash, name, timed_out) VALUES \
         ('{upper}', NULL, 1), ('{base32}', NULL, 1)"
    ));
    let tables = legacy.tables().await;
    for (key, with_key) in [(upper, false), (base32, true)] {
        let infohash = Infohash::from_btih(key).unwrap();
        let mut row = received(1, &FILES);
        row.infohash = infohash;
        row.row_key = with_key.then(|| key.to_owned());
        row.peers = vec![peer("1.2.3.4:5")];
        tables.received(row).await.unwrap();
        let peers = vec![peer("[2a00::1]:6")];
        let found = DiscoveredRow {
            infohash,
            source: "DHT_PEERS",
            peers,
        };
        tables.discovered(found).await.unwrap();
        let condition = format!("BINARY info_hash = '{key}'");
        assert_eq!(
            legacy.rows(
                "discovered_torrents",
                "name timed_out metadata_received source",
                &condition
            ),
            ["a name | 0 | 1 | DHT"]
        );
        let condition = format!("BINARY torrent_hash = '{key}'");
        assert_eq!(legacy.count("discovered_peers", &condition), 2);
        assert_eq!(legacy.count("torrent_files", &condition), 2);
    }
    assert_eq!(legacy.count("discovered_torrents", "TRUE"), 2);
    // Of two rows, the one that was read is the one that is completed.
    let hex = Infohash::from_btih(base32).unwrap();
    legacy.run(&format!(
        "INSERT INTO discovered_torrents (info_hash) VALUES ('{hex}')"
    ));
    legacy.run("UPDATE discovered_torrents SET num_files = 0");
    let mut row = received(1, &FILES);
    row.infohash = hex;
    row.row_key = Some(base32.to_owned());
    tables.received(row.clone()).await.unwrap();
    assert_eq!(
        legacy.rows("discovered_torrents", "id", "num_files = 2"),
        ["2"]
    );
    row.row_key = None;
    tables.received(row).await.unwrap();
    assert_eq!(
        legacy.rows("discovered_torrents", "id", "num_files = 2"),
        ["2", "3"]
    );
    tables.close().await;
}

#[tokio::test]
async fn a_row_with_20_raw_characters_is_completed() {
    let legacy = Legacy::new();
    let tables = legacy.tables().await;
    let text = "abcdefghij0123456789";
    legacy.run(&format!(
        "INSERT INTO discovered_torrents (info_hash) VALUES ('{text}')"
    ));
    let mut row = received(1, &FILES);
    row.infohash = Infohash::V1(text.as_bytes().try_into().unwrap());
    row.row_key = Some(text.to_owned());
    tables.received(row).await.unwrap();
    assert_eq!(
        legacy.rows(
            "discovered_torrents",
            "info_hash num_files metadata_received",
            "TRUE"
        ),
        [format!("{text} | 2 | 1")]
    );
    assert_eq!(
        legacy.count("torrent_files", &format!("torrent_hash = '{text}'")),
        2
    );
    tables.close().await;
}

#[tokio::test]
async fn a_hash_that_is_announced_after_it_was_seen_is_an_announced_torrent() {
    let legacy = Legacy::new();
    let tables = legacy.tables().await;
    for (number, source) in [(1, "DHT_PEERS"), (2, "DHT_SAMPLE"), (3, "MANUAL")] {
        let seen = DiscoveredRow {
            source,
            ..discovered(number, &[])
        };
        tables.discovered(seen).await.unwrap();
    }
    tables.received(received(4, &FILES)).await.unwrap();
    for number in 1..=4 {
        tables.discovered(discovered(number, &[])).await.unwrap();
    }
    assert_eq!(
        legacy.rows("discovered_torrents", "name source", "TRUE"),
        [
            "Announced Torrent | DHT_ANNOUNCE",
            "Announced Torrent | DHT_ANNOUNCE",
            "Unknown Torrent | MANUAL",
            "a name | METADATA_ONLY",
        ]
    );
    tables.close().await;
}

#[tokio::test]
async fn hybrids_and_v2_stand_under_what_was_asked_for() {
    let legacy = Legacy::new();
    let tables = legacy.tables().await;
    for infohash in [
        Infohash::Hybrid {
            v1: [0x11; 20],
            v2: [0x22; 32],
        },
        Infohash::V2([0x33; 32]),
    ] {
        let mut row = received(1, &FILES);
        row.infohash = infohash;
        tables.received(row).await.unwrap();
    }
    let hashes = ["11".repeat(20), "33".repeat(20)];
    assert_eq!(
        legacy.rows("discovered_torrents", "info_hash", "TRUE"),
        hashes
    );
    tables.close().await;
}

#[tokio::test]
async fn peers_are_there_once_and_what_is_known_of_them_stays() {
    let legacy = Legacy::new();
    let tables = legacy.tables().await;
    let mut row = received(1, &FILES);
    let mut known = peer("[2a00:1234:5678:9abc:def0:1234:5678:9abc]:65535");
    known.peer_id = Some("2d71".to_owned());
    known.client_name = Some("qBittorrent".to_owned());
    known.client_version = Some("4.6".to_owned());
    known.connection_type = Some("utp".to_owned());
    row.peers = vec![
        peer("1.2.3.4:5"),
        peer("1.2.3.4:5"),
        peer("[::ffff:1.2.3.4]:5"),
        known,
    ];
    tables.received(row).await.unwrap();
    let old =
        "UPDATE discovered_peers SET last_seen_at = '2020-01-01', discovered_at = '2020-01-01'";
    legacy.run(old);
    let again = discovered(
        1,
        &[
            "1.2.3.4:5",
            "[2a00:1234:5678:9abc:def0:1234:5678:9abc]:65535",
            "1.2.3.4:6",
        ],
    );
    tables.discovered(again).await.unwrap();
    let columns = "id torrent_hash peer_address peer_port peer_id client_name client_version \
                   connection_type source";
    let hash = format!("{:040x}", 1);
    assert_eq!(
        legacy.rows("discovered_peers", columns, "TRUE"),
        [
            format!("1 | {hash} | 1.2.3.4 | 5 | NULL | NULL | NULL | NULL | DHT_ANNOUNCE"),
            format!(
                "2 | {hash} | 2a00:1234:5678:9abc:def0:1234:5678:9abc | 65535 | 2d71 | qBittorrent \
                 | 4.6 | utp | DHT_ANNOUNCE"
            ),
            format!("3 | {hash} | 1.2.3.4 | 6 | NULL | NULL | NULL | NULL | DHT_ANNOUNCE"),
        ]
    );
    let seen = format!("last_seen_at {IS_NOW}");
    assert_eq!(legacy.count("discovered_peers", &seen), 3);
    assert_eq!(
        legacy.count("discovered_peers", "discovered_at = '2020-01-01'"),
        2
    );
    // A client that becomes known later is added.
    let mut row = discovered(1, &["1.2.3.4:5"]);
    row.peers[0].client_name = Some("Transmission".to_owned());
    tables.discovered(row).await.unwrap();
    assert_eq!(
        legacy.rows("discovered_peers", "client_name", "id = 1"),
        ["Transmission"]
    );
    tables.close().await;
}

#[tokio::test]
async fn the_log_has_the_words_of_the_old_crawler() {
    let legacy = Legacy::new();
    let tables = legacy.tables().await;
    for (severity, infohash) in [
        (Severity::Error, Some("abc".to_owned())),
        (Severity::Critical, None),
    ] {
        tables
            .log(LogRow {
                function_name: "MySQLConnection::storeTorrent",
                error_code: -1,
                error_message: "it's \"broken\" \\ \0 🙂".to_owned(),
                severity,
                infohash,
            })
            .await;
    }
    // What was sent before still comes.
    tables.close().await;
    let columns = "function_name caller_function error_code error_message stack_trace severity \
                   process_id additional_data";
    let pid = std::process::id();
    let row = |severity: &str, data: &str| {
        format!(
            "MySQLConnection::storeTorrent |  | -1 | it's \"broken\" \\ \u{fffd} 🙂 |  | {severity} \
             | {pid} | {data}"
        )
    };
    assert_eq!(
        legacy.rows(
            "log",
            columns,
            "timestamp IS NOT NULL AND thread_id REGEXP '^[0-9]+$'"
        ),
        [row("ERROR", "info_hash=abc"), row("CRITICAL", "")]
    );
}
