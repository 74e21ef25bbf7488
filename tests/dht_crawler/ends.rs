//! What ends it: signals, at any time, and a reader of stdout that has gone.

use std::time::{Duration, Instant};

use crate::home::{Home, Running};
use crate::network::Network;

#[tokio::test]
async fn each_signal_stops_it_with_its_lines_and_exit_code_0() {
    let network = Network::start(151, 40).await;
    network.torrents(5).await;
    let home = Home::new(network.nodes());
    for (signal, line) in [
        (
            "-INT",
            "*** Ctrl+C detected - Initiating graceful shutdown ***",
        ),
        ("-TERM", "*** SIGTERM received - Shutting down ***"),
        ("-TSTP", "*** Ctrl+Z detected - Pausing crawler ***"),
    ] {
        let mut running = Running::start(home.command(&["--verbose"]));
        running.until("DHT worker pool started successfully").await;
        running.signal(signal);
        running.signal(signal);
        let (code, lines, _) = running.end().await;
        assert_eq!(code, 0, "{lines:#?}");
        assert!(lines.iter().any(|it| it == line), "{lines:#?}");
        let last = lines.iter().rfind(|line| !line.is_empty());
        assert!(
            last.is_some_and(|line| line.starts_with("*** ")),
            "{lines:#?}"
        );
        // What is said of the signal comes before what it leads to.
        let at = |line: &str| lines.iter().position(|it| it == line);
        let (asked, begun) = (
            at("*** SHUTDOWN REQUESTED ***"),
            at("*** GRACEFUL SHUTDOWN INITIATED ***"),
        );
        assert!(asked.is_some() && asked < begun, "{lines:#?}");
        let complete = lines.iter().filter(|it| *it == "*** SHUTDOWN COMPLETE ***");
        assert_eq!(complete.count(), 1, "{lines:#?}");
    }
}

#[tokio::test]
async fn a_signal_while_the_dht_is_waited_for_ends_it_at_once() {
    let home = Home::new(&[]);
    let mut running = Running::start(home.command(&["--metadata", &"ab".repeat(20)]));
    running.until("Bootstrap wait: 1s").await;
    let started = Instant::now();
    running.signal("-INT");
    let (code, lines, _) = running.end().await;
    assert_eq!(code, 0, "{lines:#?}");
    // The wait itself has 29 seconds left.
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(
        !lines
            .iter()
            .any(|line| line.starts_with("Requesting metadata")),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line == "*** SHUTDOWN COMPLETE ***"));
}

#[tokio::test]
async fn a_reader_that_goes_ends_it_without_a_panic() {
    let network = Network::start(152, 40).await;
    network.torrents(5).await;
    let home = Home::new(network.nodes());
    let mut command = home.command(&["--debug"]);
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
}
