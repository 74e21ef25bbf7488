//! What is known of trackers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one tracker said to one announce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerReply {
    /// Its URL.
    pub url: String,
    /// When the answer, or the failure, came: UTC, milliseconds since 1970.
    pub at_ms: i64,
    /// How long it took.
    pub elapsed: Duration,
    /// How many peers it named, or what went wrong; the first 200 characters are kept.
    pub result: Result<u32, String>,
}

/// What all announces to a tracker add up to. Times are UTC, in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackerState {
    /// The first and the latest announce.
    pub first_announce_at_ms: i64,
    /// The latest announce.
    pub last_announce_at_ms: i64,
    /// The latest announce that was answered.
    pub last_success_at_ms: Option<i64>,
    /// How many announces there were.
    pub announces: u64,
    /// How many of them were answered.
    pub successful_announces: u64,
    /// How many failed since the latest one that was answered.
    pub failures_in_a_row: u32,
    /// How many peers it has named in all.
    pub peers_returned: u64,
    /// Mean time of its answers, in milliseconds.
    pub avg_response_ms: Option<f64>,
    /// What went wrong the last time; empty where it was answered.
    pub error_message: String,
}

impl TrackerState {
    /// A tracker of which this reply is all that is known.
    #[must_use]
    pub fn new(reply: &TrackerReply) -> Self {
        let mut state = Self {
            first_announce_at_ms: reply.at_ms,
            last_announce_at_ms: reply.at_ms,
            last_success_at_ms: None,
            announces: 0,
            successful_announces: 0,
            failures_in_a_row: 0,
            peers_returned: 0,
            avg_response_ms: None,
            error_message: String::new(),
        };
        state.add(reply);
        state
    }

    /// Adds one reply.
    pub fn add(&mut self, reply: &TrackerReply) {
        self.announces = self.announces.saturating_add(1);
        self.first_announce_at_ms = self.first_announce_at_ms.min(reply.at_ms);
        self.last_announce_at_ms = self.last_announce_at_ms.max(reply.at_ms);
        match &reply.result {
            Ok(peers) => {
                self.successful_announces = self.successful_announces.saturating_add(1);
                self.failures_in_a_row = 0;
                self.peers_returned = self.peers_returned.saturating_add((*peers).into());
                self.last_success_at_ms = self.last_success_at_ms.max(Some(reply.at_ms));
                self.error_message.clear();
                let took = reply.elapsed.as_secs_f64() * 1_000.0;
                let before = self.avg_response_ms.unwrap_or(took);
                #[expect(clippy::cast_precision_loss, reason = "a mean needs no unit")]
                let count = self.successful_announces as f64;
                self.avg_response_ms = Some(before + (took - before) / count);
            }
            Err(error) => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.error_message = error.chars().take(200).collect();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(at_ms: i64, elapsed: u64, result: Result<u32, &str>) -> TrackerReply {
        TrackerReply {
            url: "udp://tracker.example:1".to_owned(),
            at_ms,
            elapsed: Duration::from_millis(elapsed),
            result: result.map_err(str::to_owned),
        }
    }

    #[test]
    fn replies_add_up() {
        let mut state = TrackerState::new(&reply(1_000, 100, Ok(5)));
        state.add(&reply(2_000, 300, Ok(7)));
        state.add(&reply(3_000, 15_000, Err("timed out")));
        let expected = TrackerState {
            first_announce_at_ms: 1_000,
            last_announce_at_ms: 3_000,
            last_success_at_ms: Some(2_000),
            announces: 3,
            successful_announces: 2,
            failures_in_a_row: 1,
            peers_returned: 12,
            avg_response_ms: Some(200.0),
            error_message: "timed out".to_owned(),
        };
        assert_eq!(state, expected);
        state.add(&reply(4_000, 200, Ok(0)));
        assert_eq!(
            (state.failures_in_a_row, state.error_message.as_str()),
            (0, "")
        );
    }
}
