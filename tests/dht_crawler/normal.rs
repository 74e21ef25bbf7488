//! Normal mode: torrents that are discovered in the DHT.

use crate::home::{Home, Running};
use crate::network::Network;
use crate::swarm::TestTorrent;

#[tokio::test]
async fn discovered_torrents_are_stored_with_their_metadata() {
    let network = Network::start(131, 60).await;
    let torrents = network.torrents(30).await;
    let home = Home::new(network.nodes());
    let mut running = Running::start(home.command(&[]));
    for _ in 0..10 {
        running.until("*** METADATA RECEIVED ***").await;
    }
    running.until("Hashes found - ").await;
    running.signal("-INT");
    let (code, lines, stderr) = running.end().await;
    assert_eq!((code, stderr.as_str()), (0, ""), "{lines:#?}");
    let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
    for start in [
        "Waiting for DHT bootstrap...",
        "*** DHT Bootstrap completed! ***",
        "Starting 4 DHT worker threads...",
        "DHT Worker 0 started",
        "DHT worker pool started successfully",
        "Stored torrent with 0 peers: ",
        "Auto-queued metadata request for: ",
        "Updated database record",
        "*** Ctrl+C detected - Initiating graceful shutdown ***",
        "*** SHUTDOWN REQUESTED ***",
        "DHT worker pool stopped",
        "Hashes found - ",
        "Final Statistics:",
        "*** SHUTDOWN COMPLETE ***",
    ] {
        assert_eq!(
            has(start),
            start != "Updated database record",
            "{start}: {lines:#?}"
        );
    }
    let hashes: Vec<_> = torrents.iter().map(TestTorrent::hex).collect();
    let stored = home.rows(
        "SELECT info_hash AS value FROM discovered_torrents WHERE metadata_received = 1 AND \
         source = 'DHT_SAMPLE' AND name <> '' AND num_files > 0",
    );
    assert!(stored.len() >= 10, "{stored:?}");
    assert!(stored.iter().all(|hash| hashes.contains(hash)));
    let number = |what: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(what));
        line.unwrap().parse::<u64>().unwrap()
    };
    assert!(number("- Total queries sent: ") > 0);
    assert!(number("- Total peers found: ") >= 10);
    assert_eq!(number("- Total metadata fetched: "), stored.len() as u64);
}

#[tokio::test]
async fn a_number_of_queries_ends_it_and_none_at_once() {
    let network = Network::start(132, 60).await;
    network.torrents(5).await;
    let home = Home::new(network.nodes());
    for (queries, args) in [
        ("0", &["--queries", "0"][..]),
        ("40", &["--queries", "40", "--workers", "2", "--verbose"]),
        ("10", &["--queries", "10", "--sequential"]),
    ] {
        let run = home.run(args).await;
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
        let sent = run.stdout.lines();
        let sent: u64 = sent
            .filter_map(|line| line.strip_prefix("- Total queries sent: "))
            .map(|number| number.parse::<u64>().unwrap())
            .sum();
        let asked: u64 = queries.parse().unwrap();
        // What is in work when the number is reached still comes.
        let most = if asked == 0 { 0 } else { asked + 200 };
        assert!((asked..=most).contains(&sent), "{run:#?}");
        let verbose = args.contains(&"--verbose");
        assert_eq!(run.stdout.contains("=== CRAWLING COMPLETE ==="), verbose);
        let sequential = args.contains(&"--sequential");
        assert_eq!(run.stdout.contains("DHT Worker "), !sequential, "{run:#?}");
    }
}

#[tokio::test]
async fn sequential_mode_shows_hashes_in_hex_and_the_log_on_metadata_alone_shows_no_discoveries() {
    let network = Network::start(133, 60).await;
    network.torrents(20).await;
    let home = Home::new(network.nodes());
    let mut running = Running::start(home.command(&["--sequential"]));
    running.until("--- Query 1 ---").await;
    let line = running.until("Hash: ").await;
    let hash = line.strip_prefix("Hash: ").unwrap();
    assert!(hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    running.signal("-TERM");
    assert_eq!(running.end().await.0, 0);

    let mut running = Running::start(home.command(&["--metadata_log"]));
    running
        .until("[METADATA_LOG] *** METADATA DISCOVERED ***")
        .await;
    running.signal("-TERM");
    let (code, lines, _) = running.end().await;
    assert_eq!(code, 0);
    for start in [
        "Stored ",
        "Auto-queued ",
        "DHT Worker ",
        "Hashes found",
        "[DEBUG]",
        "[",
    ] {
        let shown = lines
            .iter()
            .find(|line| line.starts_with(start) && !line.starts_with("[METADATA_LOG]"));
        assert_eq!(shown, None, "{lines:#?}");
    }
    assert!(
        lines
            .iter()
            .any(|line| line.contains("Queued metadata request for: "))
    );
}

#[tokio::test]
async fn debug_lines_come_with_debug_and_name_events() {
    let network = Network::start(134, 40).await;
    network.torrents(3).await;
    let home = Home::new(network.nodes());
    let mut running = Running::start(home.command(&["--debug", "--verbose"]));
    running.until("[DEBUG] Alert type: dht_bootstrap").await;
    running.until("[DEBUG] Alert type: dht_sample: ").await;
    running.until("*** METADATA RECEIVED ***").await;
    running.signal("-TERM");
    let (code, lines, _) = running.end().await;
    assert_eq!(code, 0);
    assert!(
        lines
            .iter()
            .any(|line| line == "=== DHT Torrent Discovery Tool ===")
    );
    assert!(
        lines
            .iter()
            .any(|line| line == "Running indefinitely (press Ctrl+C to stop)")
    );
    assert!(
        lines
            .iter()
            .any(|line| line == "=== ENHANCED METADATA STATISTICS ===")
    );
}
