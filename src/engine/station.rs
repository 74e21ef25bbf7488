//! What every station works with: the options, both arms, the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use super::{Options, Wanted};
use crate::direct::Direct;
use crate::libtorrent::Libtorrent;
use crate::store::{FailedTorrent, Store, StoreError, StoredTorrent};
use crate::torrent::{Infohash, PeerAddr};

/// Shared by all stations.
pub(super) struct Stations {
    pub(super) options: Options,
    pub(super) direct: Direct,
    /// Absent where nothing needs it, or it could not be started.
    pub(super) libtorrent: Option<Libtorrent>,
    /// Absent with `--store none`.
    pub(super) store: Option<Store>,
    pub(super) stop: CancellationToken,
    read_failed: AtomicBool,
}

impl Stations {
    pub(super) fn new(
        options: Options,
        libtorrent: Option<Libtorrent>,
        store: Option<Store>,
    ) -> Self {
        Self {
            direct: Direct::new(options.direct.clone()),
            options,
            libtorrent,
            store,
            stop: CancellationToken::new(),
            read_failed: AtomicBool::new(false),
        }
    }

    /// The torrent, if it was resolved before.
    pub(super) async fn stored(&self, infohash: &Infohash) -> Option<StoredTorrent> {
        self.read(self.store.as_ref()?.torrent(infohash).await)
            .flatten()
    }

    /// How the hash failed the last time.
    pub(super) async fn failed(&self, infohash: &Infohash) -> Option<FailedTorrent> {
        self.read(self.store.as_ref()?.failed_torrent(infohash).await)
            .flatten()
    }

    /// Peers that delivered this hash before.
    pub(super) async fn deliverers(&self, infohash: &Infohash, limit: u32) -> Vec<PeerAddr> {
        let Some(store) = &self.store else {
            return Vec::new();
        };
        self.read(store.deliverers(infohash, limit).await)
            .unwrap_or_default()
    }

    /// How often each of these peers delivered before, whatever hash; absent for never.
    pub(super) async fn deliveries(&self, peers: &[PeerAddr]) -> HashMap<PeerAddr, u32> {
        let Some(store) = &self.store else {
            return HashMap::new();
        };
        let states = self
            .read(store.peer_states(peers).await)
            .unwrap_or_default();
        states
            .into_iter()
            .map(|(peer, state)| (peer, u32::try_from(state.deliveries).unwrap_or(u32::MAX)))
            .filter(|(_, deliveries)| *deliveries > 0)
            .collect()
    }

    /// Whether the asker names a peer that was not tried for this hash yet. Host names count as
    /// news: who knows where they point today.
    pub(super) async fn has_new_peers(&self, wanted: &Wanted) -> bool {
        let addresses = wanted.addresses();
        if addresses.len() < wanted.peers.len() {
            return true;
        }
        let Some(store) = self.store.as_ref().filter(|_| !addresses.is_empty()) else {
            return false;
        };
        self.read(store.has_untried(&wanted.infohash, &addresses).await)
            .unwrap_or(false)
    }

    /// The store helps to resolve faster, and is no reason to stop: a failed read is said once.
    fn read<T>(&self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if !self.read_failed.swap(true, Ordering::Relaxed) {
                    tracing::warn!("the store can't be read, going on without it: {error}");
                }
                None
            }
        }
    }
}

/// Now, in UTC unix milliseconds.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
