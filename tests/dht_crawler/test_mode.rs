//! Without a database: everything is fetched and told, and the exit code is 0.

use crate::databases::PASSWORD;
use crate::home::{Home, Running};
use crate::network::{Network, torrent};

#[tokio::test]
async fn without_a_login_nothing_is_connected_to_and_details_are_told() {
    let network = Network::start(141, 40).await;
    let movie = torrent("Some.Movie.2021.mkv", &[(&[], 50_000)]);
    network.serve(std::slice::from_ref(&movie)).await;
    let home = Home::without_database(network.nodes());
    let run = home.ended(home.bare(&["--metadata", &movie.hex()])).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
    let first = run.stdout.lines().next();
    assert_eq!(first, Some("Running in test mode without MySQL..."));
    for line in [
        "MySQL not connected, running in test mode without database storage",
        "*** METADATA RECEIVED ***",
        "*** METADATA RECEIVED (TEST MODE) ***",
        "Name: Some.Movie.2021.mkv",
        "Size: 50000 bytes (48.83 KB)",
        "*** ALL METADATA FETCHED ***",
        "- Total metadata fetched: 1",
    ] {
        let times = run.stdout.lines().filter(|it| *it == line).count();
        assert_eq!(times, 1, "{line}: {run:#?}");
    }
    assert!(!run.stdout.contains("Connected to MySQL"));
}

#[tokio::test]
async fn a_database_that_is_not_reached_is_told_and_the_run_goes_on() {
    let network = Network::start(142, 40).await;
    let movie = torrent("a.mkv", &[(&[], 50_000)]);
    network.serve(std::slice::from_ref(&movie)).await;
    let home = Home::new(network.nodes());
    let run = home
        .ended(home.command_at(9, &["--metadata", &movie.hex()]))
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(
        run.stderr.starts_with("MySQL connection failed: "),
        "{run:#?}"
    );
    assert!(!run.stderr.contains(PASSWORD), "{run:#?}");
    let failed = "MySQL connection failed - running in test mode without database storage";
    assert!(run.stdout.lines().any(|line| line == failed), "{run:#?}");
    assert!(
        run.stdout.contains("*** ALL METADATA FETCHED ***"),
        "{run:#?}"
    );

    // Database mode has nothing to do.
    let run = home
        .ended(home.command_at(9, &["--metadata_database"]))
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(
        run.stdout
            .contains("No records found with missing metadata. Exiting.")
    );
}

#[tokio::test]
async fn normal_mode_tells_what_it_found() {
    let network = Network::start(143, 40).await;
    network.torrents(5).await;
    let home = Home::without_database(network.nodes());
    let mut running = Running::start(home.bare(&["--user", "test"]));
    let line = running.until("Found torrent with ").await;
    assert!(line.ends_with(" (test mode)"), "{line}");
    running.until("*** METADATA RECEIVED (TEST MODE) ***").await;
    running.signal("-INT");
    assert_eq!(running.end().await.0, 0);
}
