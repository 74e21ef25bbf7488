//! What the crawl counts, for a live screen and for tests.

use std::collections::BTreeMap;

/// Queries of one kind, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Handed to the DHT node.
    pub sent: u64,
    /// Answered as expected.
    pub answered: u64,
    /// Answered with an error, or with what is no answer.
    pub errors: u64,
    /// Not answered in time.
    pub timeouts: u64,
    /// Not sent after all: a limit, or an address that may not be asked.
    pub unsent: u64,
}

/// Nodes that answers named, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Not known before; each once.
    pub new: u64,
    /// In the frontier again, after they had left it.
    pub again: u64,
    /// Known.
    pub known: u64,
    /// Private or reserved addresses.
    pub refused: u64,
    /// Of an IP address or network that has its share of nodes.
    pub crowded: u64,
    /// Left alone: silent or lying.
    pub avoided: u64,
    /// Their part of the key space is full of better ones.
    pub full: u64,
    /// New again in the frontier, but their BEP 51 interval has not passed: not asked until then.
    pub waiting: u64,
}

/// The state of the crawl, and what it did since it started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrawlCounters {
    /// Nodes in the frontier.
    pub nodes: usize,
    /// Of these, those that answered the last time, within 15 minutes.
    pub good: usize,
    /// Of these, those that do not answer.
    pub bad: usize,
    /// Of these, those that give samples.
    pub bep51: usize,
    /// Of these, those that answer but give no samples.
    pub without_bep51: usize,
    /// Parts into which the key space is cut.
    pub prefixes: usize,
    /// Nodes in the part that has the fewest.
    pub fewest_in_prefix: usize,
    /// Nodes whose interval is remembered.
    pub visited: usize,
    /// Nodes that are left alone.
    pub avoided: usize,
    /// `sample_infohashes`.
    pub sample_queries: Asked,
    /// `find_node`.
    pub find_node_queries: Asked,
    /// Queries of either kind to nodes that were bad when they were asked.
    pub useless_queries: u64,
    /// What answers named.
    pub named: Named,
    /// Lies by name, see [`Lie`](super::Lie).
    pub lies: BTreeMap<&'static str, u64>,
    /// Nodes that were found to lie and are left alone.
    pub liars: u64,
    /// Samples in answers, without those of lies.
    pub samples: u64,
    /// Samples in answers that were lies.
    pub false_samples: u64,
    /// New hashes by the source that brought them first, see
    /// [`DiscoverySource`](super::DiscoverySource); each once.
    pub new_samples: u64,
    /// See `new_samples`.
    pub new_announces: u64,
    /// See `new_samples`.
    pub new_get_peers: u64,
    /// Hashes that were let through once more: announced after they were sampled, or worth another try.
    pub again: u64,
    /// Hashes that were known.
    pub duplicates: u64,
    /// New hashes for which there was no room. They are new again the next time.
    pub overflowed: u64,
    /// Queries of others that were observed.
    pub observed: u64,
    /// Of these, those that can be no torrent or no peer.
    pub implausible: u64,
    /// Of these, new hashes beyond what an address, or everybody, may bring.
    pub flood: u64,
    /// Observations that came faster than they were taken.
    pub observed_lost: u64,
    /// Hashes that wait to be taken.
    pub pending: usize,
    /// Hashes that are told from new ones.
    pub remembered_hashes: usize,
    /// Queries a second, at present.
    pub rate: f32,
    /// Queries that wait for an answer.
    pub in_flight: usize,
    /// Whether the network seems to be away.
    pub away: bool,
}

impl CrawlCounters {
    /// Queries of both kinds.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.sample_queries.sent + self.find_node_queries.sent
    }

    /// New hashes from all sources.
    #[must_use]
    pub fn new_hashes(&self) -> u64 {
        self.new_samples + self.new_announces + self.new_get_peers
    }
}
