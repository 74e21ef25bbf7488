//! Tables that others have changed: columns that are missing, that are more, or that take less.

use metafetch::store::Holder;

use crate::fixture::{Legacy, discovered, peer, received};

const FILES: [(&str, u64); 2] = [("a name/one.mp3", 30_000), ("a name/two.mp3", 20_000)];

#[tokio::test]
async fn columns_that_are_not_there_are_left_out() {
    let legacy = Legacy::with_tables();
    legacy.run(
        "ALTER TABLE discovered_torrents DROP magnet_link, DROP content_type, DROP last_seen_at, \
         DROP trackers, DROP source, DROP timed_out",
    );
    legacy.run("ALTER TABLE discovered_peers DROP last_seen_at, DROP client_name");
    legacy.run("ALTER TABLE torrent_files DROP created_at");
    legacy.run("ALTER TABLE log DROP severity");
    let tables = legacy.tables().await;
    tables
        .discovered(discovered(1, &["1.2.3.4:5"]))
        .await
        .unwrap();
    tables
        .discovered(discovered(1, &["1.2.3.4:5"]))
        .await
        .unwrap();
    tables.discovered(discovered(2, &[])).await.unwrap();
    let mut row = received(1, &FILES);
    row.peers = vec![peer("1.2.3.4:5")];
    row.peers[0].client_name = Some("x".to_owned());
    tables.received(row).await.unwrap();
    assert_eq!(tables.timed_out(vec![format!("{:040x}", 2)]).await, Ok(0));
    assert_eq!(tables.backlog_total().await, Ok(1));
    let holder = Holder::new();
    let claimed = tables.claim(&holder, 10).await.unwrap();
    assert_eq!(claimed.rows.len(), 1);
    assert!(tables.claim(&holder, 10).await.unwrap().is_end());
    assert_eq!(
        legacy.rows("discovered_torrents", "name num_files", "TRUE"),
        ["a name | 2", "Announced Torrent | 0"]
    );
    assert_eq!(legacy.count("torrent_files", "TRUE"), 2);
    assert_eq!(legacy.count("discovered_peers", "TRUE"), 1);
    tables.close().await;
}

#[tokio::test]
async fn columns_that_are_more_or_take_less_do_no_harm() {
    let legacy = Legacy::with_tables();
    legacy.run(
        "ALTER TABLE discovered_torrents ADD owner VARCHAR(10) NOT NULL, \
         ADD size_mb BIGINT AS (size DIV 1000) STORED, MODIFY name VARCHAR(3), \
         MODIFY file_names TINYTEXT, MODIFY file_sizes VARCHAR(12), MODIFY size INT, \
         MODIFY source ENUM('DHT_ANNOUNCE', 'DHT_ITEM'), MODIFY content_type CHAR(2)",
    );
    legacy
        .run("ALTER TABLE torrent_files MODIFY file_path VARCHAR(5) CHARACTER SET latin1 NOT NULL");
    let tables = legacy.tables().await;
    let long = "p".repeat(200);
    let files = [("🙂 long path", 1), (long.as_str(), 2), ("z", u64::MAX - 9)];
    tables.received(received(1, &files)).await.unwrap();
    assert_eq!(
        legacy.rows(
            "discovered_torrents",
            "name file_names file_sizes size content_type owner",
            "TRUE"
        ),
        [format!(
            "a n | 🙂 long path, {long}, z | [1, 2] | {} | au | ",
            i32::MAX
        )]
    );
    assert_eq!(
        legacy.rows("torrent_files", "file_path", "TRUE"),
        ["? lon", "ppppp", "z"]
    );
    tables.discovered(discovered(2, &[])).await.unwrap();
    tables.close().await;
}

/// Case matters there, and an index may be missing that the old crawler made.
#[tokio::test]
async fn other_collations_and_no_indexes_change_nothing() {
    let legacy = Legacy::new();
    legacy.run(
        "CREATE TABLE discovered_torrents (id BIGINT AUTO_INCREMENT PRIMARY KEY, \
         info_hash CHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, name TEXT, num_files INT, \
         source VARCHAR(20), timed_out BOOL DEFAULT 0) ENGINE=InnoDB",
    );
    legacy.run(&format!(
        "INSERT INTO discovered_torrents (info_hash, source) VALUES ('{:040X}', 'MANUAL'), \
         ('{}', 'DHT_ITEM'), ('c', 'DHT_ANNOUNCE'), ('d', NULL)",
        0xabc,
        "a".repeat(32)
    ));
    let tables = legacy.tables().await;
    let holder = Holder::new();
    let mut got = Vec::new();
    loop {
        let claimed = tables.claim(&holder, 1).await.unwrap();
        if claimed.is_end() {
            break;
        }
        got.extend(claimed.rows.into_iter().map(|row| row.id));
    }
    assert_eq!(got, [3, 1, 4, 2]);
    tables.received(received(0xabc, &FILES)).await.unwrap();
    tables
        .discovered(discovered(0xabc, &["1.2.3.4:5"]))
        .await
        .unwrap();
    assert_eq!(
        legacy.rows("discovered_torrents", "id name", "num_files = 2"),
        ["1 | a name"]
    );
    assert_eq!(legacy.count("discovered_torrents", "TRUE"), 4);
    // The table of peers is made without its foreign key, which the types do not allow.
    assert_eq!(legacy.count("discovered_peers", "TRUE"), 1);
    tables.close().await;
}
