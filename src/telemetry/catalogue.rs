//! Every metric: its name, its kind, its labels, and what it counts.

use super::{Kind, Metric};

/// Bounds of times, in seconds: from a look into memory to the longest wait for a turn.
const SECONDS: Kind = Kind::Histogram(&[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 600.0,
]);
/// Bounds of the number of records in a transaction.
const RECORDS: Kind =
    Kind::Histogram(&[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0]);
/// A number that only grows.
const COUNTER: Kind = Kind::Counter;
/// How it is now.
const GAUGE: Kind = Kind::Gauge;

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $constant:ident: $name:literal, $kind:expr, [$($label:literal),*];)*) => {
        $(
            $(#[doc = $doc])*
            pub static $constant: Metric = Metric {
                name: $name,
                kind: $kind,
                labels: &[$($label),*],
                meaning: &[$($doc),*],
            };
        )*

        /// All of them, in the order in which they are documented.
        pub static ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    /// What runs: always 1.
    BUILD: "metafetch_build_info", GAUGE, ["version", "libtorrent"];

    /// How each station ended for a hash: the funnel. `gate` ends as `open`, `stored`, `joined` (somebody else works on it), `cooldown`, `blocked` or
    /// `internal`; `lookup` as `peers` or `no_peers`; `attempt` and `verify` as `ok` or a reason; `record` as `ok` or `error`; `emit` as `resolved`
    /// or a reason.
    STATION_HASHES: "metafetch_station_hashes_total", COUNTER, ["station", "outcome"];
    /// How long a hash was at a station.
    STATION_TIME: "metafetch_station_seconds", SECONDS, ["station"];
    /// From the moment when work on a hash began until it was told, with all tries.
    RESOLVE_TIME: "metafetch_resolve_seconds", SECONDS, ["outcome"];
    /// Hashes that the engine works on.
    HASHES_IN_WORK: "metafetch_hashes_in_work", GAUGE, [];
    /// Tries at a hash that began to look for peers.
    LOOKUPS: "metafetch_lookups_total", COUNTER, [];
    /// Peers that were found; one that has several hashes counts for each.
    PEERS_FOUND: "metafetch_peers_found_total", COUNTER, ["source"];
    /// Attempts at peers that have ended: how far they came, and as `ok` or with which reason.
    ATTEMPTS: "metafetch_attempts_total", COUNTER, ["arm", "way", "phase", "outcome"];
    /// How long attempts took, from the first packet to the last.
    ATTEMPT_TIME: "metafetch_attempt_seconds", SECONDS, ["arm", "outcome"];
    /// How long a phase took that an attempt has left behind for the next one. A phase that an attempt failed in is
    /// not among them.
    PHASE_TIME: "metafetch_phase_seconds", SECONDS, ["arm", "phase"];
    /// By how much a deadline of the direct arm fired too late, by the phase that it ended: how busy this host is.
    DEADLINE_LATE: "metafetch_deadline_late_seconds", SECONDS, ["phase"];
    /// Bytes of verified info dictionaries.
    METADATA_BYTES: "metafetch_metadata_bytes_total", COUNTER, ["arm"];
    /// Announces to trackers, by what came of them: `answered`, `refused` (by an answer) or `failed`.
    TRACKER_ANNOUNCES: "metafetch_tracker_announces_total", COUNTER, ["outcome"];
    /// Whether an arm is left alone, since it kept failing: 1 or 0.
    ARM_PAUSED: "metafetch_arm_paused", GAUGE, ["arm"];
    /// What an arm has open: connections of the direct arm, torrents of libtorrent.
    ARM_OPEN: "metafetch_arm_open", GAUGE, ["arm"];
    /// How many it may have open.
    ARM_LIMIT: "metafetch_arm_limit", GAUGE, ["arm"];
    /// Endpoints that are listened at.
    LISTEN_ENDPOINTS: "metafetch_listen_endpoints", GAUGE, ["protocol"];
    /// Endpoints that were to be listened at, and could not be.
    LISTEN_ERRORS: "metafetch_listen_errors", GAUGE, [];
    /// How often libtorrent said that it dropped events.
    ALERTS_DROPPED: "metafetch_libtorrent_alerts_dropped_total", COUNTER, [];

    /// Hashes that wait, by who wants them.
    QUEUE_WAITING: "metafetch_queue_waiting", GAUGE, ["source"];
    /// Hashes in work, by who wants them.
    QUEUE_IN_WORK: "metafetch_queue_in_work", GAUGE, ["source"];
    /// Hashes that have ended, by who wanted them, as `resolved` or `failed`.
    QUEUE_ENDED: "metafetch_queue_ended_total", COUNTER, ["source", "outcome"];
    /// Whether a source is paused: 1 or 0.
    SOURCE_PAUSED: "metafetch_source_paused", GAUGE, ["source"];
    /// Whether something is wrong with a source: 1 or 0. `/readyz` says what.
    SOURCE_PROBLEM: "metafetch_source_problem", GAUGE, ["source"];

    /// Nodes in the routing table.
    DHT_NODES: "metafetch_dht_nodes", GAUGE, [];
    /// Whether the DHT works: 1 or 0.
    DHT_WORKS: "metafetch_dht_works", GAUGE, [];
    /// Whether the network seems to be away: nothing comes in, whoever is asked. 1 or 0.
    DHT_AWAY: "metafetch_dht_away", GAUGE, [];
    /// Queries that were sent.
    DHT_QUERIES: "metafetch_dht_queries_total", COUNTER, ["purpose"];
    /// How queries ended: `answer`, `timeout`, `error`, `refused` (not sent), `late` (after its timeout).
    DHT_REPLIES: "metafetch_dht_replies_total", COUNTER, ["outcome"];
    /// Bytes of queries and their answers, with the headers of IP and UDP.
    DHT_BYTES: "metafetch_dht_bytes_total", COUNTER, ["direction"];
    /// How long an answer may take at present.
    DHT_DEADLINE: "metafetch_dht_deadline_seconds", GAUGE, [];
    /// Queries of other nodes: `seen`, `lost` (a queue was full) or `flood` (their source sends too many).
    DHT_OBSERVED: "metafetch_dht_observed_total", COUNTER, ["outcome"];

    /// Records of a transaction.
    STORE_BATCH_RECORDS: "metafetch_store_batch_records", RECORDS, [];
    /// How long a transaction took.
    STORE_BATCH_TIME: "metafetch_store_batch_seconds", SECONDS, ["outcome"];
    /// From the moment when a record was handed over until it was durable.
    STORE_RECORD_TIME: "metafetch_store_record_seconds", SECONDS, [];
    /// How long reads took, with the wait for a connection.
    STORE_READ_TIME: "metafetch_store_read_seconds", SECONDS, ["outcome"];
    /// Records that were made durable: in the `database`, or in a `journal` while that is away.
    STORE_RECORDS: "metafetch_store_records_total", COUNTER, ["to"];
    /// Records that wait in memory for the writer.
    STORE_QUEUED: "metafetch_store_queued_records", GAUGE, [];
    /// Records that wait in journals for the database.
    STORE_JOURNAL_RECORDS: "metafetch_store_journal_records", GAUGE, [];
    /// Bytes of those journals.
    STORE_JOURNAL_BYTES: "metafetch_store_journal_bytes", GAUGE, [];
    /// Whether the database can be written to: 1 or 0.
    STORE_WRITABLE: "metafetch_store_writable", GAUGE, [];
    /// Bytes that the database takes, as it counts them.
    STORE_SIZE: "metafetch_store_size_bytes", GAUGE, [];
    /// Bytes that are free where the database or its journals are.
    DISK_FREE: "metafetch_disk_free_bytes", GAUGE, [];

    /// Requests to the API: the method, the route as it is documented (`other` for what is none), the status.
    API_REQUESTS: "metafetch_api_requests_total", COUNTER, ["method", "route", "status"];
    /// How long requests took until their answer began.
    API_TIME: "metafetch_api_request_seconds", SECONDS, ["route"];
    /// Requests that are being answered.
    API_IN_WORK: "metafetch_api_requests_in_work", GAUGE, [];

    /// Lines of the log that somebody should read: warnings and errors.
    LOG_LINES: "metafetch_log_lines_total", COUNTER, ["level"];
    /// How long ago a loop of the service was last alive.
    LOOP_SILENT: "metafetch_loop_silent_seconds", GAUGE, ["loop"];
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_conventions_of_prometheus() {
        let names: HashSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("metafetch_"), "{name}");
            let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.chars().all(is_plain), "{name}");
            let is_counter = metric.kind == Kind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
            assert!(!metric.meaning.is_empty(), "{name}");
            for label in metric.labels {
                assert!(label.chars().all(is_plain), "{name} {label}");
            }
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(bounds.is_sorted(), "{name}");
            }
        }
    }
}
