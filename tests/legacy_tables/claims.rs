//! Several holders: each row is worked on by one, and those of the dead come back.

use std::collections::HashMap;

use metafetch::store::{Holder, LegacyTables};

use crate::fixture::{Legacy, received};

/// Works until nothing is left, and says what it got.
async fn work(tables: LegacyTables, finish: bool) -> Vec<i64> {
    let holder = Holder::new();
    let mut got = Vec::new();
    loop {
        let claimed = tables.claim(&holder, 100).await.unwrap();
        if claimed.is_end() {
            tables.close().await;
            return got;
        }
        if claimed.rows.is_empty() {
            // The others still work.
            tokio::task::yield_now().await;
            continue;
        }
        let ids: Vec<i64> = claimed.rows.iter().map(|row| row.id).collect();
        if finish {
            let hashes = claimed.rows.into_iter().map(|row| row.info_hash).collect();
            tables.timed_out(hashes).await.unwrap();
        }
        tables.release(&holder, ids.clone(), false).await.unwrap();
        got.extend(ids);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_worked_on_once() {
    let legacy = Legacy::with_tables();
    let sources = [
        "'DHT_ITEM'",
        "'MANUAL'",
        "NULL",
        "'DHT_ANNOUNCE'",
        "'DHT_ITEM'",
    ];
    legacy.fill(20_000, |id| sources[id as usize % sources.len()]);
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(tokio::spawn(work(legacy.tables().await, true)));
    }
    let mut times: HashMap<i64, u32> = HashMap::new();
    for worker in workers {
        let got = worker.await.unwrap();
        assert!(!got.is_empty());
        for id in got {
            *times.entry(id).or_default() += 1;
        }
    }
    assert_eq!(times.len(), 20_000);
    assert!(times.values().all(|times| *times == 1));
    assert_eq!(legacy.count("discovered_torrents", "timed_out = 1"), 20_000);
    assert_eq!(legacy.count("discovered_torrents_claim", "TRUE"), 0);
}

/// Readers of the old program look at the same rows, and somebody stores.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_read_and_store_meanwhile_are_not_in_the_way() {
    let legacy = Legacy::with_tables();
    legacy.fill(3_000, |_| "'DHT_ITEM'");
    let workers = [legacy.tables().await, legacy.tables().await]
        .map(|tables| tokio::spawn(work(tables, true)));
    let storing = legacy.tables().await;
    for number in 5_000..5_300 {
        storing
            .received(received(number, &[("a", 1), ("b", 2)]))
            .await
            .unwrap();
        if number % 100 == 0 {
            legacy.count(
                "discovered_torrents",
                "(num_files < 1 OR num_files IS NULL) AND timed_out = 0",
            );
        }
    }
    let mut got = 0;
    for worker in workers {
        got += worker.await.unwrap().len();
    }
    assert_eq!(got, 3_000);
    storing.close().await;
}

#[tokio::test]
async fn rows_of_the_dead_come_back() {
    let legacy = Legacy::with_tables();
    legacy.fill(10, |_| "'MANUAL'");
    let dead = legacy.tables().await;
    let holder = Holder::new();
    assert_eq!(dead.claim(&holder, 4).await.unwrap().rows.len(), 4);
    let tables = legacy.tables().await;
    let other = Holder::new();
    let claimed = tables.claim(&other, 100).await.unwrap();
    assert_eq!(claimed.rows.len(), 6);
    let claimed = tables.claim(&other, 100).await.unwrap();
    assert!(!claimed.is_end());
    assert_eq!(claimed.held_by_others, 4);
    // The lease is of a minute, by the server's clock.
    let lease = "expires_at BETWEEN CURRENT_TIMESTAMP + INTERVAL 30 SECOND \
                 AND CURRENT_TIMESTAMP + INTERVAL 60 SECOND";
    assert_eq!(legacy.count("discovered_torrents_claim", lease), 10);
    let silent = "UPDATE discovered_torrents_claim SET expires_at = CURRENT_TIMESTAMP - INTERVAL 1 SECOND \
                  WHERE id <= 4";
    legacy.run(silent);
    let claimed = tables.claim(&other, 100).await.unwrap();
    let ids: Vec<i64> = claimed.rows.iter().map(|row| row.id).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    // The one who was silent does not get back by a release what another has now.
    dead.release(&holder, vec![1, 2, 3, 4], true).await.unwrap();
    assert!(dead.claim(&holder, 100).await.unwrap().rows.is_empty());
    assert_eq!(
        legacy.count("discovered_torrents_claim", "expires_at IS NOT NULL"),
        10
    );
    // Who ends gives back what it has, at once.
    tables.close().await;
    assert_eq!(dead.claim(&holder, 100).await.unwrap().rows.len(), 10);
    dead.close().await;
}
