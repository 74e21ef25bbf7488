//! What every station works with: the options, both arms, the store.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::arms::{ArmState, Breakers};
use super::trackers::Trackers;
use super::{Options, Wanted};
use crate::direct::Direct;
use crate::history::History;
use crate::libtorrent::Libtorrent;
use crate::store::{FailedTorrent, Store, StoreError, StoredTorrent};
use crate::torrent::{Arm, Infohash, PeerAddr};

/// How many past attempts at a hash are read.
const PAST_ATTEMPTS: u32 = 500;
/// How many groups of each kind are read at the start.
const GROUPS: u32 = 20_000;

/// Shared by all stations.
pub(super) struct Stations {
    pub(super) options: Options,
    pub(super) direct: Direct,
    /// What is known of peers.
    pub(super) history: History,
    /// What is known of trackers.
    pub(super) trackers: Trackers,
    /// Set once the store was asked for the groups.
    groups: OnceCell<()>,
    /// Which arms work.
    pub(super) breakers: Breakers,
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
            history: History::new(options.history.clone()),
            trackers: Trackers::default(),
            groups: OnceCell::new(),
            breakers: Breakers::default(),
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

    /// Brings what the store knows of these peers to memory.
    pub(super) async fn remember(&self, peers: &[PeerAddr]) {
        let Some(store) = &self.store else {
            return;
        };
        let asked = self.history.missing(peers);
        if asked.is_empty() {
            return;
        }
        if let Some(states) = self.read(store.peer_states(&asked).await) {
            self.history.load(&asked, states);
        }
    }

    /// Brings what the store knows of attempts at this hash to memory.
    pub(super) async fn remember_pairs(&self, infohash: &Infohash) {
        let Some(store) = &self.store else {
            return;
        };
        if let Some(attempts) = self.read(store.past_attempts(infohash, PAST_ATTEMPTS).await) {
            self.history.load_pairs(infohash, &attempts);
        }
    }

    /// Brings what the store knows of groups of peers to memory; once, before the first hash.
    pub(super) async fn remember_groups(&self) {
        let load = async {
            let Some(store) = &self.store else {
                return;
            };
            if let Some(groups) = self.read(store.groups(GROUPS).await) {
                self.history.load_groups(groups);
            }
        };
        self.groups.get_or_init(|| load).await;
    }

    /// Brings what the store knows of these trackers to memory.
    pub(super) async fn remember_trackers(&self, urls: &[String]) {
        let Some(store) = self.store.as_ref().filter(|_| self.options.trackers) else {
            return;
        };
        let asked = self.trackers.missing(urls);
        if asked.is_empty() {
            return;
        }
        if let Some(states) = self.read(store.tracker_states(&asked).await) {
            self.trackers.load(&asked, &states);
        }
    }

    /// The trackers to ask for this hash, of which those in `asked` were asked before.
    pub(super) fn trackers_for(&self, wanted: &Wanted, asked: &HashSet<String>) -> Vec<String> {
        if self.options.trackers {
            self.trackers.choose(&wanted.trackers, asked)
        } else {
            Vec::new()
        }
    }

    /// How libtorrent is, as far as choosing an arm goes.
    pub(super) fn libtorrent_state(&self) -> ArmState {
        let limit = self.options.libtorrent.max_torrents.max(1);
        let free = self.libtorrent.as_ref().map_or(0, Libtorrent::free_slots);
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let load = 1.0 - free as f64 / limit as f64;
        ArmState {
            usable: self.options.strategy.uses_libtorrent()
                && free > 0
                && self.breakers.admits(Arm::Libtorrent),
            load,
            latency: self.history.latency_of(Arm::Libtorrent),
        }
    }

    /// How the direct arm is, as far as choosing an arm goes.
    pub(super) fn direct_state(&self) -> ArmState {
        ArmState {
            usable: self.options.strategy.uses_direct()
                && self.direct.free_slots() > 0
                && self.breakers.admits(Arm::Direct),
            load: self.direct.load(),
            latency: self.history.latency_of(Arm::Direct),
        }
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
