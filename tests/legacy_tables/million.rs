//! A table of a million rows, as the old crawler leaves it after some days: figures, not promises.

use std::time::Instant;

use metafetch::store::{Holder, LegacyCleaner, LegacyUrl, Watch};

use crate::fixture::{Legacy, discovered, received};

#[tokio::test]
#[ignore = "takes minutes; prints how long each step takes"]
async fn a_million_rows() {
    let legacy = Legacy::alone();
    legacy.run_all(include_str!("../db/legacy.sql"));
    // As much as a server has that is meant for such a table.
    legacy.run("SET GLOBAL innodb_buffer_pool_size = 512 << 20");
    let said = |what: &str, since: Instant| eprintln!("{what}: {:?}", since.elapsed());
    let began = Instant::now();
    for part in 0..20 {
        legacy.run(&format!(
            "INSERT INTO discovered_torrents (info_hash, name, source, file_names, file_sizes, magnet_link) \
             SELECT SHA1(seq), 'DHT Item', \
                 CASE WHEN seq % 1000 = 0 THEN 'DHT_ANNOUNCE' WHEN seq % 1000 = 1 THEN 'MANUAL' \
                     ELSE 'DHT_ITEM' END, \
                 '', '[]', CONCAT('magnet:?xt=urn:btih:', SHA1(seq)) \
             FROM seq_{}_to_{}",
            part * 50_000 + 1,
            (part + 1) * 50_000
        ));
    }
    said("filled", began);
    let tables = legacy.tables().await;
    let began = Instant::now();
    assert_eq!(tables.backlog_total().await, Ok(1_000_000));
    said("backlog_total", began);
    let holder = Holder::new();
    let (mut pages, mut longest, whole) = (0, std::time::Duration::ZERO, Instant::now());
    while pages < 300 {
        let began = Instant::now();
        let rows = tables.claim(&holder, 100).await.unwrap().rows;
        longest = longest.max(began.elapsed());
        assert_eq!(rows.len(), 100);
        pages += 1;
        let ids = rows.iter().map(|row| row.id).collect();
        let hashes = rows.into_iter().map(|row| row.info_hash).collect();
        tables.timed_out(hashes).await.unwrap();
        tables.release(&holder, ids, false).await.unwrap();
    }
    said("300 pages of 100, marked and released", whole);
    eprintln!("the longest claim: {longest:?}");
    // The next run starts again from the first row.
    let began = Instant::now();
    let rows = tables.claim(&Holder::new(), 100).await.unwrap().rows;
    said("the first claim of another holder", began);
    assert_eq!(rows.len(), 100);
    // All but a few were tried.
    let began = Instant::now();
    legacy.run("UPDATE discovered_torrents SET timed_out = 1 ORDER BY id LIMIT 999990");
    said("marked all but ten", began);
    let began = Instant::now();
    let mut left = 0;
    let another = Holder::new();
    loop {
        let rows = tables.claim(&another, 100).await.unwrap().rows.len();
        if rows == 0 {
            break;
        }
        left += rows;
    }
    said(
        "found the last ones behind a million that were tried",
        began,
    );
    // The tenth was announced, and so is marked since the first pages.
    assert_eq!(left, 9);
    let began = Instant::now();
    let writing =
        (2_000_000..2_005_000).map(|number| tables.discovered(discovered(number, &["1.2.3.4:5"])));
    for done in futures_util::future::join_all(writing).await {
        done.unwrap();
    }
    said("5000 discovered at once, with a peer each", began);
    let began = Instant::now();
    for number in 2_000_000..2_000_500 {
        tables
            .received(received(number, &[("a", 1), ("b", 2)]))
            .await
            .unwrap();
    }
    said("500 received one after the other", began);
    tables.close().await;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut watch = Watch {
        stop: &stop,
        progress: &mut |_, _| {},
    };
    legacy.run(
        "UPDATE discovered_torrents SET last_seen_at = '2025-01-01', updated_at = '2025-01-02' \
         WHERE timed_out = 1 AND id % 4 = 0",
    );
    let url = LegacyUrl::new(&legacy.database.url()).unwrap();
    let mut cleaner = LegacyCleaner::open(&url).unwrap();
    let began = Instant::now();
    let rows = cleaner.count(&mut watch).unwrap();
    said("counted what the rows are worth", began);
    let began = Instant::now();
    let deleted = cleaner.delete_dead(None, &mut watch).unwrap();
    said(&format!("deleted {deleted} dead rows"), began);
    assert_eq!(deleted, rows.dead);
}
