//! Makes the crawl and the lookups known to nodes that the other has met.

use tokio::task::JoinHandle;

use crate::discovery::crawl::Crawl;
use crate::engine::Engine;
use crate::wire::krpc::{NodeAddr, NodeId};

/// A crawl that knows fewer nodes is given those of the routing table too.
pub(crate) const FEW_NODES: usize = 200;
/// Nodes from somewhere in the key space that lookups may start from, each time.
const NODES_FOR_LOOKUPS: usize = 64;

/// The nodes of the routing table, on their way.
#[derive(Debug, Default)]
pub(crate) struct Acquaint {
    learning: Option<JoinHandle<Vec<NodeAddr>>>,
}

impl Acquaint {
    /// About once a second: names lookups some nodes of the crawl, and a crawl that knows few those of the
    /// routing table.
    pub(crate) async fn each_second(&mut self, engine: &Engine, crawl: &Crawl, known: usize) {
        let somewhere = NodeId(rand::random());
        engine.add_dht_nodes(crawl.closest(&somewhere, NODES_FOR_LOOKUPS));
        if known < FEW_NODES {
            self.learn(engine, crawl).await;
        }
    }

    /// Takes in the nodes of the routing table once they have come, and asks for them again. A session that
    /// hangs is not waited for.
    async fn learn(&mut self, engine: &Engine, crawl: &Crawl) {
        let learning = match self.learning.take() {
            Some(learning) if learning.is_finished() => {
                if let Ok(nodes) = learning.await {
                    crawl.add_nodes(nodes);
                }
                None
            }
            learning => learning,
        };
        let ask = || {
            let engine = engine.clone();
            tokio::spawn(async move { engine.dht_live_nodes().await })
        };
        self.learning = Some(learning.unwrap_or_else(ask));
    }
}
