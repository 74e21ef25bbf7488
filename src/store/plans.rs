//! No query that runs for each hash or peer may walk through a table.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::connection::{Connection as _, InstrumentationEvent, SimpleConnection as _};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use super::batch::write_all;
use super::connection::{Connection, Target};
use super::databases::{Database, Kind};
use super::*;
use crate::history::Attempt;
use crate::torrent::{Arm, PeerSource, Phase, Reason, Way};

#[derive(diesel::QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[derive(diesel::QueryableByName)]
struct MysqlStep {
    #[diesel(sql_type = Nullable<Text>)]
    table: Option<String>,
    #[diesel(sql_type = Nullable<Text>, column_name = "type")]
    access: Option<String>,
}

#[derive(diesel::QueryableByName)]
struct PostgresStep {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    plan: String,
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

/// Whether a statement walks through a table, and how the database would run it.
fn plan(connection: &mut Connection, statement: &str) -> (bool, String) {
    let steps: Vec<String> = match connection {
        Connection::Sqlite(connection) => {
            diesel::sql_query(format!("EXPLAIN QUERY PLAN {statement}"))
                .load::<Step>(connection)
                .map(|steps| steps.into_iter().map(|step| step.detail).collect())
        }
        // It explains nothing that has placeholders. An INSERT walks through nothing, whatever it says.
        Connection::Mysql(_)
            if statement.starts_with("INSERT") || statement.starts_with("REPLACE") =>
        {
            Ok(Vec::new())
        }
        Connection::Mysql(connection) => diesel::sql_query(format!(
            "EXPLAIN {}",
            statement.replace("LIMIT ?", "LIMIT 1").replace('?', "'1'")
        ))
        .load::<MysqlStep>(connection)
        .map(|steps| {
            let steps = steps.into_iter().filter(|step| step.table.is_some());
            steps.filter_map(|step| step.access).collect()
        }),
        Connection::Postgres(connection) => {
            // A plan that serves all values, as that of a prepared statement does.
            let plan = format!("PREPARE hot AS {statement}");
            let parameters = vec!["NULL"; placeholders(statement)].join(", ");
            let list = if parameters.is_empty() {
                String::new()
            } else {
                format!("({parameters})")
            };
            connection
                .batch_execute(&plan)
                .and_then(|()| {
                    diesel::sql_query(format!("EXPLAIN EXECUTE hot{list}"))
                        .load::<PostgresStep>(connection)
                })
                .map(|steps| {
                    connection.batch_execute("DEALLOCATE hot").unwrap();
                    steps.into_iter().map(|step| step.plan).collect()
                })
        }
    }
    .unwrap_or_else(|error| panic!("{statement}: {error}"));
    let walks = match connection {
        Connection::Sqlite(_) => steps
            .iter()
            .any(|step| step.contains("SCAN") && step != "SCAN CONSTANT ROW"),
        Connection::Mysql(_) => steps.iter().any(|step| step == "ALL" || step == "index"),
        Connection::Postgres(_) => steps.iter().any(|step| step.contains("Seq Scan")),
    };
    (walks, steps.join("; "))
}

/// How many values a statement of PostgreSQL takes.
fn placeholders(statement: &str) -> usize {
    let numbers = statement.split('$').skip(1).filter_map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    });
    numbers.max().unwrap_or(0)
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

fn node() -> DhtNode {
    DhtNode {
        addr: "1.2.3.4:5".parse().unwrap(),
        id: [1; 20],
        first_seen_ms: 1,
        last_seen_ms: 1,
        queries: 1,
        answers: 1,
        failures_in_a_row: 0,
        avg_rtt_ms: None,
        bep51: None,
        next_sample_at_ms: 1,
    }
}

fn wanted(number: u16) -> WantedTorrent {
    let mut hash = [8; 20];
    hash[..2].copy_from_slice(&number.to_be_bytes());
    WantedTorrent {
        infohash: Infohash::V1(hash),
        source: "api".to_owned(),
        priority: 0,
        trackers: Vec::new(),
        peers: Vec::new(),
        requested_at_ms: number.into(),
    }
}

/// Fills the tables so far that an index is worth its while, and has the servers count the rows.
fn fill(connection: &mut Connection) {
    let torrents: Vec<Record> = (0..600_u16)
        .map(|number| {
            let [resolved, failed] = records();
            let mut hash = [9; 32];
            hash[..2].copy_from_slice(&number.to_be_bytes());
            let infohash = Infohash::V2(hash);
            let RecordResult::Resolved(mut torrent) = resolved.result else {
                panic!("not resolved");
            };
            torrent.infohash = infohash;
            let result = match failed.result {
                RecordResult::Failed(failed) if number % 2 == 0 => RecordResult::Failed(failed),
                _ => RecordResult::Resolved(torrent),
            };
            let mut attempts = resolved.attempts;
            for attempt in &mut attempts {
                attempt.peer = PeerAddr::new([5, 6, 7, 8].into(), number + 1);
            }
            Record {
                infohash,
                result,
                attempts,
                tracker_replies: Vec::new(),
                at_ms: 2,
            }
        })
        .collect();
    write_all(connection, &torrents.iter().collect::<Vec<_>>(), false).unwrap();
    for number in 0..300 {
        let session = CrawlSession {
            status: SessionStatus::Completed,
            ..CrawlSession::start("crawl", number)
        };
        crawl_session::save(connection, &session).unwrap();
    }
    let all: Vec<_> = (0..300).map(wanted).collect();
    wanted_torrent::add(connection, &all).unwrap();
    let nodes: Vec<_> = (1..=300_u16)
        .map(|port| DhtNode {
            addr: PeerAddr::new([5, 6, 7, port.to_be_bytes()[1]].into(), port),
            ..node()
        })
        .collect();
    dht_node_state::save(connection, &nodes).unwrap();
    for table in [
        "torrent_metadata",
        "torrent_file",
        "metadata_request",
        "peer_state",
        "failed_torrent",
        "crawl_session",
        "dht_node_state",
        "wanted_torrent",
    ] {
        match connection {
            Connection::Sqlite(_) => {}
            Connection::Mysql(connection) => connection
                .batch_execute(&format!("ANALYZE TABLE {table}"))
                .unwrap(),
            // With so few rows it likes to read them all, which costs as many rows as there are.
            Connection::Postgres(connection) => connection
                .batch_execute(&format!("ANALYZE {table}; SET enable_seqscan = off"))
                .unwrap(),
        }
    }
}

fn no_query_scans_a_table(url: &StoreUrl) {
    let target = Target::prepare(url, &StoreOptions::default()).unwrap();
    let mut connection = target.migrate().unwrap();
    fill(&mut connection);
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
        assert!(!known.is_empty());
        let deliverers = peer_state::latest_deliverers(connection, 10).unwrap();
        assert!(!deliverers.is_empty());
        peer_state::most_failures(connection, 10).unwrap();
        let cooling = FailedFilter {
            cooling_at_ms: Some(1),
            ..FailedFilter::default()
        };
        torrent_metadata::pending_page(connection, Some((1, 1)), 10).unwrap();
        let peers_after = peer_state::page(connection, Some(&peers[0]), 10).unwrap();
        assert_eq!(peers_after.len(), 10);
        crawl_session::latest(connection, Some((9, "a")), 10).unwrap();
        let attempts =
            metadata_request::page(connection, &resolved.infohash, Some((9, 9)), 10).unwrap();
        assert!(!attempts.is_empty());
        let failed = failed_torrent::list(connection, &cooling, None, 10).unwrap();
        assert!(!failed.is_empty());
        let states = peer_state::of_peers(connection, &peers).unwrap();
        assert_eq!(states.len(), 1);
        assert!(!peer_group::heaviest(connection, 10).unwrap().is_empty());
        crawl_session::save(connection, &CrawlSession::start("crawl", 9)).unwrap();
        assert!(metadata_request::count_before(connection, 9).unwrap() > 10);
        assert!(failed_torrent::count_before(connection, 9).unwrap() > 10);
        assert_eq!(metadata_request::prune(connection, 9, 10), Ok(10));
        assert_eq!(failed_torrent::prune(connection, 9, 10), Ok(10));
        dht_node_state::save(connection, &[node()]).unwrap();
        dht_node_state::save(connection, &[node()]).unwrap();
        tracker_state::find(connection, &["udp://tracker.example:1"]).unwrap();
        for (number, is_new) in [(1, false), (999, true)] {
            let kept = wanted_torrent::add(connection, &[wanted(number)]).unwrap();
            assert!(kept.iter().all(|kept| kept.is_new == is_new));
        }
        let next = wanted_torrent::page(connection, "api", Some(&wanted(2)), 10).unwrap();
        assert_eq!(next.len(), 10);
        wanted_torrent::page(connection, "api", None, 10).unwrap();
        assert!(search::index_some(connection, 10).is_ok());
    });
    assert!(statements.len() > 30, "{statements:?}");
    let mut unlike = HashSet::new();
    for statement in statements {
        let verb = statement.split(' ').next().unwrap_or_default();
        if !["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE"].contains(&verb)
            || !unlike.insert(statement.clone())
        {
            continue;
        }
        let (walks, steps) = plan(&mut connection, &statement);
        assert!(!walks, "{steps}: {statement}");
    }
    let (walks, steps) = plan(
        &mut connection,
        "SELECT * FROM peer_state WHERE attempts = 5",
    );
    assert!(walks, "{steps}");
}

#[test]
fn no_query_of_a_hash_or_peer_scans_a_table() {
    let directory = tempfile::tempdir().unwrap();
    no_query_scans_a_table(&StoreUrl::Sqlite(directory.path().join("a.db")));
}

#[test]
fn nor_on_mariadb() {
    let database = Database::new(Kind::Mariadb);
    no_query_scans_a_table(&database.url().parse().unwrap());
}

#[test]
fn nor_on_postgres() {
    let database = Database::new(Kind::Postgres);
    no_query_scans_a_table(&database.url().parse().unwrap());
}

#[test]
fn lists_that_are_cut_short_come_in_the_order_of_an_index() {
    let directory = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(directory.path().join("a.db"));
    let target = Target::prepare(&url, &StoreOptions::default()).unwrap();
    let mut connection = target.migrate().unwrap();
    let (hash, peer) = (Infohash::V1([1; 20]), "1.2.3.4:5".parse().unwrap());
    let statements = statements(&mut connection, |connection| {
        failed_torrent::list(connection, &FailedFilter::default(), None, 10).unwrap();
        let after = Some((1, &hash));
        failed_torrent::list(connection, &FailedFilter::default(), after, 10).unwrap();
        torrent_metadata::pending_page(connection, None, 10).unwrap();
        torrent_metadata::pending_page(connection, Some((1, 1)), 10).unwrap();
        peer_state::page(connection, Some(&peer), 10).unwrap();
        crawl_session::latest(connection, Some((1, "a")), 10).unwrap();
        blocklist::list(connection, None, 10).unwrap();
        peer_state::latest_deliverers(connection, 10).unwrap();
        peer_state::most_failures(connection, 10).unwrap();
        metadata_request::of_peer(connection, [1, 2, 3, 4].into(), None, (1, 2), 10).unwrap();
        statistics::latencies(connection, 1, 10).unwrap();
        wanted_torrent::page(connection, "api", Some(&wanted(2)), 10).unwrap();
    });
    assert_eq!(statements.len(), 19, "{statements:?}");
    for statement in statements {
        let (_, steps) = plan(&mut connection, &statement);
        assert!(!steps.contains("TEMP B-TREE"), "{steps}: {statement}");
    }
}

#[test]
fn a_search_walks_along_the_index_of_its_words_or_of_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(directory.path().join("a.db"));
    let target = Target::prepare(&url, &StoreOptions::default()).unwrap();
    let mut connection = target.migrate().unwrap();
    fill(&mut connection);
    for (text, sort, index) in [
        ("", TorrentSort::ResolvedAt, "torrent_search_resolved_at"),
        ("", TorrentSort::Size, "torrent_search_size"),
        ("", TorrentSort::Name, "torrent_search_name_key"),
        (
            "a",
            TorrentSort::Relevance,
            "torrent_terms VIRTUAL TABLE INDEX",
        ),
        ("a", TorrentSort::Size, "torrent_terms VIRTUAL TABLE INDEX"),
    ] {
        let mut query = TorrentQuery {
            text: text.to_owned(),
            sort,
            ..TorrentQuery::default()
        };
        // From the beginning, behind a page, and with a filter.
        for _ in 0..3 {
            let mut next = None;
            let statements = statements(&mut connection, |connection| {
                let found = search::page(connection, &query).unwrap();
                assert_eq!(found.torrents.len(), 50);
                next = found.next;
            });
            let inner = statements.iter().find(|text| text.contains(" AS m "));
            let (_, steps) = plan(&mut connection, inner.unwrap());
            assert!(steps.contains(index), "{steps}: {inner:?}");
            assert!(
                steps.contains("SEARCH s USING INTEGER PRIMARY KEY"),
                "{steps}"
            );
            if query.after.is_some() {
                query.max_size = Some(9);
                query.after = None;
            } else {
                query.after = next;
            }
        }
    }
}
