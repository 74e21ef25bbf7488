//! What makes a row one that this program could have written. Imports refuse the others, and `db check`
//! reports them: a name or an address that can't be read back would spoil every query that meets it.

use super::rows::{
    AttemptRow, BlockedRow, FailedRow, FileRow, GroupRow, NodeRow, PeerRow, SaltRow, SessionRow,
    TorrentRow, TrackerRow, WantedRow,
};
use crate::history::Quantiles;
use crate::store::torrent_metadata::{ARM_CHARS, PENDING, SOURCE_CHARS, VALID, stored_identity};
use crate::store::value::{self, CLIENT_CHARS, DELIVERED, DETAIL_CHARS, WHY_CHARS, bounded};
use crate::store::wanted_torrent::SOURCE_CHARS as WANTED_SOURCE_CHARS;
use crate::torrent::{Infohash, PeerAddr};

// What the writers write, which every database holds: MySQL's columns are bounded.

/// The longest names and messages, in characters.
const TEXT_CHARS: usize = 1_000;
/// The longest path, in characters.
const PATH_CHARS: usize = 4_000;
/// The longest URL of a tracker, in characters.
const TRACKER_CHARS: usize = 700;
/// The longest id of a run, in characters: a UUID.
const SESSION_ID_CHARS: usize = 36;
/// The longest name of a command, in characters.
const COMMAND_CHARS: usize = 40;
/// The longest name of a blocklist, in characters.
const LIST_CHARS: usize = 100;
/// The longest list of trackers, in characters.
const TRACKERS_CHARS: usize = 250_000;

/// `Ok`, or what is wrong with the row.
pub(in crate::store) type Verdict = Result<(), String>;

/// A row that can be judged.
pub(in crate::store) trait Sound {
    /// What is wrong with it, if anything.
    fn verdict(&self) -> Verdict;
}

fn no_negatives(values: &[(&str, i64)]) -> Verdict {
    match values.iter().find(|(_, value)| *value < 0) {
        Some((name, value)) => Err(format!("{name} is {value}, below 0")),
        None => Ok(()),
    }
}

fn weights(values: &[(&str, f64)]) -> Verdict {
    match values
        .iter()
        .find(|(_, value)| !value.is_finite() || *value < 0.0)
    {
        Some((name, value)) => Err(format!("{name} is {value}, not a number from 0")),
        None => Ok(()),
    }
}

fn text(name: &str, text: &str, chars: usize) -> Verdict {
    if bounded(text, chars).len() < text.len() {
        return Err(format!("{name} has more than {chars} characters"));
    }
    if text.contains('\0') {
        return Err(format!("{name} has a NUL in it"));
    }
    Ok(())
}

fn hash(bytes: &[u8]) -> Verdict {
    Infohash::from_bytes(bytes)
        .map(drop)
        .ok_or_else(|| format!("the infohash has {} bytes, not 20 or 32", bytes.len()))
}

fn known<T>(parsed: diesel::QueryResult<T>) -> Verdict {
    parsed.map(drop).map_err(|error| {
        let text = error.to_string();
        text.strip_suffix(" in the database")
            .unwrap_or(&text)
            .to_owned()
    })
}

fn address(ip: &str, port: i32) -> Verdict {
    let peer: PeerAddr =
        value::peer(ip, port).map_err(|_| format!("`{ip}` port {port} is no peer"))?;
    if peer.ip().to_string() == ip {
        Ok(())
    } else {
        Err(format!(
            "the address `{ip}` is written in another way than {}",
            peer.ip()
        ))
    }
}

fn quantiles(name: &str, bytes: &[u8]) -> Verdict {
    Quantiles::from_bytes(bytes).map(drop).ok_or_else(|| {
        let expected = Quantiles::BUCKETS;
        format!("{name} has {} bytes, not {expected}", bytes.len())
    })
}

impl Sound for TorrentRow {
    /// Whether the dictionary has the hash is asked elsewhere.
    fn verdict(&self) -> Verdict {
        hash(&self.infohash)?;
        if self.infohash_v2.as_ref().is_some_and(|v2| v2.len() != 32) {
            return Err("the v2 infohash has not 32 bytes".to_owned());
        }
        no_negatives(&[
            ("size", self.size),
            ("piece_length", self.piece_length),
            ("pieces_count", self.pieces_count),
            ("files_count", self.files_count),
            ("metadata_size", self.metadata_size),
        ])?;
        text("trackers", &self.trackers, TRACKERS_CHARS)?;
        serde_json::from_str::<Vec<String>>(&self.trackers)
            .map_err(|error| format!("trackers is no list of texts: {error}"))?;
        if let Some(peer) = &self.peer {
            peer.parse::<PeerAddr>()
                .map_err(|error| error.to_string())?;
        }
        text("arm", &self.arm, ARM_CHARS)?;
        text("comment", &self.comment, TEXT_CHARS)?;
        text("created_by", &self.created_by, TEXT_CHARS)?;
        text("encoding", &self.encoding, TEXT_CHARS)?;
        match (self.validation_status.as_str(), self.info.is_empty()) {
            // Readers tell a pending row by the size of its dictionary, which comes before it.
            (PENDING, true) if self.metadata_size != 0 || self.resolved_at != 0 => {
                Err("it is pending, but has a metadata_size or a resolved_at".to_owned())
            }
            (PENDING, true) => {
                text("name", &self.name, TEXT_CHARS)?;
                text("source", &self.source, SOURCE_CHARS)
            }
            (VALID, false) => Ok(()),
            (PENDING, false) => Err("it is pending, but has a dictionary".to_owned()),
            (VALID, true) => Err("it is valid, but has no dictionary".to_owned()),
            (other, _) => Err(format!("unknown validation status `{other}`")),
        }
    }
}

impl Sound for FileRow {
    fn verdict(&self) -> Verdict {
        hash(&self.infohash)?;
        text("path", &self.path, PATH_CHARS)?;
        no_negatives(&[("position", self.position), ("length", self.length)])
    }
}

impl Sound for AttemptRow {
    fn verdict(&self) -> Verdict {
        hash(&self.infohash)?;
        address(&self.peer_ip, self.peer_port)?;
        known(value::source(&self.source))?;
        known(value::arm(&self.arm))?;
        known(value::phase(&self.phase))?;
        if self.outcome != DELIVERED {
            known(value::reason(&self.outcome))?;
        }
        text("detail", &self.detail, DETAIL_CHARS)?;
        text(
            "client",
            self.client.as_deref().unwrap_or_default(),
            CLIENT_CHARS,
        )?;
        text("why", &self.why, WHY_CHARS)?;
        known(value::transport(&self.transport))?;
        no_negatives(&[
            ("duration_ms", self.duration_ms),
            ("metadata_size", self.metadata_size.unwrap_or(0)),
            ("connect_ms", self.connect_ms.unwrap_or(0)),
        ])
    }
}

impl Sound for PeerRow {
    fn verdict(&self) -> Verdict {
        address(&self.peer_ip, self.peer_port)?;
        text(
            "client",
            self.client.as_deref().unwrap_or_default(),
            CLIENT_CHARS,
        )?;
        no_negatives(&[
            ("attempts", self.attempts),
            ("connections", self.connections),
            ("deliveries", self.deliveries),
            ("failures", self.failures),
            ("failures_in_a_row", self.failures_in_a_row),
        ])?;
        if self.last_outcome != DELIVERED {
            known(value::reason(&self.last_outcome))?;
        }
        known(value::arm(&self.last_arm))?;
        if let Some(way) = &self.delivered_way {
            known(value::way(way))?;
        }
        weights(&[
            ("avg_latency_ms", self.avg_latency_ms.unwrap_or(0.0)),
            ("delivered_weight", self.delivered_weight),
            ("unreachable_weight", self.unreachable_weight),
            ("unserved_weight", self.unserved_weight),
            ("misbehaved_weight", self.misbehaved_weight),
        ])?;
        match &self.latencies {
            Some(latencies) => quantiles("latencies", latencies),
            None => Ok(()),
        }
    }
}

impl Sound for FailedRow {
    fn verdict(&self) -> Verdict {
        hash(&self.infohash)?;
        known(value::reason(&self.reason))?;
        known(value::phase(&self.phase))?;
        text("detail", &self.detail, DETAIL_CHARS)?;
        no_negatives(&[("failures", self.failures)])
    }
}

impl Sound for GroupRow {
    fn verdict(&self) -> Verdict {
        if !["client", "network", "source", "way"].contains(&self.kind.as_str()) {
            return Err(format!("unknown kind of group `{}`", self.kind));
        }
        text("name", &self.name, CLIENT_CHARS)?;
        no_negatives(&[
            ("attempts", self.attempts),
            ("connections", self.connections),
            ("deliveries", self.deliveries),
        ])?;
        weights(&[
            ("delivered_weight", self.delivered_weight),
            ("unreachable_weight", self.unreachable_weight),
            ("unserved_weight", self.unserved_weight),
            ("misbehaved_weight", self.misbehaved_weight),
        ])?;
        quantiles("latencies", &self.latencies)?;
        quantiles("connect_times", &self.connect_times)
    }
}

impl Sound for TrackerRow {
    fn verdict(&self) -> Verdict {
        text("tracker_url", &self.tracker_url, TRACKER_CHARS)?;
        text("error_message", &self.error_message, TEXT_CHARS)?;
        weights(&[("avg_response_ms", self.avg_response_ms.unwrap_or(0.0))])?;
        no_negatives(&[
            ("announces", self.announces),
            ("successful_announces", self.successful_announces),
            ("failures_in_a_row", self.failures_in_a_row),
            ("peers_returned", self.peers_returned),
        ])
    }
}

impl Sound for NodeRow {
    fn verdict(&self) -> Verdict {
        address(&self.node_ip, self.node_port)?;
        if self.node_port == 0 || self.node_id.len() != 20 {
            return Err("a DHT node has a port above 0 and an id of 20 bytes".to_owned());
        }
        weights(&[("avg_rtt_ms", self.avg_rtt_ms.unwrap_or(0.0))])?;
        no_negatives(&[
            ("queries", self.queries),
            ("answers", self.answers),
            ("failures_in_a_row", self.failures_in_a_row),
        ])
    }
}

impl Sound for SessionRow {
    fn verdict(&self) -> Verdict {
        if !["running", "completed", "stopped", "failed"].contains(&self.status.as_str()) {
            return Err(format!("unknown status `{}`", self.status));
        }
        text("session_id", &self.session_id, SESSION_ID_CHARS)?;
        text("command", &self.command, COMMAND_CHARS)?;
        text("error_message", &self.error_message, DETAIL_CHARS)?;
        no_negatives(&[
            ("requested", self.requested),
            ("resolved", self.resolved),
            ("failed", self.failed),
            ("from_store", self.from_store),
            ("attempts", self.attempts),
            ("peers", self.peers),
            ("nodes", self.nodes),
            ("queries", self.queries),
            ("answers", self.answers),
            ("samples", self.samples),
            ("discovered", self.discovered),
            ("lookups", self.lookups),
            ("peak_queries_per_minute", self.peak_queries_per_minute),
            ("peak_resolved_per_minute", self.peak_resolved_per_minute),
            ("errors", self.errors),
        ])
    }
}

impl Sound for BlockedRow {
    fn verdict(&self) -> Verdict {
        hash(&self.value)?;
        salt(&self.salt)?;
        text("list", &self.list, LIST_CHARS)
    }
}

impl Sound for WantedRow {
    fn verdict(&self) -> Verdict {
        known(stored_identity(&self.infohash, self.infohash_v2.as_deref()))?;
        text("source", &self.source, WANTED_SOURCE_CHARS)?;
        for (name, list) in [("trackers", &self.trackers), ("peers", &self.peers)] {
            text(name, list, TRACKERS_CHARS)?;
            serde_json::from_str::<Vec<String>>(list)
                .map_err(|error| format!("{name} is no list: {error}"))?;
        }
        Ok(())
    }
}

impl Sound for SaltRow {
    fn verdict(&self) -> Verdict {
        salt(&self.salt)
    }
}

fn salt(bytes: &[u8]) -> Verdict {
    if bytes.len() > 64 {
        return Err(format!("the salt has {} bytes, more than 64", bytes.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_has_a_source_and_a_transport_that_are_read_back() {
        let row = |source: &str, transport: &str| AttemptRow {
            id: 1,
            infohash: vec![1; 20],
            peer_ip: "1.2.3.4".to_owned(),
            peer_port: 5,
            source: source.to_owned(),
            arm: "direct".to_owned(),
            started_at: 1,
            duration_ms: 1,
            phase: "transfer".to_owned(),
            outcome: DELIVERED.to_owned(),
            detail: String::new(),
            metadata_size: None,
            client: None,
            transport: transport.to_owned(),
            encrypted: false,
            connect_ms: None,
            why: String::new(),
        };
        assert_eq!(row("dht", "tcp").verdict(), Ok(()));
        assert!(row("x", "tcp").verdict().is_err());
        assert!(row("dht", "x").verdict().is_err());
    }

    #[test]
    fn a_pending_torrent_has_no_size_of_a_dictionary() {
        let row = |metadata_size, resolved_at| TorrentRow {
            id: 0,
            infohash: vec![1; 20],
            infohash_v2: None,
            name: String::new(),
            size: 0,
            piece_length: 0,
            pieces_count: 0,
            files_count: 0,
            private: false,
            metadata_size,
            trackers: "[]".to_owned(),
            source: String::new(),
            arm: String::new(),
            peer: None,
            discovered_at: 1,
            last_seen_at: 1,
            resolved_at,
            validation_status: PENDING.to_owned(),
            comment: String::new(),
            created_by: String::new(),
            encoding: String::new(),
            info: Vec::new(),
            info_deflated: false,
        };
        assert_eq!(row(0, 0).verdict(), Ok(()));
        assert!(row(1, 0).verdict().is_err());
        assert!(row(0, 1).verdict().is_err());
    }
}
