//! The texts that the scripts around the old program look for.

use crate::home::{Home, Running};
use crate::network::Network;

#[tokio::test]
async fn the_help_has_its_title() {
    let home = Home::without_database(&[]);
    let run = home.ended(home.bare(&["--help"])).await;
    assert!(run.code == 0 && run.stdout.contains("DHT Torrent Discovery Tool"));
}

#[tokio::test]
async fn a_run_with_debug_has_what_is_looked_for_line_by_line() {
    let network = Network::start(171, 60).await;
    network.torrents(10).await;
    let home = Home::new(network.nodes());
    let mut running = Running::start(home.command(&["--debug", "--verbose"]));
    running.until("*** METADATA RECEIVED ***").await;
    running
        .until("Listening on: 127.0.0.1:0 (configured)")
        .await;
    running.signal("-INT");
    let (code, lines, _) = running.end().await;
    assert_eq!(code, 0);
    let any = |matches: &dyn Fn(&str) -> bool| {
        let lower = lines.iter().map(|line| line.to_lowercase());
        lower.into_iter().any(|line| matches(&line))
    };
    assert!(
        lines
            .iter()
            .any(|line| line.contains("DHT Bootstrap completed"))
    );
    assert!(lines.iter().any(|line| line.contains("Alert type:")));
    assert!(any(&|line| line.contains("peers")
        && ["found", "reply", "discovered"]
            .iter()
            .any(|word| line.contains(word))));
    assert!(any(&|line| line.contains("metadata request")));
    assert!(any(&|line| line.contains("queued metadata")));
    assert!(any(&|line| line.contains("alert")));
    assert!(any(&|line| line.contains("failed")));
}

#[tokio::test]
async fn the_log_on_metadata_has_what_is_looked_for() {
    let network = Network::start(172, 40).await;
    let torrent = network.torrents(1).await.remove(0);
    let home = Home::new(network.nodes());
    let list = format!("{},{}", torrent.hex(), "cc".repeat(20));
    let run = home
        .ended(home.command_at(9, &["--metadata_log", "--metadata", &list]))
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
    for text in [
        "METADATA DISCOVERED",
        "METADATA TIMEOUT",
        "MySQL connection failed",
        "Queued metadata request",
    ] {
        assert!(run.stdout.contains(text), "{text}: {run:#?}");
    }
}

#[tokio::test]
async fn nothing_was_sent_where_nothing_was_to_be_sent() {
    let network = Network::start(173, 20).await;
    let home = Home::without_database(network.nodes());
    let run = home
        .ended(home.bare(&["--queries", "0", "--verbose"]))
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
    for text in [
        "=== CRAWLING COMPLETE ===",
        "- Total queries sent: ",
        "Final Statistics:",
    ] {
        assert!(run.stdout.contains(text), "{text}: {run:#?}");
    }
}
