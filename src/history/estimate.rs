//! What trying a peer is worth: deliveries per second of a slot.
//!
//! Each peer starts with [`STRENGTH`] attempts that never were, which ended as those at its like did
//! ([`Prior`]); its own, as far as they did not fade, come on top. With `d` deliveries that took `l` each,
//! and `f` failures of each kind that took `t`, the value is `d / (d·l + Σ f·t)`.
//! One more failure, of whatever kind, makes it lower, and one more delivery makes it higher.

use std::fmt;
use std::time::Duration;

use super::prior::{BARREN_PORTS, Prior};
use super::weights::{self, fading};
use super::{GroupState, PeerState};
use crate::torrent::{Arm, PeerSource, Reason, Transport, Way};

/// How many of a peer's own attempts count as much as what is known of its like.
const STRENGTH: f64 = 2.0;
/// Deliveries beyond these make a peer no better.
const DELIVERIES: f64 = 8.0;
/// Deliveries take no longer than this, in seconds, whatever the database says.
const LATENCY: f64 = 600.0;
/// Failures in a row after which earlier deliveries count for nothing. More say nothing more, but
/// stand for longer.
const FAILURES_IN_A_ROW: u32 = 2;
/// How often the half-life of failures doubles, once for each beyond those.
const DOUBLINGS: u32 = 5;
/// As many failures as one that wrong bytes or a breach of the protocol count for: they may cost more
/// than a slot, so these peers come last.
const MISBEHAVED: f64 = 20.0;
/// As many attempts as those that a delivery of this very hash, or a failure with it, count for.
const PAIR: f64 = 2.0;
/// How long a delivery of this very hash, and the failure to serve it, count half.
const PAIR_DELIVERED: i64 = weights::DELIVERED;
const PAIR_UNSERVED: i64 = weights::UNSERVED;
/// A capability is a fact until it counts less than this: for one half-life after it was seen once.
const FACT: f64 = 0.5;

/// At or above this multiple of what is expected of its like a peer is good, at or below the other it is bad.
const GOOD: f64 = 1.2;
const BAD: f64 = 0.6;

/// How a peer stands, by its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// Its own facts speak for it.
    Good,
    /// Worth about as much as one of which nothing is known.
    Unknown,
    /// Its own facts speak against it. It is tried after the others, but it is tried.
    Bad,
}

impl Standing {
    /// The name used in logs, in JSON and in `--explain`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unknown => "unknown",
            Self::Bad => "bad",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What trying a peer for a hash is worth now.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// That the attempt delivers: 0 to 1.
    pub probability: f64,
    /// How long the attempt occupies a slot, whether it delivers or fails.
    pub expected: Duration,
    /// Deliveries per second of a slot, the score: the higher, the earlier. Finite, above 0.
    pub value: f64,
    /// How much of it comes from the peer's own facts, and not from those of its like: 0 to 1.
    pub confidence: f64,
    /// How the peer stands, by its score.
    pub standing: Standing,
    /// The way to take first: the one that delivered, or what the peer is known to need. `None`
    /// without a preference.
    pub way: Option<Way>,
    /// What keeps the peer from delivering whoever asks, until it is forgotten: it
    /// comes after all others.
    pub hopeless: Option<Reason>,
    /// The facts that count, in a few words: `delivered 3 of 3, 120 ms`.
    pub why: Why,
}

/// How long attempts take, in seconds, by how they end: means of late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Durations {
    pub(super) delivered: f64,
    pub(super) unreachable: f64,
    pub(super) unserved: f64,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            delivered: 0.5,
            unreachable: 1.5,
            unserved: 2.0,
        }
    }
}

/// What became of a hash with a peer, the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// `None` where the peer delivered it.
    pub(super) outcome: Option<Reason>,
    pub(super) at_ms: i64,
}

/// What an estimate is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) source: PeerSource,
    pub(super) reports: u32,
    pub(super) state: Option<&'a PeerState>,
    pub(super) pair: Option<Pair>,
    pub(super) of_source: Option<&'a GroupState>,
    pub(super) of_network: Option<&'a GroupState>,
    pub(super) of_client: Option<&'a GroupState>,
    /// Ports on its IP address that failed, where none delivered.
    pub(super) failed_ports: f64,
    /// Whether a connection by uTP came about, and none by TCP.
    pub(super) only_utp: bool,
    /// Whether the peer is ourselves.
    pub(super) is_self: bool,
}

/// A peer's own attempts, faded, by how they ended.
#[derive(Clone, Copy, Debug)]
struct Own {
    /// How much deliveries count, as it fares now: 0 to 1.
    trust: f64,
    delivered: f64,
    latency: Option<f64>,
    unreachable: f64,
    unserved: f64,
    misbehaved: f64,
}

impl Own {
    const NONE: Self = Self {
        trust: 1.0,
        delivered: 0.0,
        latency: None,
        unreachable: 0.0,
        unserved: 0.0,
        misbehaved: 0.0,
    };

    fn new(state: &PeerState, now_ms: i64) -> Self {
        let weights = state.weights.faded(now_ms);
        let in_a_row = state.failures_in_a_row;
        let counted = f64::from(in_a_row.min(FAILURES_IN_A_ROW));
        let unreachable = counted * freshness(weights.unreachable, in_a_row);
        let unserved = counted * freshness(weights.unserved, in_a_row);
        let streak = unreachable.max(unserved) / f64::from(FAILURES_IN_A_ROW);
        let trust = (1.0 - streak) * (1.0 - weights.misbehaved.min(1.0));
        let latency = state.avg_latency_ms.filter(|latency| *latency >= 0.0);
        Self {
            trust,
            delivered: weights.delivered.min(DELIVERIES) * trust,
            latency: latency.map(|latency| (latency / 1_000.0).min(LATENCY)),
            unreachable,
            unserved,
            misbehaved: weights.misbehaved * MISBEHAVED,
        }
    }

    fn with_pair(mut self, pair: Pair, now_ms: i64) -> Self {
        let passed = now_ms.saturating_sub(pair.at_ms);
        if pair.outcome.is_none() {
            self.delivered += PAIR * fading(passed, PAIR_DELIVERED) * self.trust;
        } else {
            let left = fading(passed, PAIR_UNSERVED);
            self.delivered *= 1.0 - left;
            self.unserved += PAIR * left;
        }
        self
    }

    fn count(&self) -> f64 {
        self.delivered + self.unreachable + self.unserved + self.misbehaved
    }
}

/// How much is left of the last of so many failures in a row, where `weight` is what fading left: 1 when
/// it is fresh, falling to 0 over its half-life. That doubles with each failure after the second, so
/// that what is gone for good is asked ever more rarely.
fn freshness(weight: f64, in_a_row: u32) -> f64 {
    if weight <= 0.0 || in_a_row == 0 {
        return 0.0;
    }
    let doublings = in_a_row.saturating_sub(FAILURES_IN_A_ROW).min(DOUBLINGS);
    let half_lives = -weight.min(1.0).log2();
    (1.0 - half_lives / f64::from(1_u32 << doublings)).max(0.0)
}

impl Known<'_> {
    /// What trying the peer is worth at `now_ms`.
    pub(super) fn estimate(&self, durations: &Durations, now_ms: i64) -> Estimate {
        let own = self.own(now_ms);
        let of_like = Prior::new(
            self.source,
            self.of_source,
            self.of_network,
            self.of_client,
            now_ms,
        )
        .reported(self.reports);
        let prior = if own.delivered > 0.0 {
            of_like
        } else {
            of_like.on_barren_ip(self.failed_ports)
        };
        let score = Score::new(&prior, &own, durations);
        let expected = Score::new(&of_like, &Own::NONE, durations);
        let hopeless = self.hopeless(now_ms);
        Estimate {
            probability: score.probability,
            expected: Duration::from_secs_f64(score.seconds),
            value: score.value(),
            confidence: own.count() / (own.count() + STRENGTH),
            standing: match score.value() / expected.value() {
                _ if hopeless.is_some() => Standing::Bad,
                ratio if ratio >= GOOD => Standing::Good,
                ratio if ratio <= BAD => Standing::Bad,
                _ => Standing::Unknown,
            },
            way: self.way(),
            hopeless,
            why: Why::new(self, now_ms),
        }
    }

    fn own(&self, now_ms: i64) -> Own {
        let mut own = self
            .state
            .map_or(Own::NONE, |state| Own::new(state, now_ms));
        if let Some(pair) = self.pair {
            own = own.with_pair(pair, now_ms);
        }
        if self.is_self {
            own.misbehaved = own.misbehaved.max(MISBEHAVED);
        }
        own
    }

    fn hopeless(&self, now_ms: i64) -> Option<Reason> {
        if self.is_self {
            return Some(Reason::SelfConnection);
        }
        let state = self.state?;
        let is_fresh = state.weights.faded(now_ms).misbehaved >= FACT;
        (state.bep10_support == Some(false) && is_fresh).then_some(Reason::NoExtensionProtocol)
    }

    fn way(&self) -> Option<Way> {
        let delivered = self.state.and_then(|state| state.delivered_way);
        let needs_encryption = self.state.and_then(|state| state.needs_encryption) == Some(true);
        if needs_encryption {
            let mse = Way::new(Arm::Libtorrent, Transport::Tcp, true);
            return Some(delivered.filter(|way| way.encrypted).unwrap_or(mse));
        }
        let utp = Way::new(Arm::Libtorrent, Transport::Utp, false);
        let fails = self
            .state
            .is_some_and(|state| state.failures_in_a_row >= FAILURES_IN_A_ROW);
        delivered
            .filter(|_| !fails)
            .or_else(|| self.only_utp.then_some(utp))
    }
}

struct Score {
    probability: f64,
    /// Above 0.
    seconds: f64,
}

impl Score {
    fn new(prior: &Prior, own: &Own, durations: &Durations) -> Self {
        let prior_failing = (prior.unreachable * durations.unreachable)
            + (prior.unserved + prior.misbehaved) * durations.unserved;
        let prior_seconds = prior.delivered * durations.delivered + prior_failing;
        // However slow its deliveries are: a peer is never worse for having made one.
        let slowest = prior_seconds / prior.delivered;
        let latency = own.latency.unwrap_or(durations.delivered).min(slowest);
        let deliveries = STRENGTH * prior.delivered + own.delivered;
        let seconds = STRENGTH * prior_seconds
            + own.delivered * latency
            + own.unreachable * durations.unreachable
            + (own.unserved + own.misbehaved) * durations.unserved;
        let attempts = STRENGTH + own.count();
        Self {
            probability: deliveries / attempts,
            seconds: seconds / attempts,
        }
    }

    fn value(&self) -> f64 {
        self.probability / self.seconds
    }
}

/// Why an estimate is what it is. Shown, it is one line of a few words.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    source: PeerSource,
    reports: u32,
    /// Deliveries, attempts that say something of the peer, and the mean latency in milliseconds.
    delivered: Option<(u64, u64, f64)>,
    /// Failures in a row, the last reason, and the milliseconds since the last attempt.
    failing: Option<(u32, Option<Reason>, i64)>,
    /// What became of this hash, and the milliseconds since.
    pair: Option<(Option<Reason>, i64)>,
    hopeless: Option<Reason>,
    needs_encryption: bool,
    misbehaved: bool,
    only_utp: bool,
    /// Deliveries and attempts of its network.
    network: Option<(u64, u64)>,
    failed_ports: f64,
}

impl Why {
    fn new(known: &Known<'_>, now_ms: i64) -> Self {
        let state = known.state;
        let since = |at_ms: i64| now_ms.saturating_sub(at_ms).max(0);
        let delivered = state.filter(|state| state.deliveries > 0).map(|state| {
            let told = state.deliveries.saturating_add(state.failures);
            (state.deliveries, told, state.avg_latency_ms.unwrap_or(0.0))
        });
        let failing = state
            .filter(|state| state.failures_in_a_row > 0)
            .map(|state| {
                let since = since(state.last_seen_at_ms);
                (state.failures_in_a_row, state.last_outcome, since)
            });
        let hopeless = known.hopeless(now_ms);
        let is_blank = delivered.is_none() && failing.is_none() && known.pair.is_none();
        Self {
            source: known.source,
            reports: known.reports,
            delivered,
            failing,
            pair: known.pair.map(|pair| (pair.outcome, since(pair.at_ms))),
            hopeless,
            needs_encryption: state.and_then(|state| state.needs_encryption) == Some(true),
            misbehaved: hopeless.is_none()
                && state.is_some_and(|state| state.weights.faded(now_ms).misbehaved >= FACT),
            only_utp: known.only_utp,
            network: known
                .of_network
                .filter(|group| is_blank && group.attempts > 0)
                .map(|group| (group.deliveries, group.attempts)),
            failed_ports: match delivered {
                None if known.failed_ports >= BARREN_PORTS => known.failed_ports,
                _ => 0.0,
            },
        }
    }

    fn parts(&self) -> Vec<String> {
        let mut parts = Vec::new();
        if let Some((deliveries, attempts, latency)) = self.delivered {
            parts.push(format!(
                "delivered {deliveries} of {attempts}, {latency:.0} ms"
            ));
        }
        if let Some((count, reason, since)) = self.failing {
            let failures = if count == 1 { "failure" } else { "failures" };
            let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
            let ago = ago(since);
            parts.push(format!("{count} {failures} in a row{reason}, {ago}"));
        }
        match self.pair {
            Some((None, since)) => parts.push(format!("delivered this hash {}", ago(since))),
            Some((Some(reason), since)) => {
                parts.push(format!("{reason} for this hash {}", ago(since)));
            }
            None => {}
        }
        if let Some(reason) = self.hopeless {
            parts.push(format!("hopeless: {reason}"));
        }
        if self.misbehaved {
            parts.push("misbehaved".to_owned());
        }
        if self.needs_encryption {
            parts.push("needs encryption".to_owned());
        }
        if self.only_utp {
            parts.push("reached by uTP only".to_owned());
        }
        if parts.is_empty() {
            parts.push("unknown".to_owned());
            parts.push(self.source.as_str().to_owned());
            match self.reports {
                0 => parts.push("a DHT node, named as a peer by its like".to_owned()),
                1 => {}
                reports => parts.push(format!("{reports} reports")),
            }
        }
        if let Some((deliveries, attempts)) = self.network {
            parts.push(format!("network with {deliveries} of {attempts}"));
        }
        if self.failed_ports > 0.0 {
            parts.push(format!(
                "IP with {:.0} failed ports and no other",
                self.failed_ports
            ));
        }
        parts
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts().join("; "))
    }
}

/// Milliseconds as a person says them.
fn ago(ms: i64) -> String {
    match ms / 1_000 {
        seconds @ ..120 => format!("{seconds} s ago"),
        seconds @ ..7_200 => format!("{} min ago", seconds / 60),
        seconds @ ..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
