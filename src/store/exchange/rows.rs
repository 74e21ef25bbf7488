//! Whole rows, as exports, imports and archives have them. What the columns mean stands in the file of
//! each table.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use super::bytes::{base64, hex, hex_option};
use crate::store::schema::{
    blocked_infohash, blocked_salt, crawl_session, dht_node_state, failed_torrent,
    metadata_request, peer_group, peer_state, torrent_metadata, tracker_state, wanted_torrent,
};

/// A torrent.
#[derive(
    Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, Serialize, Deserialize,
)]
#[diesel(table_name = torrent_metadata)]
pub(in crate::store) struct TorrentRow {
    #[serde(skip)]
    #[diesel(skip_insertion)]
    pub(in crate::store) id: i64,
    #[serde(with = "hex")]
    pub(in crate::store) infohash: Vec<u8>,
    #[serde(with = "hex_option")]
    pub(in crate::store) infohash_v2: Option<Vec<u8>>,
    pub(in crate::store) name: String,
    pub(in crate::store) size: i64,
    pub(in crate::store) piece_length: i64,
    pub(in crate::store) pieces_count: i64,
    pub(in crate::store) files_count: i64,
    pub(in crate::store) private: bool,
    pub(in crate::store) metadata_size: i64,
    pub(in crate::store) trackers: String,
    pub(in crate::store) source: String,
    pub(in crate::store) arm: String,
    pub(in crate::store) peer: Option<String>,
    pub(in crate::store) discovered_at: i64,
    pub(in crate::store) last_seen_at: i64,
    pub(in crate::store) resolved_at: i64,
    pub(in crate::store) validation_status: String,
    pub(in crate::store) comment: String,
    pub(in crate::store) created_by: String,
    pub(in crate::store) encoding: String,
    #[serde(with = "base64")]
    pub(in crate::store) info: Vec<u8>,
    /// See [`TorrentRow::inflated`].
    #[serde(skip)]
    #[diesel(skip_insertion)]
    pub(in crate::store) info_deflated: bool,
}

/// A file of a torrent, which is named by its hash: numbers of rows differ between databases.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Serialize, Deserialize)]
pub(in crate::store) struct FileRow {
    #[serde(skip)]
    pub(in crate::store) torrent_id: i64,
    #[serde(with = "hex")]
    pub(in crate::store) infohash: Vec<u8>,
    pub(in crate::store) position: i64,
    pub(in crate::store) path: String,
    pub(in crate::store) length: i64,
}

/// An attempt at a peer.
#[derive(
    Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, Serialize, Deserialize,
)]
#[diesel(table_name = metadata_request)]
pub(in crate::store) struct AttemptRow {
    #[serde(skip)]
    #[diesel(skip_insertion)]
    pub(in crate::store) id: i64,
    #[serde(with = "hex")]
    pub(in crate::store) infohash: Vec<u8>,
    pub(in crate::store) peer_ip: String,
    pub(in crate::store) peer_port: i32,
    pub(in crate::store) source: String,
    pub(in crate::store) arm: String,
    pub(in crate::store) started_at: i64,
    pub(in crate::store) duration_ms: i64,
    pub(in crate::store) phase: String,
    pub(in crate::store) outcome: String,
    pub(in crate::store) detail: String,
    pub(in crate::store) metadata_size: Option<i64>,
    pub(in crate::store) client: Option<String>,
    pub(in crate::store) transport: String,
    pub(in crate::store) encrypted: bool,
    pub(in crate::store) connect_ms: Option<i64>,
    pub(in crate::store) why: String,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, Serialize, Deserialize)]
#[diesel(table_name = peer_state)]
pub(in crate::store) struct PeerRow {
    pub(in crate::store) peer_ip: String,
    pub(in crate::store) peer_port: i32,
    pub(in crate::store) client: Option<String>,
    pub(in crate::store) first_seen_at: i64,
    pub(in crate::store) last_seen_at: i64,
    pub(in crate::store) attempts: i64,
    pub(in crate::store) connections: i64,
    pub(in crate::store) deliveries: i64,
    pub(in crate::store) failures: i64,
    pub(in crate::store) last_outcome: String,
    pub(in crate::store) last_arm: String,
    pub(in crate::store) last_delivered_at: Option<i64>,
    pub(in crate::store) avg_latency_ms: Option<f64>,
    pub(in crate::store) bep9_support: Option<bool>,
    pub(in crate::store) needs_encryption: Option<bool>,
    pub(in crate::store) delivered_way: Option<String>,
    pub(in crate::store) failures_in_a_row: i64,
    pub(in crate::store) delivered_weight: f64,
    pub(in crate::store) unreachable_weight: f64,
    pub(in crate::store) unserved_weight: f64,
    pub(in crate::store) misbehaved_weight: f64,
    pub(in crate::store) weighed_at: i64,
    #[serde(with = "hex_option")]
    pub(in crate::store) latencies: Option<Vec<u8>>,
    pub(in crate::store) bep10_support: Option<bool>,
}

/// A hash that failed.
#[derive(
    Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, Serialize, Deserialize,
)]
#[diesel(table_name = failed_torrent)]
pub(in crate::store) struct FailedRow {
    #[serde(with = "hex")]
    pub(in crate::store) infohash: Vec<u8>,
    pub(in crate::store) reason: String,
    pub(in crate::store) phase: String,
    pub(in crate::store) detail: String,
    pub(in crate::store) failures: i64,
    pub(in crate::store) failed_at: i64,
    pub(in crate::store) retry_at: i64,
}

/// Peers with something in common.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, Serialize, Deserialize)]
#[diesel(table_name = peer_group)]
pub(in crate::store) struct GroupRow {
    pub(in crate::store) kind: String,
    pub(in crate::store) name: String,
    pub(in crate::store) attempts: i64,
    pub(in crate::store) connections: i64,
    pub(in crate::store) deliveries: i64,
    pub(in crate::store) delivered_weight: f64,
    pub(in crate::store) unreachable_weight: f64,
    pub(in crate::store) unserved_weight: f64,
    pub(in crate::store) misbehaved_weight: f64,
    pub(in crate::store) weighed_at: i64,
    #[serde(with = "hex")]
    pub(in crate::store) latencies: Vec<u8>,
    #[serde(with = "hex")]
    pub(in crate::store) connect_times: Vec<u8>,
}

/// A tracker.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, Serialize, Deserialize)]
#[diesel(table_name = tracker_state)]
pub(in crate::store) struct TrackerRow {
    pub(in crate::store) tracker_url: String,
    pub(in crate::store) first_announce_at: i64,
    pub(in crate::store) last_announce_at: i64,
    pub(in crate::store) last_success_at: Option<i64>,
    pub(in crate::store) announces: i64,
    pub(in crate::store) successful_announces: i64,
    pub(in crate::store) failures_in_a_row: i64,
    pub(in crate::store) peers_returned: i64,
    pub(in crate::store) avg_response_ms: Option<f64>,
    pub(in crate::store) error_message: String,
}

/// A DHT node.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, Serialize, Deserialize)]
#[diesel(table_name = dht_node_state)]
pub(in crate::store) struct NodeRow {
    pub(in crate::store) node_ip: String,
    pub(in crate::store) node_port: i32,
    #[serde(with = "hex")]
    pub(in crate::store) node_id: Vec<u8>,
    pub(in crate::store) first_seen_at: i64,
    pub(in crate::store) last_seen_at: i64,
    pub(in crate::store) queries: i64,
    pub(in crate::store) answers: i64,
    pub(in crate::store) failures_in_a_row: i64,
    pub(in crate::store) avg_rtt_ms: Option<f64>,
    pub(in crate::store) bep51_support: Option<bool>,
    pub(in crate::store) next_sample_at: i64,
}

/// A run.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Queryable,
    Selectable,
    Insertable,
    AsChangeset,
    Serialize,
    Deserialize,
)]
#[diesel(table_name = crawl_session, primary_key(session_id), treat_none_as_null = true)]
pub(in crate::store) struct SessionRow {
    pub(in crate::store) session_id: String,
    pub(in crate::store) command: String,
    pub(in crate::store) started_at: i64,
    pub(in crate::store) ended_at: Option<i64>,
    pub(in crate::store) status: String,
    pub(in crate::store) requested: i64,
    pub(in crate::store) resolved: i64,
    pub(in crate::store) failed: i64,
    pub(in crate::store) from_store: i64,
    pub(in crate::store) attempts: i64,
    pub(in crate::store) peers: i64,
    pub(in crate::store) peak_memory_kib: Option<i64>,
    // Exports from before these columns have none of them.
    #[serde(default)]
    pub(in crate::store) heartbeat_at: i64,
    #[serde(default)]
    pub(in crate::store) nodes: i64,
    #[serde(default)]
    pub(in crate::store) queries: i64,
    #[serde(default)]
    pub(in crate::store) answers: i64,
    #[serde(default)]
    pub(in crate::store) samples: i64,
    #[serde(default)]
    pub(in crate::store) discovered: i64,
    #[serde(default)]
    pub(in crate::store) lookups: i64,
    #[serde(default)]
    pub(in crate::store) peak_queries_per_minute: i64,
    #[serde(default)]
    pub(in crate::store) peak_resolved_per_minute: i64,
    #[serde(default)]
    pub(in crate::store) cpu_ms: Option<i64>,
    #[serde(default)]
    pub(in crate::store) errors: i64,
    #[serde(default)]
    pub(in crate::store) error_message: String,
}

/// A blocked hash.
#[derive(
    Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, Serialize, Deserialize,
)]
#[diesel(table_name = blocked_infohash)]
pub(in crate::store) struct BlockedRow {
    #[serde(with = "hex")]
    pub(in crate::store) value: Vec<u8>,
    #[serde(with = "hex")]
    pub(in crate::store) salt: Vec<u8>,
    pub(in crate::store) list: String,
    pub(in crate::store) added_at: i64,
}

/// A salt of blocked hashes.
#[derive(
    Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, Serialize, Deserialize,
)]
#[diesel(table_name = blocked_salt)]
pub(in crate::store) struct SaltRow {
    #[serde(with = "hex")]
    pub(in crate::store) salt: Vec<u8>,
}

/// A hash that a service is asked for.
#[derive(
    Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, Serialize, Deserialize,
)]
#[diesel(table_name = wanted_torrent)]
pub(in crate::store) struct WantedRow {
    #[serde(with = "hex")]
    pub(in crate::store) infohash: Vec<u8>,
    #[serde(with = "hex_option")]
    pub(in crate::store) infohash_v2: Option<Vec<u8>>,
    pub(in crate::store) source: String,
    pub(in crate::store) precedence: i32,
    pub(in crate::store) trackers: String,
    pub(in crate::store) peers: String,
    pub(in crate::store) requested_at: i64,
}
