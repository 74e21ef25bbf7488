//! No query that runs for each hash or peer may walk through a table.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::connection::{Connection as _, InstrumentationEvent};
use diesel::prelude::*;

use super::batch::write_all;
use super::connection::{Connection, Target};
use super::*;
use crate::history::Attempt;
use crate::torrent::{Arm, PeerSource, Phase, Reason, Way};

#[derive(diesel::QueryableByName)]
struct Step {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}

/// The statements that `work` runs, without their values.
fn statements(connection: &mut Connection, work: impl FnOnce(&mut Connection)) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            sink.lock().unwrap().push(query.to_string());
        }
    });
    work(connection);
    connection.set_instrumentation(|_: InstrumentationEvent<'_>| {});
    let seen = seen.lock().unwrap();
    seen.iter()
        .map(|text| text.split(" -- binds").next().unwrap_or(text).to_owned())
        .collect()
}

fn plan(connection: &mut Connection, statement: &str) -> Vec<String> {
    diesel::sql_query(format!("EXPLAIN QUERY PLAN {statement}"))
        .load::<Step>(connection)
        .unwrap_or_else(|error| panic!("{statement}: {error}"))
        .into_iter()
        .map(|step| step.detail)
        .collect()
}

fn records() -> [Record; 2] {
    let peer = "1.2.3.4:5".parse().unwrap();
    let hybrid = Infohash::Hybrid {
        v1: [1; 20],
        v2: [2; 32],
    };
    let torrent = ResolvedTorrent {
        infohash: hybrid,
        infohash_v2: None,
        name: "a".to_owned(),
        size: 1,
        piece_length: 16_384,
        pieces_count: 1,
        private: false,
        source: String::new(),
        info: b"de".to_vec(),
        trackers: Vec::new(),
        files: vec![("a".to_owned(), 1)],
        arm: "direct".to_owned(),
        peer: Some(peer),
    };
    let attempt = Attempt {
        way: Way::plain(Arm::Direct),
        peer,
        source: PeerSource::Dht,
        started_at_ms: 1,
        duration: Duration::from_millis(1),
        phase: Phase::Verify,
        outcome: None,
        detail: "delivered".to_owned(),
        metadata_size: Some(2),
        client: None,
        connect_time: Some(Duration::from_millis(1)),
        why: String::new(),
    };
    let failed = FailedTorrent {
        reason: Reason::NoPeers,
        phase: Phase::Lookup,
        detail: "none".to_owned(),
        failures: 1,
        failed_at_ms: 1,
        retry_at_ms: 2,
    };
    [
        Record {
            infohash: hybrid,
            result: RecordResult::Resolved(Box::new(torrent)),
            attempts: vec![attempt.clone(), attempt],
            tracker_replies: Vec::new(),
            at_ms: 2,
        },
        Record {
            infohash: Infohash::V1([3; 20]),
            result: RecordResult::Failed(failed),
            attempts: Vec::new(),
            tracker_replies: Vec::new(),
            at_ms: 2,
        },
    ]
}

#[test]
fn no_query_of_a_hash_or_peer_scans_a_table() {
    let directory = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(directory.path().join("a.db"));
    let target = Target::prepare(&url, &StoreOptions::default()).unwrap();
    let mut connection = target.migrate().unwrap();
    let records = records();
    let [resolved, failed] = &records;
    let peers: Vec<PeerAddr> = (1..=150)
        .map(|port| PeerAddr::new([1, 2, 3, 4].into(), port))
        .collect();
    let statements = statements(&mut connection, |connection| {
        // Twice, since what is new and what is replaced go different ways.
        write_all(connection, &[resolved, failed], false).unwrap();
        write_all(connection, &[resolved, failed], true).unwrap();
        for infohash in [resolved.infohash, failed.infohash, Infohash::V2([2; 32])] {
            torrent_metadata::find(connection, &infohash).unwrap();
            torrent_metadata::files(connection, &infohash).unwrap();
            failed_torrent::find(connection, &infohash).unwrap();
            metadata_request::deliverers(connection, &infohash, 10).unwrap();
            metadata_request::latest(connection, &infohash, 10).unwrap();
            let salts = [vec![1], vec![2]];
            assert_eq!(blocklist::find(connection, &infohash, &salts), Ok(None));
        }
        let entries = BlockEntry::of_hash(&resolved.infohash);
        assert_eq!(blocklist::add(connection, &entries, "a", 1), Ok(3));
        assert_eq!(blocklist::add(connection, &entries, "a", 1), Ok(0));
        let known = peer_state::at(connection, [1, 2, 3, 4].into(), None, 10).unwrap();
        assert_eq!(known.len(), 1);
        assert_eq!(
            peer_state::latest_deliverers(connection, 10).unwrap().len(),
            1
        );
        assert!(
            peer_state::most_failures(connection, 10)
                .unwrap()
                .is_empty()
        );
        let cooling = FailedFilter {
            cooling_at_ms: Some(1),
            ..FailedFilter::default()
        };
        assert_eq!(
            failed_torrent::list(connection, &cooling, 10)
                .unwrap()
                .len(),
            1
        );
        let states = peer_state::of_peers(connection, &peers).unwrap();
        assert_eq!(states.len(), 1);
        assert_eq!(peer_group::heaviest(connection, 10).unwrap().len(), 3);
    });
    assert!(statements.len() > 30, "{statements:?}");
    for statement in statements {
        for step in plan(&mut connection, &statement) {
            assert!(!step.contains("SCAN"), "{step}: {statement}");
        }
    }
    let scan = plan(&mut connection, "SELECT * FROM peer_state");
    assert!(scan.iter().any(|step| step.contains("SCAN")), "{scan:?}");
}

#[test]
fn lists_that_are_cut_short_come_in_the_order_of_an_index() {
    let directory = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(directory.path().join("a.db"));
    let target = Target::prepare(&url, &StoreOptions::default()).unwrap();
    let mut connection = target.migrate().unwrap();
    let statements = statements(&mut connection, |connection| {
        failed_torrent::list(connection, &FailedFilter::default(), 10).unwrap();
        blocklist::list(connection, None, 10).unwrap();
        peer_state::latest_deliverers(connection, 10).unwrap();
        peer_state::most_failures(connection, 10).unwrap();
        metadata_request::of_peer(connection, [1, 2, 3, 4].into(), None, (1, 2), 10).unwrap();
        statistics::latencies(connection, 1, 10).unwrap();
    });
    assert_eq!(statements.len(), 7, "{statements:?}");
    for statement in statements {
        for step in plan(&mut connection, &statement) {
            assert!(!step.contains("TEMP B-TREE"), "{step}: {statement}");
        }
    }
}
