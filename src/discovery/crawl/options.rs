//! What the crawl may do to others and to this host.

use std::time::Duration;

use crate::discovery::lookup::Nodes;

/// Limits of the crawl. The defaults are what a good citizen may send: about 15 kB/s, and no node is
/// asked anything twice within a minute.
#[derive(Clone, Debug)]
pub struct CrawlOptions {
    /// Nodes in the frontier. A node takes about 300 bytes.
    pub nodes: usize,
    /// Nodes whose interval is remembered after they left the frontier, about 40 bytes each. When all
    /// of them are waiting for their interval to pass, no further node is sampled: at 100 queries
    /// a second and intervals of 6 h, a million are full after 3 h.
    pub visited_nodes: usize,
    /// Ask nodes for samples of the hashes that they store (BEP 51). Without, hashes come from what
    /// other nodes ask of ours alone.
    pub samples: bool,
    /// Queries a second, at the most.
    pub rate: f32,
    /// Queries a second to begin with.
    pub first_rate: f32,
    /// Queries a second when nothing answers, and `find_node` a second while nobody wants hashes.
    pub min_rate: f32,
    /// Queries that wait for an answer.
    pub in_flight: usize,
    /// Between two queries of any kind to one node.
    pub node_interval: Duration,
    /// Between two queries for samples to a node that says it may be asked at any time.
    pub min_sample_interval: Duration,
    /// The same, to a node that does not say or whose answer did not arrive.
    pub default_sample_interval: Duration,
    /// After this a node without BEP 51 is asked for samples again.
    pub bep51_again: Duration,
    /// Nodes of one IP address: with `node_interval`, also the limit on queries to it.
    pub nodes_per_ip: usize,
    /// Nodes of one IPv4 /24 or IPv6 /64.
    pub nodes_per_network: usize,
    /// Whether nodes on loopback and private addresses are asked. No limit per IP and network holds
    /// for these.
    pub allow_local: bool,
    /// Hashes that are told from new ones, up to 20 bytes each. At least the last so many are.
    pub remembered_hashes: usize,
    /// Sampled hashes that wait to be taken. When so many do, no more samples are asked for.
    pub pending: usize,
    /// New hashes a minute that queries from one IP address may bring.
    pub observed_per_ip: u32,
    /// New hashes a minute that queries from everybody may bring.
    pub observed: u32,
    /// Live nodes that lookups start from: nodes that answer the crawl are added, nodes that do not or
    /// that lie are removed.
    pub live: Option<Nodes>,
}

impl Default for CrawlOptions {
    fn default() -> Self {
        Self {
            nodes: 100_000,
            visited_nodes: 1_000_000,
            samples: true,
            rate: 100.0,
            first_rate: 20.0,
            min_rate: 1.0,
            in_flight: 500,
            node_interval: Duration::from_secs(60),
            min_sample_interval: Duration::from_secs(60),
            default_sample_interval: Duration::from_secs(3600),
            bep51_again: Duration::from_secs(3 * 24 * 3600),
            nodes_per_ip: 4,
            nodes_per_network: 64,
            allow_local: false,
            remembered_hashes: 10_000_000,
            pending: 10_000,
            observed_per_ip: 60,
            observed: 6_000,
            live: None,
        }
    }
}

/// A duration in the milliseconds that the crawl counts in.
pub(super) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
