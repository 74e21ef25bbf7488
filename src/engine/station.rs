//! What every station works with: the options, both arms, the store.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::OnceCell;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use super::arms::{ArmState, Breakers};
use super::counters::Counting;
use super::lookup::DhtLookups;
use super::readable::{News, Readable};
use super::trackers::Trackers;
use super::{Options, Wanted};
use crate::direct::Direct;
use crate::discovery::dht::Dht;
use crate::history::History;
use crate::libtorrent::Libtorrent;
use crate::store::{Recall, Store, StoreError};
use crate::torrent::{Arm, PeerAddr};
use crate::wire::krpc::NodeId;

/// How often a DHT node is asked while somebody waits for a word of the network.
const ASKS_EVERY: Duration = Duration::from_millis(500);
/// How long a network that is not known to be away may take to say something.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// How many groups of each kind are read at the start.
const GROUPS: u32 = 20_000;

/// Shared by all stations.
pub(super) struct Stations {
    pub(super) options: Options,
    /// When the engine started.
    pub(super) began: Instant,
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
    /// Lookups over its DHT node; absent where the DHT is not to be asked.
    pub(super) dht: Option<DhtLookups>,
    /// When a DHT node was last asked for whoever waits for a word of the network.
    asked_network_at: Mutex<Option<Instant>>,
    /// Absent with `--store none`.
    pub(super) store: Option<Store>,
    pub(super) stop: CancellationToken,
    pub(super) counters: Counting,
    readable: Mutex<Readable>,
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
            dht: (libtorrent.as_ref().filter(|_| options.dht))
                .map(|libtorrent| DhtLookups::new(libtorrent, &options)),
            asked_network_at: Mutex::default(),
            options,
            began: Instant::now(),
            libtorrent,
            store,
            stop: CancellationToken::new(),
            counters: Counting::default(),
            readable: Mutex::default(),
        }
    }

    /// What the store knows of this hash, and of the peers that the asker names; in memory afterwards is
    /// what it knows of peers.
    ///
    /// # Errors
    /// The blocklist can't be read, and was not empty when it last could: nothing that is on it may be
    /// fetched by mistake.
    pub(super) async fn recall(&self, wanted: &Wanted) -> Result<Recall, StoreError> {
        let Some(store) = &self.store else {
            return Ok(Recall::default());
        };
        let asked = self.history.missing(&wanted.addresses());
        let recalled = store
            .recall(&wanted.infohash, asked.clone(), self.options.refetch)
            .await;
        let may_be_blocked = recalled.is_err() && !store.blocklist_was_empty();
        match recalled {
            Err(error) if may_be_blocked => Err(error),
            recalled => {
                let Some(mut recall) = self.read(recalled) else {
                    return Ok(Recall::default());
                };
                // Of a hash that goes no further, no peer was looked up.
                if !recall.blocked && recall.torrent.is_none() {
                    let asked: Vec<PeerAddr> =
                        asked.iter().chain(&recall.deliverers).copied().collect();
                    self.history.load(&asked, std::mem::take(&mut recall.peers));
                }
                self.history.load_pairs(&wanted.infohash, &recall.attempts);
                Ok(recall)
            }
        }
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

    /// Brings what the store knows of the trackers of this hash to memory.
    pub(super) async fn remember_trackers(&self, wanted: &Wanted) {
        let urls = self.trackers_of(wanted);
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

    /// Its own trackers, or the public ones where it has none and had none: one that has any may be private.
    fn trackers_of<'a>(&'a self, wanted: &'a Wanted) -> &'a [String] {
        if wanted.trackers.is_empty() && !wanted.maybe_private {
            &self.options.public_trackers
        } else {
            &wanted.trackers
        }
    }

    /// The trackers to ask for this hash, of which those in `asked` were asked before.
    pub(super) fn trackers_for(&self, wanted: &Wanted, asked: &HashSet<String>) -> Vec<String> {
        if self.options.trackers {
            self.trackers.choose(self.trackers_of(wanted), asked)
        } else {
            Vec::new()
        }
    }

    /// Another try at this hash is to find others: the DHT is asked anew.
    pub(super) fn forget_lookup(&self, wanted: &Wanted) {
        if let Some(dht) = &self.dht {
            dht.lookups().forget(&NodeId(wanted.infohash.wire_id()));
        }
    }

    /// Whether the network has seemed to be away since then: no DHT node answered.
    pub(super) fn was_away_since(&self, at: Instant) -> bool {
        let dht = self.dht.as_ref().map(|dht| dht.lookups().dht());
        dht.is_some_and(|dht| dht.was_away_since(at))
    }

    /// Where the network is away, waits until it is back.
    pub(super) async fn network_is_back(&self) {
        let dht = self.dht.as_ref().map(|dht| dht.lookups().dht());
        while dht.is_some_and(Dht::is_away) {
            self.network_answers().await;
        }
    }

    /// Waits until a DHT node answers that is asked from now on, however long the network is away. False
    /// where none has answered although the network does not seem to be away.
    pub(super) async fn network_answers(&self) -> bool {
        let Some(dht) = &self.dht else {
            return true;
        };
        let began = Instant::now();
        let mut until = began + ANSWERS_WITHIN;
        let mut looks = interval_at(began + ASKS_EVERY, ASKS_EVERY);
        let mut answered = std::pin::pin!(dht.lookups().dht().answered_since(began));
        loop {
            tokio::select! {
                biased;
                () = &mut answered => return true,
                _ = looks.tick() => {}
            }
            let now = Instant::now();
            if dht.lookups().dht().is_away() {
                until = now + ANSWERS_WITHIN;
            } else if now >= until {
                return false;
            }
            if self.asks_network(now) {
                dht.ping_any(self.libtorrent.as_ref()).await;
            }
        }
    }

    /// Whether it is time to ask a DHT node. One asks for all who wait.
    fn asks_network(&self, now: Instant) -> bool {
        let mut asked_at = (self.asked_network_at.lock()).unwrap_or_else(PoisonError::into_inner);
        let is_due = asked_at.is_none_or(|at| now.duration_since(at) >= ASKS_EVERY);
        if is_due {
            *asked_at = Some(now);
        }
        is_due
    }

    /// The port at which peers can connect to us, once that is known.
    pub(super) fn listen_port(&self) -> Option<u16> {
        let settings = &self.options.libtorrent;
        if !settings.incoming || settings.proxy.is_some() {
            return None;
        }
        let health = self.libtorrent.as_ref()?.health();
        health.tcp.first().map(SocketAddr::port)
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
                && self.breakers.would_admit(Arm::Libtorrent),
            load,
            latency: self.history.latency_of(Arm::Libtorrent),
        }
    }

    /// How the direct arm is, as far as choosing an arm goes.
    pub(super) fn direct_state(&self) -> ArmState {
        ArmState {
            usable: self.options.strategy.uses_direct()
                && self.direct.free_slots() > 0
                && self.breakers.would_admit(Arm::Direct),
            load: self.direct.load(),
            latency: self.history.latency_of(Arm::Direct),
        }
    }

    /// The store helps to resolve faster, and is no reason to stop: that it can't be read is said when it
    /// begins and when it ends.
    fn read<T>(&self, result: Result<T, StoreError>) -> Option<T> {
        let news = (self.readable.lock())
            .unwrap_or_else(PoisonError::into_inner)
            .read(result.is_ok(), Instant::now());
        match (news, &result) {
            (Some(News::Works), _) => tracing::warn!("the store can be read again"),
            (Some(News::Fails), Err(error)) => {
                tracing::warn!("the store can't be read, going on without it: {error}");
            }
            _ => {}
        }
        result.ok()
    }
}

/// Now, in UTC unix milliseconds.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
