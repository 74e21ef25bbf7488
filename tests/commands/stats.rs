//! `metafetch stats`.

use metafetch::store::{CrawlSession, SessionStatus};

use crate::command::Resolve;
use crate::swarm::{Behaviour, Swarm, TestTorrent};

use super::*;

#[tokio::test]
async fn attempts_and_hashes_add_up_since_the_time_that_is_asked_for() {
    let (_home, store) = home();
    let long_ago = 3 * 24 * 60 * MINUTE_MS;
    let silent = Some(Reason::HandshakeTimeout);
    let closed = Some(Reason::Closed);
    fill(
        &store,
        vec![
            attempts(
                hash(1),
                vec![
                    attempt("203.0.113.1:1", silent, Phase::Handshake, 9_000),
                    attempt("203.0.113.2:1", None, Phase::Verify, 8_000),
                ],
            ),
            attempts(
                hash(2),
                vec![attempt("203.0.113.3:1", closed, Phase::Transfer, 7_000)],
            ),
            attempts(
                hash(3),
                vec![attempt("203.0.113.4:1", None, Phase::Verify, long_ago)],
            ),
            failed(hash(4), Reason::NoPeers, MINUTE_MS),
            failed(hash(2), Reason::Closed, MINUTE_MS),
        ],
    )
    .await;
    let all = command(&store, &["stats", "--json"]).await.line();
    assert_eq!(
        all["attempts"],
        serde_json::json!({"attempts": 4, "delivered": 2})
    );
    let recent = command(&store, &["stats", "--json", "--since", "24h"])
        .await
        .line();
    assert_eq!(
        recent["attempts"],
        serde_json::json!({"attempts": 3, "delivered": 1})
    );
    assert_eq!(recent["by_arm"]["direct"]["delivered"], 1);
    assert_eq!(recent["by_way"]["direct:tcp"]["attempts"], 3);
    assert_eq!(
        recent["by_reason"],
        serde_json::json!({"closed": 1, "handshake_timeout": 1})
    );
    assert_eq!(
        recent["by_phase"],
        serde_json::json!({"handshake": 1, "transfer": 1})
    );
    let stages = [
        ("asked", 3),
        ("had_peers", 2),
        ("connected", 2),
        ("handshake", 2),
        ("extension", 2),
        ("transfer", 1),
        ("verified", 1),
    ];
    for (stage, hashes) in stages {
        assert_eq!(recent["hashes"][stage], hashes, "{stage}: {recent}");
    }
    assert_eq!(recent["deliveries"]["p50_ms"], 120);
    assert_eq!(recent["connects"]["sample"], 3);
    assert_eq!(recent["tables"]["failed_torrents"], 2);
    assert!(recent["database_bytes"].as_u64().unwrap() > 4096);
    let text = stdout(&store, &["stats", "--since", "24h"]).await;
    assert!(
        text.contains("had peers") && text.contains("66.7%"),
        "{text}"
    );
    let wrong = command(&store, &["stats", "--since", "yesterday"]).await;
    assert_eq!(wrong.code, 2, "{wrong:#?}");
}

#[tokio::test]
async fn a_run_leaves_its_figures() {
    let swarm = Swarm::start(62);
    let torrent = TestTorrent::v1(1, 30_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let (_home, store) = home();
    let resolve = Resolve::new().store(&store).peer(peer).arg(torrent.hex());
    assert_eq!(resolve.run().await.code, 0);
    let stats = command(&store, &["stats", "--json"]).await.line();
    assert_eq!(stats["hashes"]["verified"], 1, "{stats}");
    assert_eq!(stats["tables"]["torrents"], 1, "{stats}");
}

#[tokio::test]
async fn an_empty_store_has_statistics_too() {
    let (_home, store) = home();
    fill(&store, Vec::new()).await;
    let stats = command(&store, &["stats", "--json"]).await.line();
    assert_eq!(stats["hashes"]["asked"], 0);
    assert!(stats["deliveries"]["p50_ms"].is_null());
    stdout(&store, &["stats"]).await;
}

#[tokio::test]
async fn the_latest_runs_are_shown() {
    let (_home, store) = home();
    fill(&store, Vec::new()).await;
    let opened = Store::open(&StoreUrl::Sqlite(store.clone())).unwrap();
    for number in 0..7 {
        let mut session = CrawlSession::start("crawl", now_ms() - MINUTE_MS * (10 - number));
        session.status = SessionStatus::Completed;
        session.ended_at_ms = Some(session.started_at_ms + 65_000);
        (session.requested, session.resolved, session.failed) = (500, 321, 179);
        opened.save_session(&session).await.unwrap();
    }
    opened.close().await;
    let all = command(&store, &["stats", "--json"]).await.line();
    let sessions = all["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 5);
    assert_eq!(sessions[0]["duration_ms"], 65_000);
    assert_eq!(
        (&sessions[0]["status"], &sessions[0]["resolved"]),
        (&"completed".into(), &321.into())
    );
    assert!(sessions[0]["started_at"].as_str() > sessions[4]["started_at"].as_str());
    let text = stdout(&store, &["stats"]).await;
    assert!(text.contains("RUNS") && text.contains("1m 5s"), "{text}");
}
