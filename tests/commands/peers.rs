//! `metafetch peers`.

use super::*;

async fn filled() -> (TempDir, PathBuf) {
    let (home, store) = home();
    let good = |ago| attempt("203.0.113.1:6881", None, Phase::Verify, ago);
    let bad = |ago| {
        let refused = Some(Reason::ConnectTimeout);
        attempt("198.51.100.2:7000", refused, Phase::Connect, ago)
    };
    let other = attempt(
        "203.0.113.1:7000",
        Some(Reason::Refused),
        Phase::Connect,
        9_000,
    );
    fill(
        &store,
        vec![
            attempts(hash(1), vec![good(5_000), bad(8_000), other]),
            attempts(hash(2), vec![good(4_000), bad(7_000)]),
            attempts(hash(3), vec![good(3_000), bad(6_000), bad(5_000)]),
        ],
    )
    .await;
    (home, store)
}

#[tokio::test]
async fn the_best_delivered_and_the_worst_failed_again_and_again() {
    let (_home, store) = filled().await;
    let best = command(&store, &["peers", "best", "--json"]).await.line();
    assert_eq!(best["peer"], "203.0.113.1:6881");
    assert_eq!(best["standing"], "good");
    assert_eq!(best["deliveries"], 3);
    let worst = command(&store, &["peers", "worst", "--json"]).await.line();
    assert_eq!(worst["peer"], "198.51.100.2:7000");
    assert_eq!(worst["failures_in_a_row"], 4);
    assert!(worst["score"].as_f64() < best["score"].as_f64());
    let table = stdout(&store, &["peers", "best"]).await;
    assert!(table.contains("3 of 3"), "{table}");
}

#[tokio::test]
async fn clients_and_networks_have_their_rates() {
    let (_home, store) = filled().await;
    let clients = command(&store, &["peers", "clients", "--json"])
        .await
        .line();
    assert_eq!(
        (&clients["attempts"], &clients["deliveries"]),
        (&3.into(), &3.into())
    );
    assert_eq!(clients["name"], "qbittorrent");
    let networks = command(&store, &["peers", "networks", "--json"])
        .await
        .lines();
    assert_eq!(
        networks.len(),
        1,
        "of the other nobody delivered: {networks:?}"
    );
    let table = stdout(&store, &["peers", "networks"]).await;
    assert!(
        table.contains("203.0.113.0/24") && table.contains("75.0%"),
        "{table}"
    );
    let one = command(&store, &["peers", "networks", "--json", "--limit", "1"]).await;
    assert_eq!(one.lines().len(), 1);
}

#[tokio::test]
async fn show_tells_the_story_of_a_peer_or_of_all_at_an_ip() {
    let (_home, store) = filled().await;
    let peer = command(&store, &["peers", "show", "203.0.113.1:6881", "--json"]).await;
    let peer = peer.line();
    assert_eq!(peer["bep9_support"], true);
    assert_eq!(peer["delivered_way"], "direct:tcp");
    let hashes = peer["latest_attempts"].as_array().unwrap();
    let hashes: Vec<_> = hashes
        .iter()
        .map(|line| line["infohash"].as_str().unwrap())
        .collect();
    let expected = [3, 2, 1].map(|n| hash(n).to_string());
    assert_eq!(hashes, expected, "the latest first");

    let ports = command(&store, &["peers", "show", "203.0.113.1", "--json"]).await;
    let ports: Vec<_> = ports
        .lines()
        .iter()
        .map(|line| line["peer"].clone())
        .collect();
    assert_eq!(ports, ["203.0.113.1:6881", "203.0.113.1:7000"]);
    let two = ["peers", "show", "203.0.113.1", "--limit", "2", "--json"];
    let two = command(&store, &two).await.lines();
    assert_eq!(two[0]["latest_attempts"].as_array().unwrap().len(), 2);

    let text = stdout(&store, &["peers", "show", "198.51.100.2:7000"]).await;
    for says in [
        "connect_timeout",
        "4 in a row",
        "as it went",
        &hash(3).to_string(),
    ] {
        assert!(text.contains(says), "`{says}` in {text}");
    }
    let unknown = command(&store, &["peers", "show", "192.0.2.9:1"]).await;
    assert_eq!(unknown.code, 3, "{unknown:#?}");
    assert!(
        unknown.stderr.contains("192.0.2.9:1 is not known"),
        "{unknown:#?}"
    );
    let wrong = command(&store, &["peers", "show", "somewhere"]).await;
    assert_eq!(wrong.code, 2, "{wrong:#?}");
}
