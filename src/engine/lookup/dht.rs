//! Lookups over libtorrent's DHT node, and the nodes that they start from.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::discovery::dht::Dht;
use crate::discovery::lookup::{Family, LookupOptions, Lookups, Nodes};
use crate::engine::Options;
use crate::libtorrent::Libtorrent;
use crate::wire::krpc::{NodeId, Query};

/// Nodes with which lookups can do without libtorrent's routing table.
const ENOUGH: usize = 64;
/// How often that is looked at all the same: it is kept alive even while nobody looks anything up.
const LEARN_EVERY: Duration = Duration::from_secs(60);

/// Queries a second that one lookup makes, where nothing holds it up.
const QUERIES_OF_ONE: u32 = 20;
/// Lookups at a time, whatever may be sent.
const AT_ONCE: u32 = 200;

/// As many lookups at a time as the limit lets run at full speed: more would all be slow.
fn at_once(packets_per_second: Option<u32>) -> usize {
    let lookups = packets_per_second.map_or(AT_ONCE, |limit| limit / QUERIES_OF_ONE);
    usize::try_from(lookups.clamp(1, AT_ONCE)).unwrap_or(1)
}

/// Lookups, and when they last learnt nodes from libtorrent.
#[derive(Debug)]
pub(in crate::engine) struct DhtLookups {
    lookups: Lookups,
    learnt_at: Mutex<Option<Instant>>,
}

impl DhtLookups {
    /// Borrows libtorrent's DHT node. Must be called inside a tokio runtime.
    pub(in crate::engine) fn new(libtorrent: &Libtorrent, options: &Options) -> Self {
        let (dht, owner) = Dht::open(&options.dht_limits, options.allow_local_peers);
        libtorrent.serve_dht(owner);
        let lookup = LookupOptions {
            allow_local: options.allow_local_peers,
            ipv6: options.libtorrent.listen.iter().any(SocketAddr::is_ipv6),
            scrape: options.scrape,
            deadline: options.lookup_timeout,
            at_once: at_once(options.dht_limits.packets_per_second),
            ..LookupOptions::default()
        };
        Self {
            lookups: Lookups::new(dht, lookup, Nodes::default()),
            learnt_at: Mutex::new(None),
        }
    }

    pub(in crate::engine) fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// Asks some node that is known to be alive whether it still is, and does not wait for the answer.
    pub(in crate::engine) async fn ping_any(&self, libtorrent: Option<&Libtorrent>) {
        let point = NodeId(rand::random());
        let known = [Family::V4, Family::V6]
            .into_iter()
            .find_map(|family| self.lookups.nodes().closest(&point, 1, family).pop());
        let dht = self.lookups.dht().clone();
        match (known, libtorrent) {
            (Some(node), _) => {
                tokio::spawn(async move { dht.ask(node.addr, &Query::Ping).await });
            }
            (None, Some(libtorrent)) => self.learn_nodes(libtorrent).await,
            (None, None) => {}
        }
    }

    /// Takes over the nodes of libtorrent's routing table, where too few are known, or it is time.
    pub(in crate::engine) async fn learn_nodes(&self, libtorrent: &Libtorrent) {
        // Whoever comes meanwhile waits for these nodes, and does not ask again.
        let mut learnt_at = self.learnt_at.lock().await;
        let is_due = learnt_at.is_none_or(|at| at.elapsed() >= LEARN_EVERY);
        if is_due || self.lookups.nodes().len() < ENOUGH {
            self.lookups
                .nodes()
                .extend(libtorrent.dht_live_nodes().await);
            *learnt_at = Some(Instant::now());
        }
    }
}
