//! What attempts at a peer add up to, and what each says of its capabilities.

use super::{Attempt, Fact, Quantiles, Weights};
use crate::torrent::{Arm, Phase, Reason, Way};

/// The most characters of the name of a peer's client.
const CLIENT_CHARS: usize = 100;

/// What all attempts at a peer add up to. Times are UTC, in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerState {
    /// The name of its software, as last heard.
    pub client: Option<String>,
    /// Start of the first attempt.
    pub first_seen_at_ms: i64,
    /// Start of the latest attempt.
    pub last_seen_at_ms: i64,
    /// How many attempts were made.
    pub attempts: u64,
    /// How many of them were connected.
    pub connections: u64,
    /// How many of them delivered.
    pub deliveries: u64,
    /// How many of them failed by the peer's doing: those we cancelled are not counted.
    pub failures: u64,
    /// Why the latest attempt failed; `None` where it delivered. One that ended by our own doing does
    /// not replace what was known.
    pub last_outcome: Option<Reason>,
    /// The arm of that attempt.
    pub last_arm: Arm,
    /// Start of the latest attempt that delivered.
    pub last_delivered_at_ms: Option<i64>,
    /// Mean duration of the attempts that delivered, in milliseconds.
    pub avg_latency_ms: Option<f64>,
    /// Durations of the attempts that delivered.
    pub latencies: Quantiles,
    /// The way of the latest attempt that delivered.
    pub delivered_way: Option<Way>,
    /// How often it failed since it last delivered. What it did not serve of one hash is no
    /// failure of the peer.
    pub failures_in_a_row: u32,
    /// The counts that fade. Those of `unreachable` and `unserved` go from 0 to 1: how fresh the last such
    /// failure since the last delivery is.
    pub weights: Weights,
    /// Whether it speaks the extension protocol (BEP 10), as far as known.
    pub bep10_support: Option<bool>,
    /// Whether it speaks `ut_metadata` (BEP 9), as far as known.
    pub bep9_support: Option<bool>,
    /// Whether it talks only over encrypted connections (MSE), as far as known.
    pub needs_encryption: Option<bool>,
}

impl PeerState {
    /// A peer of which this attempt is all that is known.
    #[must_use]
    pub fn new(attempt: &Attempt) -> Self {
        let mut state = Self {
            client: None,
            first_seen_at_ms: attempt.started_at_ms,
            last_seen_at_ms: attempt.started_at_ms,
            attempts: 0,
            connections: 0,
            deliveries: 0,
            failures: 0,
            last_outcome: attempt.outcome,
            last_arm: attempt.way.arm,
            last_delivered_at_ms: None,
            avg_latency_ms: None,
            latencies: Quantiles::default(),
            delivered_way: None,
            failures_in_a_row: 0,
            weights: Weights::default(),
            bep10_support: None,
            bep9_support: None,
            needs_encryption: None,
        };
        state.add(attempt);
        state
    }

    /// Adds one attempt. Attempts may come in any order: an older one changes the counts, but none
    /// of the latest facts.
    pub fn add(&mut self, attempt: &Attempt) {
        let is_latest = attempt.started_at_ms >= self.last_seen_at_ms;
        let fact = attempt.fact();
        self.attempts = self.attempts.saturating_add(1);
        if attempt.connect_time.is_some() {
            self.connections = self.connections.saturating_add(1);
        }
        match fact {
            Fact::Delivered => self.add_delivery(attempt),
            Fact::Nothing => {}
            _ => self.failures = self.failures.saturating_add(1),
        }
        let is_news = self.last_delivered_at_ms < Some(attempt.started_at_ms);
        if fact.is_failure_of_peer() && is_news {
            self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        }
        let stays = matches!(fact, Fact::Incapable | Fact::Misbehaved);
        if stays || fact.is_failure_of_peer() && is_news {
            self.weights.add(fact, attempt.started_at_ms);
            self.weights.unreachable = self.weights.unreachable.min(1.0);
            self.weights.unserved = self.weights.unserved.min(1.0);
        }
        if is_latest && !attempt.is_ours() {
            self.last_outcome = attempt.outcome;
            self.last_arm = attempt.way.arm;
        }
        let client = attempt.client.as_deref();
        let client = client.map(|client| client.chars().take(CLIENT_CHARS).collect());
        learn(&mut self.client, client, is_latest);
        learn(&mut self.bep9_support, bep9_support(attempt), is_latest);
        learn(&mut self.bep10_support, bep10_support(attempt), is_latest);
        learn(
            &mut self.needs_encryption,
            needs_encryption(attempt),
            is_latest,
        );
        self.first_seen_at_ms = self.first_seen_at_ms.min(attempt.started_at_ms);
        self.last_seen_at_ms = self.last_seen_at_ms.max(attempt.started_at_ms);
    }

    fn add_delivery(&mut self, attempt: &Attempt) {
        self.deliveries = self.deliveries.saturating_add(1);
        self.latencies.add(attempt.duration);
        self.weights.add(Fact::Delivered, attempt.started_at_ms);
        // Failures that began while this was under way are older news.
        let took = i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX);
        if attempt.started_at_ms.saturating_add(took) >= self.last_seen_at_ms {
            self.failures_in_a_row = 0;
            self.weights.unreachable = 0.0;
            self.weights.unserved = 0.0;
        }
        if self.last_delivered_at_ms <= Some(attempt.started_at_ms) {
            self.delivered_way = Some(attempt.way);
        }
        self.last_delivered_at_ms = self.last_delivered_at_ms.max(Some(attempt.started_at_ms));
        let latency = attempt.duration.as_secs_f64() * 1_000.0;
        let before = self.avg_latency_ms.unwrap_or(latency);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a mean over 2^53 deliveries needs no unit"
        )]
        let count = self.deliveries as f64;
        self.avg_latency_ms = Some(before + (latency - before) / count);
    }
}

/// The later evidence wins; an older one only fills a gap.
fn learn<T>(known: &mut Option<T>, evidence: Option<T>, is_latest: bool) {
    if evidence.is_some() && (is_latest || known.is_none()) {
        *known = evidence;
    }
}

/// What an attempt says of `ut_metadata`: who came to send pieces, or refused to, speaks it.
fn bep9_support(attempt: &Attempt) -> Option<bool> {
    match attempt.outcome {
        Some(Reason::NoExtensionProtocol | Reason::NoUtMetadata) => Some(false),
        None | Some(Reason::Rejected | Reason::MetadataSizeInvalid) => Some(true),
        Some(_) => matches!(attempt.phase, Phase::Transfer | Phase::Verify).then_some(true),
    }
}

/// What an attempt says of the extension protocol.
fn bep10_support(attempt: &Attempt) -> Option<bool> {
    match attempt.outcome {
        Some(Reason::NoExtensionProtocol) => Some(false),
        Some(Reason::NoUtMetadata) => Some(true),
        _ => bep9_support(attempt),
    }
}

/// What an attempt says of encryption. Whoever went beyond the handshake in the clear does not
/// insist on MSE.
fn needs_encryption(attempt: &Attempt) -> Option<bool> {
    if attempt.outcome == Some(Reason::EncryptionRequired) {
        return Some(true);
    }
    (!attempt.way.encrypted && attempt.phase > Phase::Handshake).then_some(false)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::torrent::PeerSource;

    fn attempt(started_at_ms: i64, outcome: Option<Reason>, phase: Phase) -> Attempt {
        Attempt {
            way: Way::plain(Arm::Direct),
            peer: "1.2.3.4:5".parse().unwrap(),
            source: PeerSource::Dht,
            started_at_ms,
            duration: Duration::from_millis(100),
            phase,
            outcome,
            connect_time: (phase > Phase::Connect).then_some(Duration::from_millis(40)),
            detail: String::new(),
            why: String::new(),
            metadata_size: None,
            client: None,
        }
    }

    #[test]
    fn attempts_add_up() {
        let mut state = PeerState::new(&Attempt {
            client: Some("a client".to_owned()),
            ..attempt(1_000, None, Phase::Verify)
        });
        state.add(&Attempt {
            duration: Duration::from_millis(200),
            way: Way::plain(Arm::Libtorrent),
            ..attempt(2_000, None, Phase::Verify)
        });
        state.add(&attempt(
            3_000,
            Some(Reason::ConnectTimeout),
            Phase::Connect,
        ));
        state.add(&attempt(4_000, Some(Reason::Cancelled), Phase::Transfer));
        let expected = PeerState {
            client: Some("a client".to_owned()),
            first_seen_at_ms: 1_000,
            last_seen_at_ms: 4_000,
            attempts: 4,
            connections: 3,
            deliveries: 2,
            failures: 1,
            last_outcome: Some(Reason::ConnectTimeout),
            last_arm: Arm::Direct,
            last_delivered_at_ms: Some(2_000),
            avg_latency_ms: Some(150.0),
            latencies: state.latencies,
            delivered_way: Some(Way::plain(Arm::Libtorrent)),
            failures_in_a_row: 1,
            weights: state.weights,
            bep10_support: Some(true),
            bep9_support: Some(true),
            needs_encryption: Some(false),
        };
        assert_eq!(state, expected);
    }

    #[test]
    fn capabilities_follow_the_latest_evidence() {
        let refuses = attempt(1, Some(Reason::EncryptionRequired), Phase::Handshake);
        let lacks = attempt(2, Some(Reason::NoUtMetadata), Phase::Extension);
        let rejects = attempt(3, Some(Reason::Rejected), Phase::Transfer);
        let mut state = PeerState::new(&refuses);
        assert_eq!(
            (state.needs_encryption, state.bep9_support),
            (Some(true), None)
        );
        state.add(&lacks);
        assert_eq!(
            (state.needs_encryption, state.bep9_support),
            (Some(false), Some(false))
        );
        state.add(&rejects);
        assert_eq!(state.bep9_support, Some(true));
        state.add(&attempt(
            2,
            Some(Reason::NoExtensionProtocol),
            Phase::Handshake,
        ));
        assert_eq!(
            state.bep9_support,
            Some(true),
            "an older attempt does not unsay a later one"
        );
    }

    proptest! {
        #[test]
        fn counts_do_not_depend_on_the_order(
            seeds in prop::collection::vec((0..50_i64, 0..=Reason::ALL.len()), 1..20),
        ) {
            let attempts: Vec<Attempt> = seeds
                .iter()
                .map(|&(at, reason)| attempt(at, Reason::ALL.get(reason).copied(), Phase::Connect))
                .collect();
            let sum = |attempts: &mut dyn Iterator<Item = &Attempt>| {
                let mut state = PeerState::new(attempts.next().unwrap());
                attempts.for_each(|attempt| state.add(attempt));
                state
            };
            let (one, other) = (sum(&mut attempts.iter()), sum(&mut attempts.iter().rev()));
            let counts = |state: &PeerState| {
                let seen = (state.first_seen_at_ms, state.last_seen_at_ms);
                (seen, state.attempts, state.deliveries, state.failures, state.last_delivered_at_ms)
            };
            prop_assert_eq!(counts(&one), counts(&other));
            prop_assert!(one.deliveries + one.failures <= one.attempts);
        }
    }
}
