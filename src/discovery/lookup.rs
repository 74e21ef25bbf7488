//! Lookup: who has this torrent? Our own iterative `get_peers` over [`Dht::ask`].
//!
//! A lookup starts from the closest nodes that are known ([`Nodes`]), asks several at a time, each for
//! nodes closer still, and ends when the eight closest that are alive have answered: so it also says
//! that nobody has the torrent. Peers come as they are found, with the number of nodes that named
//! each. There is one lookup for a hash at a time, which all who ask for it share, and what it found
//! is kept for a while.
//!
//! | file | what lives there |
//! |---|---|
//! | `candidates` | which nodes are worth asking, and when the closest have answered; no I/O |
//! | `findings` | peers and scrapes, merged; no I/O |
//! | `nodes` | [`Nodes`]: live nodes, where lookups start |
//! | `pace` | when a query counts as late |
//! | `progress` | what a lookup and those who wait for it share |
//! | `search` | the queries of one lookup |

mod candidates;
mod findings;
mod nodes;
mod pace;
mod progress;
mod search;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub use self::nodes::{Family, Nodes};
use self::pace::Pace;
use self::progress::{EndOnDrop, Progress};
use super::dht::Dht;
use crate::torrent::PeerAddr;
use crate::wire::krpc::NodeId;

/// Nodes that store a torrent's peers: the closest ones (BEP 5).
pub(crate) const CLOSEST: usize = 8;

/// How lookups are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupOptions {
    /// Take loopback and private addresses as nodes and peers.
    pub allow_local: bool,
    /// Ask nodes on IPv6, too.
    pub ipv6: bool,
    /// Ask how many seeds and leeches there are (BEP 33). Answers grow by half a kilobyte.
    pub scrape: bool,
    /// When a lookup ends, whatever is still to come. Counted from its first query.
    pub deadline: Duration,
    /// Queries that one lookup may take.
    pub max_queries: u32,
    /// Lookups at a time. Those beyond wait.
    pub at_once: usize,
    /// Lookups whose result is kept.
    pub cached: usize,
    /// How long the result is kept of a lookup that found peers.
    pub keep_found: Duration,
    /// How long the result is kept of one that found none.
    pub keep_empty: Duration,
}

impl Default for LookupOptions {
    fn default() -> Self {
        Self {
            allow_local: false,
            ipv6: false,
            scrape: false,
            deadline: Duration::from_secs(30),
            max_queries: 160,
            at_once: 200,
            cached: 2000,
            keep_found: Duration::from_secs(300),
            keep_empty: Duration::from_secs(60),
        }
    }
}

/// A peer, and how sure it is that it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ranked {
    /// Where it should be.
    pub addr: PeerAddr,
    /// How many nodes named it, each on an IP address of its own. 0: it is a node that came up in the
    /// lookup itself; some nodes name their like as peers.
    pub reports: u32,
}

/// What a lookup has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Nodes that were asked.
    pub asked: u32,
    /// Nodes that answered as the node they were named as.
    pub answered: u32,
    /// Nodes that answered as another one; what they said is not believed.
    pub wrong_ids: u32,
    /// Addresses of nodes and peers that nobody can have, or that are local where that is not allowed.
    pub refused: u32,
    /// How many of their first bits the hash and the closest node that answered share.
    pub closest: Option<u32>,
    /// Peers that were found.
    pub peers: u32,
    /// About how many seeds there are, where some node said (BEP 33).
    pub seeds: Option<u32>,
    /// About how many leeches there are, where some node said.
    pub leeches: Option<u32>,
    /// Whether the closest nodes that are alive have answered; if not, it was ended before.
    pub converged: bool,
}

/// Looks hashes up. Clones are the same.
#[derive(Clone, Debug)]
pub struct Lookups {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dht: Dht,
    options: LookupOptions,
    nodes: Nodes,
    pace: Pace,
    gate: Semaphore,
    running: Mutex<HashMap<NodeId, Entry>>,
    ended: Mutex<LruCache<NodeId, Ended>>,
}

/// A lookup that others may join.
#[derive(Debug)]
struct Entry {
    running: Weak<Running>,
    progress: Arc<Progress>,
}

/// A result that is kept.
#[derive(Debug)]
struct Ended {
    progress: Arc<Progress>,
    until: Instant,
}

/// A lookup that runs for as long as somebody waits for it.
#[derive(Debug)]
struct Running {
    infohash: NodeId,
    shared: Weak<Shared>,
    progress: Arc<Progress>,
    _task: AbortOnDropHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            remove_own(&shared, &self.infohash, &self.progress);
        }
    }
}

/// Takes a lookup out that has ended, unless another one has begun meanwhile.
fn remove_own(shared: &Shared, infohash: &NodeId, progress: &Arc<Progress>) {
    let mut running = lock(&shared.running);
    if (running.get(infohash)).is_some_and(|entry| Arc::ptr_eq(&entry.progress, progress)) {
        running.remove(infohash);
    }
}

/// The answers to one lookup. Dropping the last handle of a lookup ends it.
#[derive(Debug)]
pub struct Lookup {
    progress: Arc<Progress>,
    /// Of `progress`, what was handed out.
    seen: u64,
    changes: watch::Receiver<u64>,
    _running: Option<Arc<Running>>,
}

impl Lookups {
    /// Lookups that ask over `dht`, start from `nodes`, and add those that answer.
    #[must_use]
    pub fn new(dht: Dht, options: LookupOptions, nodes: Nodes) -> Self {
        let cached = NonZeroUsize::new(options.cached).unwrap_or(NonZeroUsize::MIN);
        Self {
            shared: Arc::new(Shared {
                dht,
                nodes,
                pace: Pace::default(),
                gate: Semaphore::new(options.at_once.clamp(1, Semaphore::MAX_PERMITS)),
                running: Mutex::default(),
                ended: Mutex::new(LruCache::new(cached)),
                options,
            }),
        }
    }

    /// The DHT node that they ask over.
    #[must_use]
    pub fn dht(&self) -> &Dht {
        &self.shared.dht
    }

    /// The nodes that lookups start from.
    #[must_use]
    pub fn nodes(&self) -> &Nodes {
        &self.shared.nodes
    }

    /// Looks for peers of a hash, or joins the lookup that does, or tells what the last one found.
    /// Must be called inside a tokio runtime.
    #[must_use]
    pub fn look_up(&self, infohash: NodeId) -> Lookup {
        let shared = &self.shared;
        let mut running = lock(&shared.running);
        if let Some(running) = (running.get(&infohash)).and_then(|entry| entry.running.upgrade()) {
            return Lookup::of(Arc::clone(&running.progress), Some(running));
        }
        if let Some(ended) = lock(&shared.ended).get(&infohash)
            && ended.until > Instant::now()
        {
            return Lookup::of(Arc::clone(&ended.progress), None);
        }
        let progress = Arc::new(Progress::default());
        let task = tokio::spawn(run(Arc::clone(shared), infohash, Arc::clone(&progress)));
        let lookup = Arc::new(Running {
            infohash,
            shared: Arc::downgrade(shared),
            progress: Arc::clone(&progress),
            _task: AbortOnDropHandle::new(task),
        });
        let entry = Entry {
            running: Arc::downgrade(&lookup),
            progress: Arc::clone(&progress),
        };
        running.insert(infohash, entry);
        drop(running);
        Lookup::of(progress, Some(lookup))
    }

    /// Drops what the last lookup of a hash found: the next one asks again.
    pub fn forget(&self, infohash: &NodeId) {
        lock(&self.shared.ended).pop(infohash);
    }
}

async fn run(shared: Arc<Shared>, infohash: NodeId, progress: Arc<Progress>) {
    let _ended = EndOnDrop(&progress);
    let Ok(_permit) = shared.gate.acquire().await else {
        return;
    };
    progress.begin();
    search::search(&shared, infohash, &progress).await;
    let summary = progress.summary();
    if summary.converged && summary.answered > 0 {
        let keep = if summary.peers > 0 {
            shared.options.keep_found
        } else {
            shared.options.keep_empty
        };
        let ended = Ended {
            progress: Arc::clone(&progress),
            until: Instant::now() + keep,
        };
        lock(&shared.ended).put(infohash, ended);
    }
    remove_own(&shared, &infohash, &progress);
}

impl Lookup {
    fn of(progress: Arc<Progress>, running: Option<Arc<Running>>) -> Self {
        Self {
            changes: progress.changes(),
            progress,
            seen: 0,
            _running: running,
        }
    }

    /// Peers that are new, or whose number of reports changed, those with the most reports first; `None`
    /// when the lookup has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Vec<Ranked>> {
        loop {
            self.changes.borrow_and_update();
            let (peers, ended) = self.progress.since(&mut self.seen);
            if !peers.is_empty() {
                return Some(peers);
            }
            if ended || self.changes.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Waits until it is its turn: no more than [`LookupOptions::at_once`] run at a time. Cancel-safe.
    pub async fn begun(&mut self) {
        loop {
            self.changes.borrow_and_update();
            if self.progress.has_begun() || self.changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// What it has come to so far; of a lookup that has ended, in all.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.progress.summary()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a node or a peer may be at this address.
fn is_allowed(addr: &PeerAddr, allow_local: bool) -> bool {
    addr.is_public() || allow_local && addr.is_local()
}
