//! How the engine is to work: strategy, concurrency, deadlines.

use std::time::Duration;

use super::Cooldowns;
use crate::discovery::dht::DhtLimits;
use crate::proxy::Proxy;
use crate::{direct, history, libtorrent};

/// Which arm fetches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Strategy {
    /// The direct arm first, unless libtorrent is measured to be faster; the other one joins after a
    /// while, on a failure, or where it alone can reach a peer.
    #[default]
    Auto,
    /// libtorrent alone.
    Libtorrent,
    /// The direct arm alone. libtorrent still finds peers, where the DHT or trackers are asked.
    Direct,
    /// Both at once; the first good answer wins.
    Race,
}

impl Strategy {
    /// Whether libtorrent may dial peers.
    #[must_use]
    pub fn uses_libtorrent(self) -> bool {
        self != Self::Direct
    }

    /// Whether the direct arm may dial peers.
    #[must_use]
    pub fn uses_direct(self) -> bool {
        self != Self::Libtorrent
    }
}

/// Everything that the engine can be told.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct Options {
    /// Which arm fetches.
    pub strategy: Strategy,
    /// Hashes in work at a time.
    pub jobs: usize,
    /// The longest the first try at a hash may take; each further one may take twice as long as the one
    /// before, up to eight times this. Where no peer is known, it begins with the lookup in the DHT.
    pub timeout: Duration,
    /// Further tries at a hash that failed for a reason that may pass.
    pub retries: u32,
    /// Fetch even what the store has, or what cools down.
    pub refetch: bool,
    /// How long hashes that failed are left alone.
    pub cooldowns: Cooldowns,
    /// With [`Strategy::Auto`]: how long the arm that goes first is alone.
    pub fallback_after: Duration,
    /// Peers that an arm tries at a time, per hash; those that do not answer for longer than most
    /// who deliver take to connect do not count.
    pub peers_at_once: usize,
    /// The pause between two attempts at a hash where the first is as good as sure to deliver; the
    /// less likely that is, the shorter the pause.
    pub stagger: Duration,
    /// How long the DHT is asked for peers of one hash.
    pub lookup_timeout: Duration,
    /// What may be sent to DHT nodes.
    pub dht_limits: DhtLimits,
    /// Ask the DHT for peers.
    pub dht: bool,
    /// Ask the trackers of a hash for peers.
    pub trackers: bool,
    /// The trackers that are asked for a hash which names none; its result does not name them.
    pub public_trackers: Vec<String>,
    /// Ask the DHT how many seeds and leeches there are (BEP 33). A hash that is resolved waits for the
    /// end of its lookup, and answers grow by half a kilobyte.
    pub scrape: bool,
    /// A hash that fails while no DHT node answers any more is kept in work, and tried again when the
    /// network is back. For a process that runs on and on, and sees to it that DHT nodes are asked.
    pub waits_for_network: bool,
    /// Take loopback and private addresses as peers.
    pub allow_local_peers: bool,
    /// Name the peers of a hash in its result.
    pub report_peers: bool,
    /// What is remembered of peers, and how it fades.
    pub history: history::Settings,
    /// The direct arm's. Its proxy, its encryption and the addresses that it binds are libtorrent's too.
    pub direct: direct::Settings,
    /// The libtorrent arm's.
    pub libtorrent: libtorrent::Settings,
}

impl Options {
    /// What everything goes through, the same for both arms.
    #[must_use]
    pub fn proxy(&self) -> Option<&Proxy> {
        self.direct.proxy.as_ref()
    }
}
