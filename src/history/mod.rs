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
//! | `client` | [`Family`]: what makes them alike, as [`Network`] does |
//! | `ip` | what is known of an IP address |
//! | `prior` | what is expected of a peer before it is known |
//! | `estimate` | [`Estimate`]: what trying a peer is worth |
//! | `timeout` | how long to wait for a connection |
//! | `memory` | all of it, bounded |

mod attempt;
mod client;
mod estimate;
mod fact;
mod group;
mod ip;
mod memory;
mod peer_state;
mod prior;
mod quantiles;
mod timeout;
mod tracker_state;
mod weights;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use crate::torrent::Network;
pub use attempt::{Attempt, PastAttempt};
pub use client::Family;
pub use estimate::{Estimate, Standing, Why};
pub use fact::Fact;
pub use group::{Group, GroupState};
pub use peer_state::PeerState;
pub use quantiles::Quantiles;
pub use tracker_state::{TrackerReply, TrackerState};
pub use weights::Weights;

use self::memory::Memory;
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
pub struct History(Arc<Shared>);

struct Shared {
    settings: Settings,
    memory: Mutex<Memory>,
    attempts: AtomicU64,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl History {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Shared {
            memory: Mutex::new(Memory::new(settings.capacity)),
            settings,
            attempts: AtomicU64::new(0),
        }))
    }

    /// Of these, the peers of which the store was not asked yet, or so long ago that they were forgotten.
    #[must_use]
    pub fn missing(&self, peers: &[PeerAddr]) -> Vec<PeerAddr> {
        let memory = self.memory();
        let missing = peers.iter().filter(|peer| !memory.is_loaded(peer));
        missing.copied().collect()
    }

    /// Takes in what the store knows of the peers that it was `asked` for. Those without a state
    /// are unknown to it, and not asked for again.
    pub fn load(&self, asked: &[PeerAddr], mut states: HashMap<PeerAddr, PeerState>) {
        let mut memory = self.memory();
        for peer in asked {
            memory.load(*peer, states.remove(peer));
        }
    }

    /// Takes in what the store knows of groups, of each kind the most telling first; once, at the
    /// start.
    pub fn load_groups(&self, groups: Vec<(Group, GroupState)>) {
        let is_network = |(group, _): &(Group, GroupState)| matches!(group, Group::Network(_));
        let (networks, others): (Vec<_>, Vec<_>) = groups.into_iter().partition(is_network);
        let mut memory = self.memory();
        // What comes last is forgotten last.
        for (group, state) in networks.into_iter().rev().chain(others) {
            memory.load_group(group, state);
        }
    }

    /// Takes in what the store knows of attempts at a hash, in any order.
    pub fn load_pairs(&self, infohash: &Infohash, attempts: &[PastAttempt]) {
        let mut memory = self.memory();
        for attempt in attempts {
            memory.load_pair(infohash, attempt);
        }
    }

    /// Notes an attempt that has ended. Storing it is up to the caller.
    pub fn learn(&self, infohash: &Infohash, attempt: &Attempt) {
        self.memory().learn(infohash, attempt);
    }

    /// What trying this peer for this hash is worth at `now_ms` (UTC, milliseconds since 1970). It
    /// was heard of from `source`, and `reports` times in all; 0: by DHT nodes, of which it is one.
    #[must_use]
    pub fn estimate(
        &self,
        infohash: &Infohash,
        peer: &PeerAddr,
        source: PeerSource,
        reports: u32,
        now_ms: i64,
    ) -> Estimate {
        self.memory()
            .estimate(infohash, peer, source, reports, now_ms)
    }

    /// Whether the next attempt explores: it tries what history advises against, with the full
    /// connect timeout. True for the share of calls that the settings say, evenly spread.
    #[must_use]
    pub fn explores(&self) -> bool {
        let share = self.0.settings.exploration.clamp(0.0, 1.0);
        let nth = self.0.attempts.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "not that many attempts")]
        let (before, after) = (nth as f64 * share, (nth + 1) as f64 * share);
        after.floor() > before.floor()
    }

    /// How long to wait for a connection over this transport: one and a half times what 90 % of the
    /// peers that delivered, now and before, needed at most; between the floor and `cap`. `cap` while
    /// fewer than 20 delivered, and for an attempt that `explores`.
    #[must_use]
    pub fn connect_timeout(&self, transport: Transport, cap: Duration, explores: bool) -> Duration {
        if explores {
            return cap;
        }
        let ways = self.memory().ways(|way| way.transport == transport);
        let connect_times = ways.iter().map(|way| &way.connect_times);
        timeout::connect_timeout(connect_times, self.0.settings.connect_timeout_floor, cap)
    }

    /// The median time from the start of an attempt to its delivery by this arm, of late; `None`
    /// where nothing was delivered.
    #[must_use]
    pub fn latency_of(&self, arm: Arm) -> Option<Duration> {
        let ways = self.memory().ways(|way| way.arm == arm);
        Quantiles::sum(ways.iter().map(|way| &way.latencies)).quantile(0.5)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // What a thread that panicked left behind is at worst an attempt short.
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
