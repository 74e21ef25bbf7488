//! A server that goes away, and comes back.

use metafetch::store::{Holdback, Holder, LegacyLogin, LegacyTables, StoreError, TablesHealth};

use crate::databases::PASSWORD;
use crate::databases::proxy::{Cut, Proxy};
use crate::fixture::{Legacy, discovered, received};

async fn through(legacy: &Legacy) -> (Proxy, LegacyTables) {
    let proxy = Proxy::start(legacy.database.server.port);
    let login = LegacyLogin {
        host: "127.0.0.1".to_owned(),
        port: proxy.port,
        password: PASSWORD.to_owned(),
        ..legacy.login()
    };
    let (tables, _) = LegacyTables::open(&login).await.unwrap();
    (proxy, tables)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_while_the_server_is_away_waits_for_it() {
    let legacy = Legacy::new();
    let (proxy, tables) = through(&legacy).await;
    let mut health = tables.health();
    assert_eq!(*health.borrow_and_update(), TablesHealth::Connected);
    for round in 0..3 {
        let writing: Vec<_> = (0..100)
            .map(|number| {
                let tables = tables.clone();
                let number = round * 200 + number;
                tokio::spawn(async move {
                    tables
                        .discovered(discovered(number, &["1.2.3.4:5"]))
                        .await?;
                    tables
                        .received(received(number, &[("a", 1), ("b", 2)]))
                        .await
                })
            })
            .collect();
        proxy.stop();
        health
            .wait_for(|health| *health != TablesHealth::Connected)
            .await
            .unwrap();
        proxy.go_on();
        for written in writing {
            assert_eq!(written.await.unwrap(), Ok(()));
        }
        assert_eq!(*health.borrow_and_update(), TablesHealth::Connected);
    }
    assert_eq!(
        legacy.count("discovered_torrents", "metadata_received = 1"),
        300
    );
    assert_eq!(legacy.count("torrent_files", "TRUE"), 600);
    assert_eq!(legacy.count("discovered_peers", "TRUE"), 300);
    tables.close().await;
}

#[tokio::test]
async fn what_is_cut_in_its_commit_is_there_once() {
    let legacy = Legacy::with_tables();
    legacy.fill(50, |_| "'MANUAL'");
    let (proxy, tables) = through(&legacy).await;
    let holder = Holder::new();
    let mut claimed = 0;
    for (number, cut) in (100..).zip([Cut::BeforeAnswer, Cut::BeforeCommit, Cut::BeforeAnswer]) {
        proxy.cut_next(cut);
        tables
            .received(received(number, &[("a", 1), ("b", 2)]))
            .await
            .unwrap();
        assert!(proxy.was_cut());
        proxy.cut_next(cut);
        tables
            .discovered(discovered(number + 10, &["1.2.3.4:5"]))
            .await
            .unwrap();
        proxy.cut_next(cut);
        claimed += tables.claim(&holder, 5).await.unwrap().rows.len();
        assert!(proxy.was_cut());
    }
    assert_eq!(legacy.count("discovered_torrents", "id > 50"), 6);
    assert_eq!(legacy.count("torrent_files", "TRUE"), 6);
    assert_eq!(legacy.count("discovered_peers", "TRUE"), 3);
    // A claim whose answer is lost is the holder's all the same: it is told of it.
    loop {
        let rows = tables.claim(&holder, 5).await.unwrap().rows.len();
        if rows == 0 {
            break;
        }
        claimed += rows;
    }
    assert_eq!(claimed, 53, "50, and the 3 that were discovered");
    tables.close().await;
}

#[tokio::test]
async fn who_does_not_want_to_wait_is_told() {
    let legacy = Legacy::new();
    let (proxy, tables) = through(&legacy).await;
    tables.set_holdback(Holdback::GiveUp);
    proxy.stop();
    let error = tables.discovered(discovered(1, &[])).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(matches!(&*tables.health().borrow(), TablesHealth::Away(_)));
    proxy.go_on();
    tables.discovered(discovered(1, &[])).await.unwrap();
    assert_eq!(*tables.health().borrow(), TablesHealth::Connected);
    // The end does not wait for ever.
    tables.set_holdback(Holdback::Wait);
    proxy.stop();
    let waiting = tokio::spawn({
        let tables = tables.clone();
        async move { tables.discovered(discovered(2, &[])).await }
    });
    let other = tables.clone();
    tables.close().await;
    assert!(waiting.await.unwrap().is_err());
    let closed = other.discovered(discovered(3, &[])).await;
    assert_eq!(closed, Err(StoreError::Closed));
}

/// What was answered is there, and all that was asked for is there once, whatever the server was doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_is_waited_for() {
    let legacy = Legacy::alone();
    let tables = legacy.tables().await;
    let holder = Holder::new();
    for round in 0..2 {
        let numbers = round * 400 + 1..=round * 400 + 400;
        let writing: Vec<_> = numbers
            .map(|number| {
                let tables = tables.clone();
                tokio::spawn(async move {
                    tables
                        .discovered(discovered(number, &["1.2.3.4:5"]))
                        .await?;
                    if number % 2 == 0 {
                        return tables
                            .received(received(number, &[("a", 1), ("b", 2)]))
                            .await;
                    }
                    Ok(())
                })
            })
            .collect();
        let server = legacy.database.server;
        tokio::task::spawn_blocking(|| server.kill_and_start_again())
            .await
            .unwrap();
        for written in writing {
            assert_eq!(written.await.unwrap(), Ok(()));
        }
        let claimed = tables.claim(&holder, 1_000).await.unwrap();
        assert_eq!(claimed.rows.len(), 200);
    }
    assert_eq!(legacy.count("discovered_torrents", "TRUE"), 800);
    assert_eq!(legacy.count("discovered_torrents", "num_files = 2"), 400);
    assert_eq!(legacy.count("torrent_files", "TRUE"), 800);
    assert_eq!(legacy.count("discovered_peers", "TRUE"), 800);
    tables.close().await;
}
