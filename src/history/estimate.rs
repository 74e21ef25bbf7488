//! What trying a peer is worth.

use std::fmt;
use std::time::Duration;

use crate::torrent::{Reason, Way};

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
    /// What keeps the peer from delivering whoever asks, until it is forgotten: only exploration
    /// tries it before.
    pub hopeless: Option<Reason>,
    /// The facts that count, in a few words: `delivered 3 of 3, 120 ms`.
    pub why: String,
}
