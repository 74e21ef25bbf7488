//! `--metadata` with lists and files.

use crate::home::Home;
use crate::network::Network;
use crate::swarm::{Behaviour, TestTorrent};

#[tokio::test]
async fn a_file_with_invalid_and_duplicate_entries_ends_when_the_others_are_settled() {
    let network = Network::start(111, 40).await;
    let torrents = network.torrents(3).await;
    let hashes: Vec<_> = torrents.iter().map(TestTorrent::hex).collect();
    let home = Home::new(network.nodes());
    let list = home.path("list.txt");
    let text = format!(
        "{}\r\n\n# comment\n{}\n{},Some Movie\n  {}\n{}",
        hashes[0],
        hashes[1].to_uppercase(),
        hashes[2],
        hashes[2],
        hashes[0]
    );
    std::fs::write(&list, text).unwrap();
    let run = home.run(&["--metadata", list.to_str().unwrap()]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
    let has = |line: &str| run.stdout.lines().any(|it| it == line);
    assert!(has("Total hashes to fetch metadata for: 3"), "{run:#?}");
    assert!(has(&format!(
        "Added hash for metadata fetch: {}",
        hashes[1].to_uppercase()
    )));
    assert!(run.stdout.contains("Skipped invalid hash: # comment ("));
    assert!(has(&format!("Skipped duplicate hash: {}", hashes[0])));
    assert!(has("*** ALL METADATA FETCHED ***"), "{run:#?}");
    assert!(has("- Total metadata fetched: 3"), "{run:#?}");
    assert_eq!(run.stdout.matches("*** METADATA RECEIVED ***").count(), 3);
    let mut stored = home.rows(
        "SELECT info_hash AS value FROM discovered_torrents WHERE metadata_received = 1 AND num_files > 0",
    );
    stored.sort();
    let mut expected = hashes.clone();
    expected.sort();
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn what_nobody_has_is_a_time_out_which_marks_a_row_that_is_there_and_makes_none() {
    let network = Network::start(112, 40).await;
    let torrent = &network.torrents(1).await[0];
    let (known, unknown) = ("aa".repeat(20), "bb".repeat(20));
    let home = Home::new(network.nodes());
    // The first run makes the tables, and ends at once.
    let run = home.run(&["--metadata", ","]).await;
    assert_eq!(run.code, 0);
    assert!(
        run.stdout.contains("*** ALL METADATA FETCHED ***"),
        "{run:#?}"
    );
    home.execute(&format!(
        "INSERT INTO discovered_torrents (info_hash, name) VALUES ('{}', 'Announced Torrent')",
        known.to_uppercase()
    ));
    let list = format!("{known},{},{unknown}", torrent.hex());
    let run = home.run(&["--metadata", &list, "--metadata_log"]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
    assert!(
        run.stdout.contains("*** METADATA TIMEOUT REACHED ***"),
        "{run:#?}"
    );
    assert_eq!(
        run.stdout
            .matches("[METADATA_LOG] *** METADATA TIMEOUT ***")
            .count(),
        2
    );
    assert!(
        run.stdout
            .contains("[METADATA_LOG] *** METADATA DISCOVERED ***")
    );
    let rows = home.rows(
        "SELECT CONCAT_WS('|', LOWER(info_hash), metadata_received, timed_out) AS value \
         FROM discovered_torrents ORDER BY id",
    );
    assert_eq!(
        rows,
        [format!("{known}|0|1"), format!("{}|1|0", torrent.hex())]
    );
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named_and_nothing_is_asked_for() {
    let network = Network::start(113, 20).await;
    let home = Home::new(network.nodes());
    let run = home.run(&["--metadata", "/no/such/file.csv"]).await;
    assert_eq!(run.code, 0, "{run:#?}");
    let first = run.stderr.lines().next();
    assert_eq!(first, Some("Error: Could not open file: /no/such/file.csv"));
    assert!(
        run.stdout.contains("*** ALL METADATA FETCHED ***"),
        "{run:#?}"
    );
}

#[tokio::test]
async fn a_limit_ends_it_with_what_came_until_then() {
    let network = Network::start(116, 20).await;
    let torrent = TestTorrent::v1(116, 2_000);
    let only = std::slice::from_ref(&torrent);
    let silent = network.swarm.peer(Behaviour::Silent, only).await;
    network.dht.announce(&torrent, silent);
    let home = Home::new(network.nodes());
    home.configure(network.nodes(), "limit = \"1s\"");
    let run = home.run(&["--metadata", &torrent.hex()]).await;
    assert_eq!(run.code, 0, "{run:#?}");
    for line in ["*** METADATA TIMEOUT REACHED ***", "- Timeouts: 0"] {
        assert!(run.stdout.lines().any(|it| it == line), "{run:#?}");
    }
}

#[tokio::test]
async fn the_answer_is_in_our_own_tables_the_second_time() {
    let network = Network::start(114, 40).await;
    let torrent = network.torrents(1).await.remove(0);
    let home = Home::new(network.nodes());
    assert_eq!(home.run(&["--metadata", &torrent.hex()]).await.code, 0);
    home.execute("DELETE FROM discovered_torrents");
    let network = Network::start(115, 20).await;
    home.configure(network.nodes(), "");
    let run = home.run(&["--metadata", &torrent.hex()]).await;
    assert!(
        run.stdout.contains("*** ALL METADATA FETCHED ***"),
        "{run:#?}"
    );
    let name = home.row("SELECT name AS value FROM discovered_torrents");
    assert_eq!(name, torrent.name);
}
