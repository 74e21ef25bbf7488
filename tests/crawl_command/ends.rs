//! What a crawl finds and tells, and what ends it.

use std::collections::HashSet;

use metafetch::store::SessionStatus;

use crate::command::Run;
use crate::network::{Network, Running, crawl, ended, resolved};

#[tokio::test]
async fn sampled_hashes_are_resolved_and_stored_until_the_limit() {
    let network = Network::start(1, 60, 100).await;
    let out = network.path("out");
    let args = [
        "--limit",
        "40",
        "--format",
        "jsonl",
        "-o",
        out.to_str().unwrap(),
    ];
    let run = ended(network.crawl(&args)).await;
    assert_eq!(run.code, 0, "{run:#?}");
    let told = resolved(&run);
    let distinct: HashSet<String> = told.iter().cloned().collect();
    assert!(told.len() >= 40, "{run:#?}");
    assert_eq!(distinct.len(), told.len(), "none twice");
    assert!(distinct.is_subset(&network.hashes()));
    for hash in &distinct {
        assert!(out.join(format!("{hash}.torrent")).exists(), "{hash}");
    }
    let lines = run.lines();
    let last = lines.last().unwrap();
    assert_eq!(last["status"], "completed", "{run:#?}");
    let count = u64::try_from(told.len()).unwrap();
    assert_eq!(last["total"]["resolved"], count);
    assert!(last["total"]["hashes"].as_u64().unwrap() >= count);
    assert!(last["total"]["samples"].as_u64().unwrap() >= count);

    assert_eq!(network.stored().await, count);
    let sessions = network.sessions().await;
    let [session] = sessions.as_slice() else {
        panic!("{sessions:#?}");
    };
    assert_eq!(session.status, SessionStatus::Completed);
    assert_eq!(
        (session.command.as_str(), session.resolved),
        ("crawl", count)
    );
    assert!(session.ended_at_ms.is_some() && session.errors == 0);
    assert!(session.queries > 0 && session.answers > 0, "{session:#?}");
    assert!(
        session.discovered >= count && session.nodes > 0,
        "{session:#?}"
    );
    assert!(session.lookups >= count && session.peers >= count && session.attempts >= count);
    assert_eq!(session.peak_resolved_per_minute, count);
    assert!(session.cpu_ms.is_some() && session.peak_memory_kib.is_some());
    let nodes = network.nodes().await;
    assert!(
        nodes.iter().any(|node| node.bep51 == Some(true)),
        "{nodes:?}"
    );
}

/// Lines on stderr that say how far it is. On a busy machine there may be warnings beside them.
fn lines_of_progress(run: &Run) -> usize {
    run.stderr.matches(" queries (+").count()
}

#[tokio::test]
async fn a_time_ends_it_and_lines_say_how_far_it_is() {
    let network = Network::start(2, 30, 10).await;
    let run = ended(network.crawl(&["--for", "3s"])).await;
    assert_eq!(run.code, 0, "{run:#?}");
    assert_eq!(run.stdout, "", "results were not asked for");
    // Five a second on an idle machine; one, and one at the end, on any.
    assert!(lines_of_progress(&run) >= 2, "{run:#?}");
    assert_eq!(network.sessions().await[0].status, SessionStatus::Completed);
}

#[tokio::test]
async fn a_number_of_queries_ends_it() {
    let network = Network::start(3, 60, 10).await;
    let run = ended(network.crawl(&["--queries", "30", "-q"])).await;
    assert_eq!((run.code, lines_of_progress(&run)), (0, 0), "{run:#?}");
    let session = &network.sessions().await[0];
    assert!(session.queries >= 30, "{session:#?}");
    assert_eq!(session.status, SessionStatus::Completed);
}

#[tokio::test]
async fn a_signal_ends_it_with_everything_stored_and_the_next_run_goes_on() {
    for (seed, signal) in [(4, "-TERM"), (5, "-INT")] {
        let network = Network::start(seed, 60, 100).await;
        let mut running = Running::start(network.crawl(&[]));
        let mut told = running.resolved(10).await;
        running.signal(signal);
        let mut last = None;
        while let Some(line) = running.line().await {
            if line["status"] == "resolved" {
                told.push(line["infohash"].as_str().unwrap().to_owned());
            }
            last = Some(line);
        }
        assert_eq!(last.unwrap()["status"], "stopped");
        let status = running.child.wait().await.unwrap();
        assert_eq!(status.code(), Some(130));
        let stored = network.stored().await;
        assert_eq!(stored, u64::try_from(told.len()).unwrap());
        let session = &network.sessions().await[0];
        assert_eq!(session.status, SessionStatus::Stopped);
        assert_eq!(session.resolved, stored);
    }
}

#[tokio::test]
async fn without_a_store_it_crawls_and_keeps_nothing() {
    let network = Network::start(6, 40, 20).await;
    let none = std::path::Path::new("none");
    let args = ["--limit", "5", "--format", "jsonl"];
    let run = ended(crawl(none, &network.dht.bootstrap, &args)).await;
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(resolved(&run).len() >= 5);
    assert!(!network.store_path().exists());
}

#[tokio::test]
async fn a_rate_or_a_retention_without_effect_is_said() {
    let network = Network::start(7, 20, 0).await;
    let mut args = vec!["--rate", "2000", "--queries", "5", "-q"];
    args.extend(["--keep-attempts", "1h"]);
    let run = ended(network.crawl(&args)).await;
    assert_eq!(run.code, 0, "{run:#?}");
    // Attempts say which peers were tried, for as long as a hash cools down.
    for said in [
        "--rate 2000 has no effect beyond 400",
        "attempts are kept for 3days",
    ] {
        assert_eq!(run.stderr.matches(said).count(), 1, "{run:#?}");
    }
}

#[tokio::test]
async fn what_is_resolved_is_told_with_its_seeds_where_that_is_asked_for() {
    let network = Network::start(8, 40, 20).await;
    let mut running = Running::start(network.crawl(&["--scrape"]));
    loop {
        let line = running.line().await.expect("it ended");
        if line["status"] == "resolved" {
            // Each has one peer, which has not said that it has all.
            assert_eq!(
                (&line["seeds"], &line["leeches"]),
                (&0.into(), &1.into()),
                "{line}"
            );
            break;
        }
    }
    running.end().await;
}
