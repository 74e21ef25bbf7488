//! What is known of one DHT node.

use super::options::{CrawlOptions, ms};
use crate::torrent::PeerAddr;
use crate::wire::krpc::{NodeAddr, NodeId};

/// An answer within this makes a node good (BEP 5).
const GOOD_MS: i64 = 15 * 60 * 1000;
/// Queries in a row without an answer that make a node bad which answered before. Of one that never
/// answered the first is enough: about half of all nodes that are named are dead.
const BAD_AFTER: u32 = 2;
/// The longest interval that BEP 51 has.
const LONGEST_INTERVAL_S: u32 = 21_600;
/// Added to each interval: the node's clock and ours do not start at the same moment.
const MARGIN_MS: i64 = 2_000;
/// What a new round trip counts in the average.
const RTT_WEIGHT: f32 = 0.25;

/// A node as the store keeps it. Times are milliseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRecord {
    /// Its UDP endpoint.
    pub addr: PeerAddr,
    /// The id that it answered with last, or that it was named with.
    pub id: NodeId,
    /// When it was named, or sent us something, for the first time.
    pub first_seen_ms: i64,
    /// When it answered last; `first_seen_ms` where it never did.
    pub last_seen_ms: i64,
    /// How often it was asked.
    pub queries: u32,
    /// How often it answered.
    pub answers: u32,
    /// Queries without an answer since the last one with.
    pub failures_in_a_row: u32,
    /// Milliseconds from a query to its answer, moving average; `None` where it never answered.
    pub avg_rtt_ms: Option<f32>,
    /// Whether it answers `sample_infohashes` with samples (BEP 51); `None` where it was not asked.
    pub bep51: Option<bool>,
    /// Before this it must not be asked for samples; 0 where it never was.
    pub next_sample_at_ms: i64,
}

/// What may be expected of a node (BEP 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeState {
    /// Answered the last time, within 15 minutes.
    Good,
    /// Never asked, or too long ago.
    Unknown,
    /// Does not answer.
    Bad,
}

/// A node of the frontier. Times are those of the crawl's clock.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) record: NodeRecord,
    /// Before this it is asked nothing at all.
    pub(super) ask_at_ms: i64,
    /// A query waits for its answer.
    pub(super) asked: bool,
    /// Lies that it told, weighed; each clean answer takes one back.
    pub(super) strikes: u32,
    /// Who named it first.
    pub(super) named_by: Option<PeerAddr>,
    /// Of the nodes that it was the first to name: those that answered, and those that did not.
    pub(super) named_alive: u32,
    /// See `named_alive`.
    pub(super) named_dead: u32,
    /// Answers in a row whose samples held nothing new.
    pub(super) stale_samples: u32,
}

impl Node {
    pub(super) fn new(named: NodeAddr, named_by: Option<PeerAddr>, now_ms: i64) -> Self {
        Self::from_record(
            NodeRecord {
                addr: named.addr,
                id: named.id,
                first_seen_ms: now_ms,
                last_seen_ms: now_ms,
                queries: 0,
                answers: 0,
                failures_in_a_row: 0,
                avg_rtt_ms: None,
                bep51: None,
                next_sample_at_ms: 0,
            },
            named_by,
        )
    }

    fn from_record(record: NodeRecord, named_by: Option<PeerAddr>) -> Self {
        Self {
            record,
            ask_at_ms: 0,
            asked: false,
            strikes: 0,
            named_by,
            named_alive: 0,
            named_dead: 0,
            stale_samples: 0,
        }
    }

    /// A remembered node. Its times may be from a clock that was wrong, or be no times at all: none
    /// makes the node wait longer than if it had answered just now.
    pub(super) fn remembered(mut record: NodeRecord, options: &CrawlOptions, now_ms: i64) -> Self {
        let longest = if record.bep51 == Some(false) {
            ms(options.bep51_again)
        } else {
            i64::from(LONGEST_INTERVAL_S) * 1000
        };
        let latest = now_ms.saturating_add(longest);
        record.next_sample_at_ms = record.next_sample_at_ms.clamp(0, latest);
        record.last_seen_ms = record.last_seen_ms.clamp(0, now_ms);
        record.first_seen_ms = record.first_seen_ms.clamp(0, record.last_seen_ms);
        record.answers = record.answers.min(record.queries);
        record.avg_rtt_ms = (record.avg_rtt_ms).filter(|rtt| rtt.is_finite() && *rtt >= 0.0);
        // Whether it is still there is not known.
        record.failures_in_a_row = record.failures_in_a_row.min(BAD_AFTER - 1);
        Self::from_record(record, None)
    }

    pub(super) fn addr(&self) -> NodeAddr {
        NodeAddr {
            id: self.record.id,
            addr: self.record.addr,
        }
    }

    pub(super) fn state(&self, now_ms: i64) -> NodeState {
        let record = &self.record;
        let bad_after = if record.answers == 0 { 1 } else { BAD_AFTER };
        if record.failures_in_a_row >= bad_after {
            NodeState::Bad
        } else if record.answers > 0
            && record.failures_in_a_row == 0
            && now_ms.saturating_sub(record.last_seen_ms) < GOOD_MS
        {
            NodeState::Good
        } else {
            NodeState::Unknown
        }
    }

    /// Whether it answered the last time it was asked.
    pub(super) fn answered_last(&self) -> bool {
        self.record.answers > 0 && self.record.failures_in_a_row == 0
    }

    /// From when on it may be asked for samples.
    pub(super) fn sample_at_ms(&self) -> i64 {
        if self.asked {
            return i64::MAX;
        }
        self.ask_at_ms.max(self.record.next_sample_at_ms)
    }

    /// A query leaves for it.
    pub(super) fn ask(&mut self, options: &CrawlOptions, now_ms: i64) {
        self.asked = true;
        self.record.queries = self.record.queries.saturating_add(1);
        self.ask_at_ms = now_ms.saturating_add(ms(options.node_interval));
    }

    /// It answered. Says whether for the first time.
    pub(super) fn answered(&mut self, rtt_ms: f32, options: &CrawlOptions, now_ms: i64) -> bool {
        self.asked = false;
        self.ask_at_ms = now_ms.saturating_add(ms(options.node_interval));
        let record = &mut self.record;
        record.answers = record.answers.saturating_add(1);
        record.failures_in_a_row = 0;
        record.last_seen_ms = now_ms;
        record.avg_rtt_ms = Some(match record.avg_rtt_ms {
            Some(average) => average + (rtt_ms - average) * RTT_WEIGHT,
            None => rtt_ms,
        });
        record.answers == 1
    }

    /// It did not answer. It is left alone for the longer, the more often that happened.
    pub(super) fn failed(&mut self, options: &CrawlOptions, now_ms: i64) {
        self.asked = false;
        let failures = &mut self.record.failures_in_a_row;
        *failures = failures.saturating_add(1);
        let pause = ms(options.node_interval)
            .saturating_mul(1 << (2 * *failures).min(16))
            .min(i64::from(LONGEST_INTERVAL_S) * 1000);
        self.ask_at_ms = now_ms.saturating_add(pause);
    }
}

/// When a node may be asked for samples again, `interval` seconds (as it says) after `now_ms`. One
/// whose last answers held nothing new waits twice as long for each of them.
pub(super) fn next_sample_at(
    interval: Option<u32>,
    stale: u32,
    options: &CrawlOptions,
    now_ms: i64,
) -> i64 {
    let longest = i64::from(LONGEST_INTERVAL_S) * 1000;
    let asked_for = interval.map_or(ms(options.default_sample_interval), |seconds| {
        i64::from(seconds.min(LONGEST_INTERVAL_S)) * 1000
    });
    let least = asked_for.max(ms(options.min_sample_interval)).min(longest);
    let wait = least.saturating_mul(1 << stale.min(16)).min(longest);
    now_ms.saturating_add(wait).saturating_add(MARGIN_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let named = NodeAddr {
            id: NodeId([1; 20]),
            addr: "8.8.8.8:1".parse().unwrap(),
        };
        Node::new(named, None, 0)
    }

    #[test]
    fn intervals_are_the_nodes_between_a_least_and_the_beps_longest() {
        let options = CrawlOptions::default();
        for (interval, stale, seconds) in [
            (Some(0), 0, 60),
            (Some(59), 0, 60),
            (Some(100), 0, 100),
            (Some(100), 2, 400),
            (None, 0, 3600),
            (Some(u32::MAX), 0, 21_600),
            (Some(21_600), u32::MAX, 21_600),
        ] {
            let wait = next_sample_at(interval, stale, &options, 5) - 5 - MARGIN_MS;
            assert_eq!(wait, seconds * 1000, "{interval:?}, {stale}");
        }
    }

    #[test]
    fn a_node_is_good_unknown_or_bad() {
        let options = CrawlOptions::default();
        let mut stranger = node();
        assert_eq!(stranger.state(0), NodeState::Unknown);
        stranger.failed(&options, 0);
        assert_eq!(stranger.state(0), NodeState::Bad);

        let mut node = node();
        assert!(node.answered(100.0, &options, 1_000));
        assert_eq!(node.state(1_000), NodeState::Good);
        assert_eq!(node.state(1_000 + GOOD_MS), NodeState::Unknown);
        node.failed(&options, 1_000);
        assert_eq!(node.state(1_000), NodeState::Unknown);
        node.failed(&options, 1_000);
        assert_eq!(node.state(1_000), NodeState::Bad);
        assert!(!node.answered(200.0, &options, 2_000));
        assert_eq!(node.state(2_000), NodeState::Good);
        assert_eq!(node.record.avg_rtt_ms, Some(125.0));
    }

    #[test]
    fn a_remembered_node_waits_no_longer_than_an_interval() {
        let options = CrawlOptions::default();
        let now = 1_800_000_000_000;
        let mut record = node().record;
        (record.next_sample_at_ms, record.last_seen_ms) = (i64::MAX, i64::MAX);
        (record.queries, record.answers, record.failures_in_a_row) = (1, 7, u32::MAX);
        record.avg_rtt_ms = Some(f32::NAN);
        let node = Node::remembered(record.clone(), &options, now);
        assert_eq!(node.record.next_sample_at_ms, now + 21_600_000);
        assert_eq!((node.record.last_seen_ms, node.record.answers), (now, 1));
        assert_eq!(
            (node.state(now), node.record.avg_rtt_ms),
            (NodeState::Unknown, None)
        );
        record.bep51 = Some(false);
        let node = Node::remembered(record, &options, now);
        assert_eq!(node.record.next_sample_at_ms, now + 3 * 86_400_000);
    }
}
