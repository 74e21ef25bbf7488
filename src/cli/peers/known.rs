//! A peer with what its history comes to.

use std::time::Duration;

use serde::Serialize;

use crate::engine::timestamp;
use crate::history::{Estimate, History, PeerState};
use crate::torrent::{Infohash, PeerAddr, PeerSource, Reason, Way};

/// A hash that nobody asks for: the score is that of the peer, whatever hash.
const ANY: Infohash = Infohash::V1([0; 20]);

pub(super) struct Peer {
    pub(super) addr: PeerAddr,
    pub(super) state: PeerState,
    pub(super) estimate: Estimate,
}

/// The peers with their estimates as of `now_ms`.
pub(super) fn judged(
    history: &History,
    states: Vec<(PeerAddr, PeerState)>,
    now_ms: i64,
) -> Vec<Peer> {
    let addrs: Vec<PeerAddr> = states.iter().map(|(addr, _)| *addr).collect();
    history.load(&addrs, states.iter().cloned().collect());
    let judged = states.into_iter().map(|(addr, state)| Peer {
        estimate: history.estimate(&ANY, &addr, PeerSource::Remembered, 1, now_ms),
        addr,
        state,
    });
    judged.collect()
}

/// A duration in whole milliseconds, or a dash.
pub(super) fn milliseconds(duration: Option<Duration>) -> String {
    duration.map_or_else(
        || "-".to_owned(),
        |duration| format!("{} ms", duration.as_millis()),
    )
}

/// A peer as a JSON line.
#[derive(Serialize)]
pub(super) struct PeerLine<'a> {
    peer: PeerAddr,
    score: f64,
    standing: &'static str,
    probability: f64,
    expected_ms: u128,
    confidence: f64,
    why: String,
    client: Option<&'a str>,
    attempts: u64,
    connections: u64,
    deliveries: u64,
    failures: u64,
    failures_in_a_row: u32,
    first_seen_at: Option<String>,
    last_seen_at: Option<String>,
    last_delivered_at: Option<String>,
    last_outcome: Option<Reason>,
    delivered_way: Option<&'static str>,
    preferred_way: Option<&'static str>,
    hopeless: Option<Reason>,
    latency_p50_ms: Option<u128>,
    latency_p90_ms: Option<u128>,
    bep10_support: Option<bool>,
    bep9_support: Option<bool>,
    needs_encryption: Option<bool>,
}

impl Peer {
    pub(super) fn line(&self) -> PeerLine<'_> {
        let Self {
            addr,
            state,
            estimate,
        } = self;
        let ms = |share| state.latencies.quantile(share).map(|time| time.as_millis());
        PeerLine {
            peer: *addr,
            score: estimate.value,
            standing: estimate.standing.as_str(),
            probability: estimate.probability,
            expected_ms: estimate.expected.as_millis(),
            confidence: estimate.confidence,
            why: estimate.why.to_string(),
            client: state.client.as_deref(),
            attempts: state.attempts,
            connections: state.connections,
            deliveries: state.deliveries,
            failures: state.failures,
            failures_in_a_row: state.failures_in_a_row,
            first_seen_at: timestamp(state.first_seen_at_ms),
            last_seen_at: timestamp(state.last_seen_at_ms),
            last_delivered_at: state.last_delivered_at_ms.and_then(timestamp),
            last_outcome: state.last_outcome,
            delivered_way: state.delivered_way.map(Way::as_str),
            preferred_way: estimate.way.map(Way::as_str),
            hopeless: estimate.hopeless,
            latency_p50_ms: ms(0.5),
            latency_p90_ms: ms(0.9),
            bep10_support: state.bep10_support,
            bep9_support: state.bep9_support,
            needs_encryption: state.needs_encryption,
        }
    }
}
