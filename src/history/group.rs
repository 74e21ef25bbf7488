//! Groups of peers that are alike: what is known of one is a prior for another.

use std::fmt;

use super::{Attempt, Family, Network, Quantiles, Weights};
use crate::torrent::{PeerSource, Way};

/// What the peers of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Their software.
    Client(Family),
    /// Their network: a /24 of IPv4, a /64 of IPv6.
    Network(Network),
    /// Where we heard of them.
    Source(PeerSource),
    /// The way that was taken to them.
    Way(Way),
}

impl Group {
    /// The kinds of groups, as they are stored.
    pub const KINDS: [&'static str; 4] = ["client", "network", "source", "way"];

    /// Its kind, a name of [`Group::KINDS`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Network(_) => "network",
            Self::Source(_) => "source",
            Self::Way(_) => "way",
        }
    }

    /// The group of this kind and name; `None` where there can be none.
    #[must_use]
    pub fn from_parts(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "client" => Some(Self::Client(Family::of(name))),
            "network" => name.parse().ok().map(Self::Network),
            "source" => PeerSource::ALL
                .into_iter()
                .find(|source| source.as_str() == name)
                .map(Self::Source),
            "way" => name.parse().ok().map(Self::Way),
            _ => None,
        }
    }

    /// The groups that an attempt counts in.
    pub fn of(attempt: &Attempt) -> impl Iterator<Item = Self> + use<> {
        let client = attempt.client.as_deref().map(Family::of).map(Self::Client);
        let others = [
            Self::Network(Network::of(&attempt.peer)),
            Self::Source(attempt.source),
            Self::Way(attempt.way),
        ];
        client.into_iter().chain(others)
    }
}

/// The name within its kind, as it is stored.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(family) => family.fmt(f),
            Self::Network(network) => network.fmt(f),
            Self::Source(source) => f.write_str(source.as_str()),
            Self::Way(way) => way.fmt(f),
        }
    }
}

/// What all attempts at the peers of a group add up to. Those that ended by our own doing are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GroupState {
    /// How many attempts were made.
    pub attempts: u64,
    /// How many of them were connected.
    pub connections: u64,
    /// How many of them delivered.
    pub deliveries: u64,
    /// The counts that fade.
    pub weights: Weights,
    /// Durations of the attempts that delivered.
    pub latencies: Quantiles,
    /// Times that the connections of those attempts took.
    pub connect_times: Quantiles,
}

impl GroupState {
    /// Adds one attempt. Attempts may come in any order.
    pub fn add(&mut self, attempt: &Attempt) {
        if attempt.is_ours() {
            return;
        }
        self.attempts = self.attempts.saturating_add(1);
        if attempt.connect_time.is_some() {
            self.connections = self.connections.saturating_add(1);
        }
        if attempt.outcome.is_none() {
            self.deliveries = self.deliveries.saturating_add(1);
            self.latencies.add(attempt.duration);
            if let Some(connect_time) = attempt.connect_time {
                self.connect_times.add(connect_time);
            }
        }
        self.weights.add(attempt.fact(), attempt.started_at_ms);
    }
}
