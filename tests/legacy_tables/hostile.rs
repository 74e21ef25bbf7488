//! Names and lists of files that are made to hurt.

use metafetch::store::ReceivedRow;

use crate::fixture::{Legacy, peer, received};

fn with_files(number: u32, files: Vec<(String, u64)>) -> Box<ReceivedRow> {
    let mut row = received(number, &[]);
    row.file_count = files.len();
    row.files = files;
    row
}

#[tokio::test]
async fn names_are_stored_as_they_are() {
    let legacy = Legacy::new();
    let tables = legacy.tables().await;
    let names = [
        "it's \"quoted\" `so` \\' \\\\ \\0 %s ?",
        "'); DROP TABLE discovered_torrents; --",
        "𝕱𝖚𝖑𝖑 🙂 漢字 \u{202e}gnp.exe\u{202c} \u{200b}\u{7f}\u{85}",
        "line\nbreak\ttab\r",
        " . ",
        "",
    ];
    for (number, name) in (1_u32..).zip(names) {
        let mut row = with_files(number, vec![(name.to_owned(), 1), (format!("{name}/b"), 2)]);
        row.name = name.to_owned();
        row.magnet_link = name.to_owned();
        row.peers = vec![peer("1.2.3.4:5")];
        row.peers[0].client_name = Some(name.to_owned());
        tables.received(row).await.unwrap();
        let condition = format!("id = {number}");
        let stored = legacy.rows(
            "discovered_torrents",
            "name file_names magnet_link",
            &condition,
        );
        assert_eq!(stored, [format!("{name} | {name}, {name}/b | {name}")]);
        let condition = format!("torrent_hash = '{number:040x}' AND file_index = 0");
        assert_eq!(
            legacy.rows("torrent_files", "file_path", &condition),
            [name]
        );
    }
    let mut row = with_files(100, vec![("a\0b".to_owned(), 1)]);
    row.name = "a\0b".to_owned();
    tables.received(row).await.unwrap();
    let stored = legacy.rows(
        "discovered_torrents",
        "name file_names",
        &format!("info_hash = '{:040x}'", 100),
    );
    assert_eq!(
        stored,
        ["a\u{fffd}b | a\u{fffd}b"],
        "all behind the NUL is there"
    );
    tables.close().await;
}

#[tokio::test]
async fn what_is_too_long_is_cut_between_characters() {
    let legacy = Legacy::new();
    let tables = legacy.tables().await;
    let long = "🙂é".repeat(5_000);
    let mut row = with_files(1, vec![(long.clone(), u64::MAX)]);
    row.name.clone_from(&long);
    row.size = u64::MAX;
    row.pieces = u64::MAX;
    row.piece_length = u64::MAX;
    row.magnet_link.clone_from(&long);
    row.peers = vec![peer("1.2.3.4:5")];
    row.peers[0].peer_id = Some(long.clone());
    row.peers[0].client_name = Some(long.clone());
    row.peers[0].client_version = Some(long.clone());
    row.peers[0].connection_type = Some(long.clone());
    tables.received(row).await.unwrap();
    let lengths = legacy.rows(
        "discovered_torrents",
        "CHAR_LENGTH(name) CHAR_LENGTH(file_names) CHAR_LENGTH(magnet_link) size piece_length num_pieces",
        "TRUE",
    );
    assert_eq!(
        lengths,
        [format!(
            "500 | 10000 | 10000 | {0} | {0} | {1}",
            i64::MAX,
            i32::MAX
        )]
    );
    assert_eq!(
        legacy.rows("discovered_torrents", "name", "TRUE")[0],
        "🙂é".repeat(250)
    );
    assert_eq!(
        legacy.rows("torrent_files", "CHAR_LENGTH(file_path) file_size", "TRUE"),
        [format!("1000 | {}", i64::MAX)]
    );
    let peers = "CHAR_LENGTH(peer_id) CHAR_LENGTH(client_name) CHAR_LENGTH(client_version) \
                 CHAR_LENGTH(connection_type)";
    assert_eq!(
        legacy.rows("discovered_peers", peers, "TRUE"),
        ["40 | 100 | 50 | 20"]
    );
    // One path that is longer than the whole column.
    let path = "é".repeat(40_000);
    tables
        .received(with_files(2, vec![(path, 1)]))
        .await
        .unwrap();
    assert_eq!(
        legacy.rows(
            "discovered_torrents",
            "LENGTH(file_names) CHAR_LENGTH(file_names)",
            "id = 2"
        ),
        ["65534 | 32767"]
    );
    tables.close().await;
}

#[tokio::test]
async fn lists_of_files_end_at_a_path_and_the_files_are_all_there() {
    let legacy = Legacy::new();
    let tables = legacy.tables().await;
    for (number, count) in [(1, 2_500), (2, 100_000)] {
        let files: Vec<(String, u64)> = (0..count)
            .map(|index| {
                (
                    format!("a name/directory/file {index:06} é.dat"),
                    1_000_000 + index,
                )
            })
            .collect();
        let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        let sizes: Vec<String> = files.iter().map(|(_, size)| size.to_string()).collect();
        tables
            .received(with_files(number, files.clone()))
            .await
            .unwrap();
        let condition = format!("info_hash = '{number:040x}'");
        let list = &legacy.rows("discovered_torrents", "file_names", &condition)[0];
        assert!(
            list.len() <= 65_535 && list.len() > 65_000,
            "{}",
            list.len()
        );
        let listed: Vec<&str> = list.split(", ").collect();
        assert_eq!(listed, paths[..listed.len()]);
        let list = &legacy.rows("discovered_torrents", "file_sizes", &condition)[0];
        assert!(list.len() <= 65_535, "{}", list.len());
        let list = list.strip_prefix('[').unwrap().strip_suffix(']').unwrap();
        let listed: Vec<&str> = list.split(", ").collect();
        assert_eq!(listed, sizes[..listed.len()]);
        assert!(
            listed.len() == sizes.len() || listed.len() > 7_000,
            "{}",
            listed.len()
        );
        let rows = legacy.rows(
            "discovered_torrents",
            "num_files metadata_received",
            &condition,
        );
        assert_eq!(rows, [format!("{count} | 1")]);
        let stored = legacy.lines(&format!(
            "SELECT CONCAT(file_path, ' ', file_size) AS line FROM torrent_files \
             WHERE torrent_hash = '{number:040x}' ORDER BY file_index"
        ));
        assert!(
            stored.iter().flatten().eq(files
                .iter()
                .map(|(path, size)| format!("{path} {size}"))
                .collect::<Vec<_>>()
                .iter())
        );
    }
    tables.close().await;
}

/// Backslashes that escape, double quotes that name columns, and values that are cut or refused.
#[tokio::test]
async fn the_mode_of_the_server_makes_no_difference() {
    let legacy = Legacy::alone();
    let name = "it's \"quoted\" \\' \\\\ ".repeat(100);
    let modes = [
        "",
        "TRADITIONAL,NO_ZERO_DATE",
        "ANSI,STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES,NO_AUTO_VALUE_ON_ZERO,PAD_CHAR_TO_FULL_LENGTH",
    ];
    let mut rows = Vec::new();
    for (number, mode) in (1_u32..).zip(modes) {
        legacy
            .database
            .server
            .run(&format!("SET GLOBAL sql_mode = '{mode}'"));
        let tables = legacy.tables().await;
        let mut row = with_files(number, vec![(name.repeat(100), u64::MAX)]);
        row.name.clone_from(&name);
        tables.received(row).await.unwrap();
        tables.close().await;
        let columns = "name size num_files file_names file_sizes creation_date timed_out";
        rows.extend(legacy.rows("discovered_torrents", columns, &format!("id = {number}")));
    }
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0], rows[1]);
    assert_eq!(rows[0], rows[2]);
}
