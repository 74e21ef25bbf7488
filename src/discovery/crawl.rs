//! The crawl: walks the key space from node to node and collects the infohashes that they store.
//!
//! ```text
//! frontier -> pace -> sample_infohashes, find_node -> liars -> seen -> pending -> hashes
//!                                     queries of others -> observed ---^
//! ```
//!
//! | file | what lives there |
//! |---|---|
//! | `node` | what is known of a node, when it may be asked again |
//! | `frontier` | the nodes, by region of the key space; whose turn it is |
//! | `crowd` | nodes per IP address and network |
//! | `visited` | intervals of nodes that left the frontier |
//! | `liars` | what is wrong with an answer |
//! | `avoided` | nodes that are left alone |
//! | `pace` | queries a second; whether the network is away |
//! | `observed` | sanity of what other nodes ask of ours |
//! | `seen` | which hashes are known |
//! | `pending` | hashes that wait to be taken, by priority |
//! | `state`, `results` | all of these together, without I/O |
//! | `drive` | the task |

mod avoided;
mod clock;
mod counters;
mod crowd;
mod drive;
mod frontier;
mod liars;
mod node;
mod observed;
mod options;
mod pace;
mod pending;
mod results;
mod seen;
mod state;
#[cfg(test)]
mod tests;
mod visited;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

pub use self::counters::{Asked, CrawlCounters, Named};
pub use self::liars::Lie;
pub use self::node::NodeRecord;
pub use self::options::CrawlOptions;
pub use self::pending::{Discovered, DiscoverySource};

use self::drive::Shared;
use self::state::State;
use crate::discovery::dht::{Dht, Purpose};
use crate::wire::krpc::{NodeAddr, NodeId};

/// Hashes that wait between the crawl and whoever takes them. Few: what waits here has lost its
/// priority.
const HANDED_OVER: usize = 16;

/// A crawl that runs. It ends when this is dropped, when nobody takes hashes any more, and when the
/// DHT node ends.
#[derive(Debug)]
pub struct Crawl {
    shared: Arc<Shared>,
}

impl Crawl {
    /// Starts a crawl from nodes that are remembered; see [`add_nodes`](Self::add_nodes) for others.
    /// `hungry` says how much hashes are wanted: 1 as many as may be asked for, 0 none; then the crawl
    /// only keeps in touch with the network. Hashes come out as they are found, each once, fresh
    /// announces first.
    ///
    /// Must be called inside a Tokio runtime.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a handle, kept under another purpose"
    )]
    pub fn start(
        dht: Dht,
        nodes: Vec<NodeRecord>,
        options: CrawlOptions,
        hungry: watch::Receiver<f32>,
    ) -> (Self, mpsc::Receiver<Discovered>) {
        let shared = Arc::new(Shared::new(State::new(nodes, options), hungry));
        let (sender, hashes) = mpsc::channel(HANDED_OVER);
        let observed = dht.observed();
        let dht = dht.with_purpose(Purpose::Crawl);
        tokio::spawn(drive::run(Arc::clone(&shared), dht, observed, sender));
        (Self { shared }, hashes)
    }

    /// Takes in nodes from elsewhere, such as the routing table. A crawl that knows none waits for
    /// these.
    pub fn add_nodes(&self, nodes: impl IntoIterator<Item = NodeAddr>) {
        let mut state = self.shared.state();
        for node in nodes {
            state.meet(node, None);
        }
    }

    /// Nodes that answered the last time they were asked, `count` at the most, those closest to
    /// `point` first.
    #[must_use]
    pub fn closest(&self, point: &NodeId, count: usize) -> Vec<NodeAddr> {
        self.shared.state().frontier.closest(point, count)
    }

    /// Lets hashes through once more when they are found again: they were not resolved, and may be
    /// tried again by now.
    pub fn forget(&self, infohashes: impl IntoIterator<Item = NodeId>) {
        let mut state = self.shared.state();
        for infohash in infohashes {
            state.seen.forget(&infohash);
        }
    }

    /// Lets a hash through at its next announce: who announced it before did not deliver it.
    pub fn forget_announce(&self, infohash: &NodeId) {
        self.shared.state().seen.forget_announce(infohash);
    }

    /// The nodes that are worth remembering, with times of the wall clock: those that ever answered. Of
    /// one that was asked and did not answer nobody has heard an interval.
    #[must_use]
    pub fn nodes_to_save(&self) -> Vec<NodeRecord> {
        self.shared.state().nodes_to_save()
    }

    /// What it knows and did.
    #[must_use]
    pub fn counters(&self) -> CrawlCounters {
        self.shared.state().counters(self.shared.hungry())
    }
}

impl Drop for Crawl {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
