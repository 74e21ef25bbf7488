//! Runs and DHT nodes: what a process saves of itself.

use super::*;

use metafetch::store::{CrawlSession, DhtNode, SILENT_AFTER, SessionStatus};

on_each_database!(
    a_session_is_one_row_from_start_to_end,
    the_session_of_a_killed_process_is_marked_by_the_next,
    dht_nodes_are_replaced_bounded_and_read_best_first,
);

async fn a_session_is_one_row_from_start_to_end(place: Place) {
    let store = place.open().unwrap();
    let mut session = CrawlSession::start("crawl", 1_000);
    store.save_session(&session).await.unwrap();
    assert_eq!(store.sessions(10).await, Ok(vec![session.clone()]));
    session = CrawlSession {
        ended_at_ms: Some(9_000),
        heartbeat_at_ms: 9_000,
        status: SessionStatus::Completed,
        requested: 10,
        resolved: 6,
        failed: 4,
        from_store: 1,
        attempts: 20,
        peers: 30,
        lookups: 9,
        nodes: 40,
        queries: 50,
        answers: 45,
        samples: 60,
        discovered: 12,
        peak_queries_per_minute: 49,
        peak_resolved_per_minute: 5,
        peak_memory_kib: Some(70_000),
        cpu_ms: Some(800),
        errors: 1,
        error_message: "é".repeat(500),
        ..session
    };
    store.save_session(&session).await.unwrap();
    assert_eq!(store.sessions(10).await, Ok(vec![session.clone()]));
    // Another one, and a number that no column holds.
    let later = CrawlSession {
        queries: u64::MAX,
        error_message: "a\0b".to_owned(),
        ..CrawlSession::start("resolve", 2_000)
    };
    store.save_session(&later).await.unwrap();
    let sessions = store.sessions(10).await.unwrap();
    let ids: Vec<_> = sessions.iter().map(|session| &session.id).collect();
    assert_eq!(ids, [&later.id, &session.id], "the latest first");
    assert_eq!(sessions[0].queries, i64::MAX.unsigned_abs());
    assert_eq!(sessions[0].error_message, "a\u{fffd}b");
    store.close().await;
}

async fn the_session_of_a_killed_process_is_marked_by_the_next(place: Place) {
    let silent = i64::try_from(SILENT_AFTER.as_millis()).unwrap();
    let store = place.open().unwrap();
    let now = 10 * silent;
    let killed = CrawlSession::start("crawl", now - 2 * silent);
    let alive = CrawlSession::start("crawl", now - silent / 2);
    let ended = CrawlSession {
        status: SessionStatus::Stopped,
        ended_at_ms: Some(3),
        ..CrawlSession::start("resolve", 1)
    };
    // In the order of their times, as the clock has it.
    for session in [&ended, &killed, &alive] {
        store.save_session(session).await.unwrap();
    }
    let next = CrawlSession::start("resolve", now);
    store.save_session(&next).await.unwrap();
    let of = async |id: &str| {
        let mut sessions = store.sessions(10).await.unwrap();
        sessions.retain(|session| session.id == id);
        sessions.remove(0)
    };
    let marked = of(&killed.id).await;
    assert_eq!(marked.status, SessionStatus::Failed);
    assert_eq!(marked.ended_at_ms, Some(killed.heartbeat_at_ms));
    assert!(marked.error_message.contains("interrupted"), "{marked:?}");
    assert_eq!(of(&alive.id).await, alive);
    assert_eq!(of(&ended.id).await, ended);
    assert_eq!(of(&next.id).await, next);
    // It lived after all, and was only held up.
    let back = CrawlSession {
        heartbeat_at_ms: now,
        ..killed
    };
    store.save_session(&back).await.unwrap();
    assert_eq!(of(&back.id).await, back);
    store.close().await;
}

fn node(number: u32, last_seen_ms: i64, failures: u32) -> DhtNode {
    let mut id = [7; 20];
    id[..4].copy_from_slice(&number.to_be_bytes());
    DhtNode {
        addr: peer(number),
        id,
        first_seen_ms: 1,
        last_seen_ms,
        queries: 5,
        answers: 4,
        failures_in_a_row: failures,
        avg_rtt_ms: Some(12.5),
        bep51: Some(true),
        next_sample_at_ms: 77,
    }
}

async fn dht_nodes_are_replaced_bounded_and_read_best_first(place: Place) {
    let store = place.open().unwrap();
    let unknown = DhtNode {
        avg_rtt_ms: None,
        bep51: None,
        ..node(3, 30, 0)
    };
    let unstorable = DhtNode {
        addr: PeerAddr::new([1, 2, 3, 4].into(), 0),
        ..node(4, 40, 0)
    };
    let ipv6 = DhtNode {
        addr: "[2a00::1]:6881".parse().unwrap(),
        ..node(5, 5, 0)
    };
    let nodes = vec![node(1, 10, 0), node(2, 20, 1), unknown, unstorable, ipv6];
    store.save_dht_nodes(nodes, 100).await.unwrap();
    let expected = vec![unknown, node(1, 10, 0), ipv6, node(2, 20, 1)];
    assert_eq!(store.dht_nodes(10).await, Ok(expected));
    assert_eq!(store.dht_nodes(1).await, Ok(vec![unknown]));
    // Replaced, twice in one go.
    let again = DhtNode {
        bep51: None,
        ..node(2, 50, 0)
    };
    store
        .save_dht_nodes(vec![node(2, 49, 0), again], 100)
        .await
        .unwrap();
    let best = store.dht_nodes(10).await.unwrap();
    assert_eq!((best.len(), best[0]), (4, again));
    // What another process knows to be later stays.
    let of_another = DhtNode {
        queries: 9,
        last_seen_ms: 40,
        next_sample_at_ms: 99,
        ..again
    };
    store.save_dht_nodes(vec![of_another], 100).await.unwrap();
    store.save_dht_nodes(vec![again], 100).await.unwrap();
    let merged = DhtNode {
        next_sample_at_ms: 99,
        ..again
    };
    assert_eq!(store.dht_nodes(10).await.unwrap()[0], merged);
    // But not what a clock that was wrong has left.
    let dreamt = DhtNode {
        last_seen_ms: i64::MAX / 2,
        next_sample_at_ms: i64::MAX / 2,
        ..again
    };
    store.save_dht_nodes(vec![dreamt], 100).await.unwrap();
    store.save_dht_nodes(vec![again], 100).await.unwrap();
    assert_eq!(store.dht_nodes(10).await.unwrap()[0], again);

    let many = (0..2_500).map(|number| node(1_000 + number, i64::from(number), 0));
    store.save_dht_nodes(many.collect(), 30).await.unwrap();
    let left = store.dht_nodes(100).await.unwrap();
    assert_eq!(left.len(), 30);
    assert!(
        left.iter().all(|node| node.last_seen_ms >= 2_470),
        "{left:?}"
    );
    store.close().await;
}
