//! What a crawl remembers from one run to the next: the nodes of its frontier in the store, our own
//! node's id and table in a file.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::dht_state::DhtState;
use crate::cli::store::StoreArgs;
use crate::cli::{Exit, Stop, say};
use crate::discovery::crawl::NodeRecord;
use crate::engine::Engine;
use crate::store::{DhtNode, Store};
use crate::wire::krpc::NodeId;

/// How often it is saved. What a killed process has learnt since then is lost: the hashes of nodes
/// that it asked meanwhile come again from other nodes, and from the same ones after their interval.
const EVERY: Duration = Duration::from_secs(60);

/// Where it is kept.
pub(super) struct Memory {
    store: Option<Store>,
    state: Option<DhtState>,
    keep: u32,
    saves: Interval,
    saving: Option<JoinHandle<()>>,
    has_failed: bool,
}

impl Memory {
    /// Opens what there is. `path` is `--state`.
    ///
    /// # Errors
    /// The file that was asked for can't be opened.
    pub(super) fn open(
        store: Option<Store>,
        args: &StoreArgs,
        path: Option<&Path>,
        keep: u32,
    ) -> Result<Self, Stop> {
        let beside = match path {
            Some(_) => None,
            None => args
                .url()?
                .map(|url| crate::store::journal::file_beside(&url, ".dht")),
        };
        let path = path.filter(|path| path.as_os_str() != "none");
        let state = match path.or(beside.as_deref()) {
            None => None,
            Some(path) => match DhtState::open(path) {
                Ok(Some(state)) => Some(state),
                Ok(None) => {
                    say(format_args!(
                        "another process has {}: this one takes a DHT node id of its own",
                        path.display()
                    ));
                    None
                }
                Err(error) => {
                    return Err(Stop::new(
                        Exit::Failed,
                        format!(
                            "{} can't be opened: {error}; choose another --state, or none",
                            path.display()
                        ),
                    ));
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
            has_failed: false,
        })
    }

    /// The state of our own node from the last run.
    pub(super) fn dht_state(&mut self) -> Option<Vec<u8>> {
        let state = self.state.as_mut()?;
        match state.read() {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!("{} can't be read: {error}", state.path().display());
                None
            }
        }
    }

    /// The nodes of the last run, the best first.
    pub(super) async fn nodes(&self) -> Vec<NodeRecord> {
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
    pub(super) async fn due(&mut self) {
        self.saves.tick().await;
    }

    /// Saves, unless the last time is not over yet.
    pub(super) async fn save(&mut self, nodes: Vec<NodeRecord>, engine: &Engine) {
        self.save_state(engine).await;
        let is_saving = self.saving.as_ref().is_some_and(|task| !task.is_finished());
        if let Some(store) = self.store.clone().filter(|_| !is_saving) {
            let keep = self.keep;
            self.saving = Some(tokio::spawn(save_nodes(store, nodes, keep)));
        }
    }

    /// Saves at the end.
    pub(super) async fn finish(mut self, nodes: Vec<NodeRecord>, engine: &Engine) {
        self.save_state(engine).await;
        if let Some(saving) = self.saving {
            let _ = saving.await;
        }
        if let Some(store) = self.store {
            save_nodes(store, nodes, self.keep).await;
        }
    }

    async fn save_state(&mut self, engine: &Engine) {
        let Some(state) = &mut self.state else { return };
        let Some(bytes) = engine.dht_state().await else {
            return;
        };
        match state.write(&bytes) {
            Ok(()) => self.has_failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    tracing::warn!("{} can't be written: {error}", state.path().display());
                }
            }
        }
    }
}

async fn save_nodes(store: Store, nodes: Vec<NodeRecord>, keep: u32) {
    let nodes = nodes.iter().map(to_remember).collect();
    if let Err(error) = store.save_dht_nodes(nodes, keep.into()).await {
        tracing::debug!(%error, "the DHT nodes were not saved");
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
