//! A database of each earlier version becomes one of the newest, with all that was in it.

use super::*;

on_each_database!(
    what_was_in_version_1_is_there_afterwards,
    a_migration_that_was_cut_off_goes_on,
);

fn first_step(place: &Place) -> &'static str {
    match place {
        Place::Sqlite(..) => {
            include_str!("../../migrations/sqlite/00000000000001_initial/up.sql")
        }
        Place::Server(database) => match database.server.kind {
            Kind::Mariadb => include_str!("../../migrations/mysql/00000000000001_initial/up.sql"),
            Kind::Postgres => {
                include_str!("../../migrations/postgres/00000000000001_initial/up.sql")
            }
        },
    }
}

/// What diesel keeps, where it has run the first step.
const APPLIED: &str = "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, \
     run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP); \
     INSERT INTO __diesel_schema_migrations (version) VALUES ('00000000000001');";

/// As version 1 has left it.
fn fill(place: &Place) {
    place.run(first_step(place));
    place.run(APPLIED);
    let (bytes, yes, no) = match place {
        Place::Sqlite(..) => ("X'", "1", "0"),
        Place::Server(database) => match database.server.kind {
            Kind::Mariadb => ("X'", "TRUE", "FALSE"),
            Kind::Postgres => ("'\\x", "TRUE", "FALSE"),
        },
    };
    let hash = format!("{bytes}{}'", "01".repeat(20));
    let failed = format!("{bytes}{}'", "02".repeat(32));
    place.run(&format!(
        "INSERT INTO torrent_metadata (id, infohash, infohash_v2, name, size, piece_length, pieces_count, \
         files_count, private, metadata_size, trackers, source, arm, peer, discovered_at, last_seen_at, \
         resolved_at, info) VALUES (7, {hash}, NULL, 'old', 5, 16384, 1, 1, {yes}, 2, '[]', '', 'direct', \
         '1.2.3.4:5', 10, 20, 30, {bytes}6465');
         INSERT INTO torrent_file (torrent_id, position, path, length) VALUES (7, 0, 'old', 5);
         INSERT INTO metadata_request (infohash, peer_ip, peer_port, source, arm, started_at, duration_ms, \
         phase, outcome, detail, metadata_size, client) VALUES ({hash}, '1.2.3.4', 5, 'dht', 'direct', 10, \
         20, 'verify', 'delivered', '', 2, NULL);
         INSERT INTO peer_state (peer_ip, peer_port, client, first_seen_at, last_seen_at, attempts, \
         connections, deliveries, failures, last_outcome, last_arm, last_delivered_at, avg_latency_ms, \
         bep9_support, needs_encryption) VALUES ('1.2.3.4', 5, 'a client', 10, 10, 1, 1, 1, 0, 'delivered', \
         'direct', 10, 20.5, {yes}, {no});
         INSERT INTO failed_torrent (infohash, reason, phase, detail, failures, failed_at, retry_at) \
         VALUES ({failed}, 'no_peers', 'lookup', 'none', 2, 30, 40);"
    ));
}

async fn what_was_in_version_1_is_there_afterwards(place: Place) {
    fill(&place);
    let store = place.open().unwrap();
    let counts = store.counts().await.unwrap();
    let expected = Counts {
        torrents: 1,
        files: 1,
        failed_torrents: 1,
        attempts: 1,
        peers: 1,
    };
    assert_eq!(counts, expected);
    let old = Infohash::V1([1; 20]);
    let torrent = store.torrent(&old).await.unwrap().unwrap();
    assert_eq!((torrent.name.as_str(), torrent.size), ("old", 5));
    assert_eq!(
        (torrent.info.as_slice(), torrent.private),
        (&b"de"[..], true)
    );
    assert_eq!(store.files(&old).await.unwrap(), [("old".to_owned(), 5)]);
    let peer: PeerAddr = "1.2.3.4:5".parse().unwrap();
    assert_eq!(store.deliverers(&old, 9).await.unwrap(), [peer]);
    let states = store.peer_states(&[peer]).await.unwrap();
    let state = &states[&peer];
    assert_eq!((state.attempts, state.failures_in_a_row), (1, 0));
    assert_eq!(
        (state.bep9_support, state.bep10_support),
        (Some(true), None)
    );
    assert_eq!(
        (state.needs_encryption, state.delivered_way),
        (Some(false), None)
    );
    assert_eq!(state.latencies.count(), 0);
    let failed = store.failed_torrent(&Infohash::V2([2; 32])).await.unwrap();
    assert_eq!(failed.unwrap().failures, 2);

    // And it is as good as a new one.
    store.record(resolved(1)).await.unwrap();
    store.close().await;
    let store = place.open().unwrap();
    assert_eq!(store.counts().await.unwrap().torrents, 2);
}

/// `MySQL` commits each statement of a migration; the others leave nothing behind.
async fn a_migration_that_was_cut_off_goes_on(place: Place) {
    fill(&place);
    if let Place::Server(database) = &place
        && database.server.kind == Kind::Mariadb
    {
        let second = include_str!("../../migrations/mysql/2026-11-21-000000_history/up.sql");
        let (half, _) = second.split_at(second.find("CREATE TABLE IF NOT EXISTS dht").unwrap());
        place.run(half);
    }
    let store = place.open().unwrap();
    assert_eq!(store.counts().await.unwrap().torrents, 1);
    store.record(resolved(1)).await.unwrap();
}
