//! One attempt at a peer: what all history is made of.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Fact;
use crate::torrent::{Category, PeerAddr, PeerSource, Phase, Reason, Way};

/// One attempt to get the metadata of a torrent from one peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The way it took: of libtorrent's several, the one that came furthest.
    pub way: Way,
    /// Whom it asked.
    pub peer: PeerAddr,
    /// Where we heard of the peer.
    pub source: PeerSource,
    /// When it began: UTC, milliseconds since 1970.
    pub started_at_ms: i64,
    /// How long it took.
    pub duration: Duration,
    /// How long the connection took; `None` where there was none.
    pub connect_time: Option<Duration>,
    /// How far it came.
    pub phase: Phase,
    /// Why it failed; `None` where the peer delivered.
    pub outcome: Option<Reason>,
    /// The particulars, for a human reader; the first 500 characters are kept.
    pub detail: String,
    /// Why this peer and this way were chosen; the first 200 characters are kept.
    pub why: String,
    /// Bytes of metadata, as the peer claimed them.
    pub metadata_size: Option<u64>,
    /// The name of the peer's software; the first 100 characters are kept.
    pub client: Option<String>,
}

impl Attempt {
    /// Whether it ended by our own doing, and says nothing of the peer.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.outcome
            .is_some_and(|reason| reason.category() == Category::Local)
    }

    /// What it says, and of whom.
    #[must_use]
    pub fn fact(&self) -> Fact {
        Fact::of(self.outcome, self.phase)
    }
}

/// What is stored of an attempt at a hash that bears on trying the same peer for it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastAttempt {
    /// Whom it asked.
    pub peer: PeerAddr,
    /// The way it took.
    pub way: Way,
    /// How far it came.
    pub phase: Phase,
    /// Why it failed; `None` where the peer delivered.
    pub outcome: Option<Reason>,
    /// When it began: UTC, milliseconds since 1970.
    pub at_ms: i64,
}

impl PastAttempt {
    /// What it says, and of whom.
    #[must_use]
    pub fn fact(&self) -> Fact {
        Fact::of(self.outcome, self.phase)
    }
}
