//! What a crawl remembers from one run to the next: the nodes of its frontier in the store, our own
//! node's id and table in a file.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::dht_state::DhtState;
use crate::discovery::crawl::NodeRecord;
use crate::engine::Engine;
use crate::store::{DhtNode, Store, StoreUrl};
use crate::torrent::PeerAddr;
use crate::wire::krpc::NodeId;

/// How often it is saved. What a killed process has learnt since then is lost: the hashes of nodes
/// that it asked meanwhile come again from other nodes, and from the same ones after their interval.
const EVERY: Duration = Duration::from_secs(60);

/// Where it is kept.
pub(crate) struct Memory {
    store: Option<Store>,
    state: Option<State>,
    keep: u32,
    saves: Interval,
    saving: Option<JoinHandle<Saved>>,
    saved: Saved,
}

/// The nodes that are stored as they are, by a fingerprint of what changes with each query: most nodes
/// are not asked between two saves. After a save that failed, all are stored again.
type Saved = HashMap<PeerAddr, u64>;

/// The file of our own node.
#[derive(Clone)]
struct State {
    file: Arc<Mutex<DhtState>>,
    has_failed: Arc<AtomicBool>,
}

impl Memory {
    /// Opens what there is. `url` is where the store is, `path` is `--state`.
    ///
    /// # Errors
    /// The file that was asked for can't be opened; a sentence says why.
    pub(crate) fn open(
        store: Option<Store>,
        url: Option<&StoreUrl>,
        path: Option<&Path>,
        keep: u32,
    ) -> Result<Self, String> {
        let beside = match path {
            Some(_) => None,
            None => url.map(|url| crate::store::journal::file_beside(url, ".dht")),
        };
        let path = path.filter(|path| path.as_os_str() != "none");
        let state = match path.or(beside.as_deref()) {
            None => None,
            Some(path) => match DhtState::open(path) {
                Ok(Some(state)) => Some(State {
                    file: Arc::new(Mutex::new(state)),
                    has_failed: Arc::default(),
                }),
                Ok(None) => {
                    tracing::warn!(
                        "another process has {}: this one takes a DHT node id of its own",
                        path.display()
                    );
                    None
                }
                Err(error) => {
                    return Err(format!("{} can't be opened: {error}", path.display()));
                }
            },
        };
        let mut saves = interval(EVERY);
        saves.set_missed_tick_behavior(MissedTickBehavior::Delay);
        saves.reset();
        Ok(Self {
            store,
            state,
            keep,
            saves,
            saving: None,
            saved: Saved::new(),
        })
    }

    /// The state of our own node from the last run.
    pub(crate) fn dht_state(&mut self) -> Option<Vec<u8>> {
        let mut state = lock(&self.state.as_ref()?.file);
        match state.read() {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!("{} can't be read: {error}", state.path().display());
                None
            }
        }
    }

    /// The nodes of the last run, the best first.
    pub(crate) async fn nodes(&self) -> Vec<NodeRecord> {
        let Some(store) = &self.store else {
            return Vec::new();
        };
        match store.dht_nodes(self.keep).await {
            Ok(nodes) => nodes.into_iter().map(remembered).collect(),
            Err(error) => {
                tracing::warn!("the DHT nodes of the last run can't be read: {error}");
                Vec::new()
            }
        }
    }

    /// Waits until it is time to save.
    pub(crate) async fn due(&mut self) {
        self.saves.tick().await;
    }

    /// Saves, unless the last time is not over yet. Waits for nothing: a session or a database that hangs is
    /// no reason to stop.
    pub(crate) async fn save(&mut self, nodes: Vec<NodeRecord>, engine: &Engine) {
        match self.saving.take() {
            Some(saving) if !saving.is_finished() => self.saving = Some(saving),
            saving => {
                if let Some(saving) = saving {
                    self.saved = saving.await.unwrap_or_default();
                }
                let saved = std::mem::take(&mut self.saved);
                self.saving = Some(tokio::spawn(self.work(nodes, saved, engine)));
            }
        }
    }

    /// Saves at the end.
    pub(crate) async fn finish(&mut self, nodes: Vec<NodeRecord>, engine: &Engine) {
        if let Some(saving) = self.saving.take() {
            self.saved = saving.await.unwrap_or_default();
        }
        let saved = std::mem::take(&mut self.saved);
        self.work(nodes, saved, engine).await;
    }

    fn work(
        &self,
        nodes: Vec<NodeRecord>,
        saved: Saved,
        engine: &Engine,
    ) -> impl Future<Output = Saved> + use<> {
        let (store, state, keep) = (self.store.clone(), self.state.clone(), self.keep);
        let engine = engine.clone();
        async move {
            if let Some(state) = state {
                state.save(&engine).await;
            }
            match store {
                Some(store) => save_nodes(store, nodes, saved, keep).await,
                None => saved,
            }
        }
    }
}

impl State {
    async fn save(self, engine: &Engine) {
        let Some(bytes) = engine.dht_state().await else {
            return;
        };
        let write = move || {
            let mut file = lock(&self.file);
            match file.write(&bytes) {
                Ok(()) => self.has_failed.store(false, Ordering::Relaxed),
                Err(error) => {
                    if !self.has_failed.swap(true, Ordering::Relaxed) {
                        tracing::warn!("{} can't be written: {error}", file.path().display());
                    }
                }
            }
        };
        let _ = tokio::task::spawn_blocking(write).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What each query changes of a node.
fn fingerprint(node: &NodeRecord) -> u64 {
    let mut hasher = DefaultHasher::new();
    let counts = (node.queries, node.answers, node.failures_in_a_row);
    (node.id, counts, node.bep51).hash(&mut hasher);
    hasher.finish()
}

/// Those that have changed since they were saved.
fn changed(nodes: &[NodeRecord], saved: &Saved) -> Vec<DhtNode> {
    (nodes.iter())
        .filter(|node| saved.get(&node.addr) != Some(&fingerprint(node)))
        .map(to_remember)
        .collect()
}

async fn save_nodes(store: Store, nodes: Vec<NodeRecord>, saved: Saved, keep: u32) -> Saved {
    let changed = changed(&nodes, &saved);
    match store.save_dht_nodes(changed, keep.into()).await {
        Ok(()) => (nodes.iter())
            .map(|node| (node.addr, fingerprint(node)))
            .collect(),
        Err(error) => {
            tracing::debug!(%error, "the DHT nodes were not saved");
            Saved::new()
        }
    }
}

fn remembered(node: DhtNode) -> NodeRecord {
    NodeRecord {
        addr: node.addr,
        id: NodeId(node.id),
        first_seen_ms: node.first_seen_ms,
        last_seen_ms: node.last_seen_ms,
        queries: node.queries,
        answers: node.answers,
        failures_in_a_row: node.failures_in_a_row,
        avg_rtt_ms: node.avg_rtt_ms,
        bep51: node.bep51,
        next_sample_at_ms: node.next_sample_at_ms,
    }
}

fn to_remember(node: &NodeRecord) -> DhtNode {
    DhtNode {
        addr: node.addr,
        id: node.id.0,
        first_seen_ms: node.first_seen_ms,
        last_seen_ms: node.last_seen_ms,
        queries: node.queries,
        answers: node.answers,
        failures_in_a_row: node.failures_in_a_row,
        avg_rtt_ms: node.avg_rtt_ms,
        bep51: node.bep51,
        next_sample_at_ms: node.next_sample_at_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nodes_that_were_asked_since_are_saved_again() {
        let node = |number: u8| NodeRecord {
            addr: PeerAddr::new([8, 8, 8, number].into(), 6881),
            id: NodeId([number; 20]),
            first_seen_ms: 1,
            last_seen_ms: 2,
            queries: 3,
            answers: 3,
            failures_in_a_row: 0,
            avg_rtt_ms: None,
            bep51: None,
            next_sample_at_ms: 0,
        };
        let mut nodes = vec![node(1), node(2)];
        assert_eq!(changed(&nodes, &Saved::new()).len(), 2);
        let saved: Saved = (nodes.iter())
            .map(|node| (node.addr, fingerprint(node)))
            .collect();
        // Times move with the wall clock as it is set.
        nodes[0].last_seen_ms += 5;
        assert_eq!(changed(&nodes, &saved), []);
        nodes[1].queries += 1;
        nodes.push(node(3));
        let again: Vec<_> = changed(&nodes, &saved)
            .iter()
            .map(|node| node.id[0])
            .collect();
        assert_eq!(again, [2, 3]);
    }
}
