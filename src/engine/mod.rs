//! The engine: one file per station that a hash passes.
//!
//! ```text
//! intake -> gate -> lookup -> choose -> attempt -> verify -> record -> emit
//! ```
//!
//! Stations are joined by bounded channels, and a full one slows down the one before it. Nothing
//! is emitted before it is recorded.

mod arms;
mod attempt;
mod attempts;
mod backlog;
mod breaker;
mod choose;
mod cooldown;
mod counters;
pub(crate) mod crawling;
mod diagnose;
mod emit;
mod figures;
mod gate;
mod intake;
pub(crate) mod lines;
mod lookup;
mod observe;
mod options;
mod readable;
mod record;
mod station;
mod swarm_peer;
mod trackers;
mod verify;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder as _;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

pub(crate) use backlog::Backlog;
pub use backlog::BacklogState;
pub use cooldown::Cooldowns;
pub use counters::Counters;
pub use diagnose::{Diagnosis, PeerStory, Remembered, Verdict};
pub(crate) use emit::timestamp;
pub use emit::{Line, Origin, Resolution, Resolved, Scrape, Unresolved};
pub use figures::{ArmFigures, Figures};
pub use intake::Wanted;
pub use observe::RequestId;
pub(crate) use observe::wanted;
pub use options::{Options, Strategy};
pub use swarm_peer::{SwarmPeer, TriedPeer};

use crate::discovery::dht::Dht;
use crate::libtorrent::{Health, Libtorrent, SessionError};
use crate::store::Store;
use crate::torrent::{Category, Failure, Infohash, Phase, Reason};
use crate::wire::krpc::NodeAddr;
use gate::{InFlight, Passage, Turn};
use station::Stations;

/// How often a hash with peers joins others that fail, before their failure is its own.
const JOINS: u32 = 3;
/// How often a hash is tried again at once because the network was away meanwhile. Beyond that it comes
/// again as others do.
const TRIES_LOST: u32 = 2;

/// Resolves hashes. Clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    stations: Arc<Stations>,
    in_flight: InFlight,
    tasks: TaskTracker,
}

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// libtorrent can't do what `bind` asks for.
    #[error(
        "network.bind names two addresses, and libtorrent connects from one at the most: name one, or leave \
         connections to the direct arm (--strategy direct)"
    )]
    TwoBinds,
    /// libtorrent is needed for what was asked, and does not start.
    #[error("libtorrent did not start: {0}")]
    Libtorrent(#[from] SessionError),
}

impl Engine {
    /// Starts the arms that the options need. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`EngineError::TwoBinds`] where libtorrent may dial and `bind` names two addresses: its connections
    /// would come from any. [`EngineError::Libtorrent`] where only libtorrent could do what was asked. Where the direct
    /// arm is left, the engine goes on with that, and says so.
    pub fn start(mut options: Options, store: Option<Store>) -> Result<Self, EngineError> {
        options.libtorrent.proxy = options.proxy().cloned();
        options.libtorrent.encryption = options.direct.encryption;
        options.libtorrent.bind.clone_from(&options.direct.bind);
        let dials_bound = options.strategy.uses_libtorrent() && options.proxy().is_none();
        if dials_bound && options.libtorrent.bind.len() > 1 {
            return Err(EngineError::TwoBinds);
        }
        let needs_libtorrent =
            options.strategy.uses_libtorrent() || options.dht || options.trackers;
        let libtorrent = match needs_libtorrent.then(|| Libtorrent::open(&options.libtorrent)) {
            None => None,
            Some(Ok(libtorrent)) => Some(libtorrent),
            Some(Err(error)) if options.strategy.uses_direct() => {
                tracing::warn!(
                    "libtorrent did not start, going on with direct connections, without DHT \
                     and trackers: {error}"
                );
                None
            }
            Some(Err(error)) => return Err(error.into()),
        };
        let engine = Self {
            stations: Arc::new(Stations::new(options, libtorrent, store)),
            in_flight: InFlight::default(),
            tasks: TaskTracker::new(),
        };
        if let Some(proxy) = engine.options().proxy().cloned() {
            let stop = engine.stations.stop.clone();
            engine.spawn(async move {
                stop.run_until_cancelled(proxy.watch()).await;
            });
        }
        Ok(engine)
    }

    /// What the engine was told.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.stations.options
    }

    /// How libtorrent is, where it runs.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.stations.libtorrent.as_ref().map(Libtorrent::health)
    }

    /// The DHT node, lent; `None` where the DHT is not to be asked, or libtorrent did not start.
    #[must_use]
    pub fn dht(&self) -> Option<Dht> {
        let lookups = self.stations.dht.as_ref()?.lookups();
        Some(lookups.dht().clone())
    }

    /// Names DHT nodes that are alive, for lookups to start from.
    pub fn add_dht_nodes(&self, nodes: impl IntoIterator<Item = NodeAddr>) {
        if let Some(dht) = &self.stations.dht {
            dht.lookups().nodes().extend(nodes);
        }
    }

    /// The DHT's node ids and nodes, for the next run.
    pub async fn dht_state(&self) -> Option<Vec<u8>> {
        self.stations.libtorrent.as_ref()?.dht_state().await
    }

    /// The nodes of the routing tables.
    pub async fn dht_live_nodes(&self) -> Vec<NodeAddr> {
        match &self.stations.libtorrent {
            Some(libtorrent) => libtorrent.dht_live_nodes().await,
            None => Vec::new(),
        }
    }

    /// What has been done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.stations.counters.snapshot()
    }

    /// Resolves one hash, or joins whoever does. Returns once the result is durable. Where whoever was
    /// first found no peers, and some are named here, it is tried again with these.
    pub async fn resolve(&self, mut wanted: Wanted) -> Resolution {
        let span = wanted.span();
        let told = async {
            let resolution = self.resolve_or_join(wanted).await;
            observe::told(&resolution);
            resolution
        };
        told.instrument(span).await
    }

    async fn resolve_or_join(&self, wanted: Wanted) -> Resolution {
        let started = Instant::now();
        let mut joins = 0;
        loop {
            match self.in_flight.enter(&wanted.infohash) {
                Turn::Join(mut result) => {
                    observe::left("gate", "joined", Instant::now().into_std());
                    let joined = result
                        .wait_for(Option::is_some)
                        .await
                        .ok()
                        .and_then(|r| r.clone());
                    let lost = || {
                        let why = "the task that worked on it has ended";
                        Resolution::internal(wanted.infohash, why)
                    };
                    let joined = joined.unwrap_or_else(lost);
                    joins += 1;
                    let names_peers = !wanted.peers.is_empty();
                    let had_none = matches!(&joined.result, Err(unresolved)
                        if unresolved.failure.reason == Reason::NoPeers);
                    if had_none && names_peers && joins < JOINS {
                        // The other one is about to give up its place.
                        tokio::task::yield_now().await;
                        continue;
                    }
                    return Resolution {
                        infohash: wanted.infohash,
                        elapsed: started.elapsed(),
                        ..joined
                    };
                }
                Turn::First(lead) => {
                    let mut resolution = self.work(wanted).await;
                    resolution.elapsed = started.elapsed();
                    lead.finish(&resolution);
                    return resolution;
                }
            }
        }
    }

    async fn work(&self, wanted: Wanted) -> Resolution {
        let stations = &self.stations;
        stations.remember_groups().await;
        let began = Instant::now().into_std();
        let passage = gate::check(stations, &wanted)
            .instrument(observe::traced!("gate"))
            .await;
        observe::left("gate", passage.name(), began);
        let admitted = match passage {
            Passage::Answer(result) => return resolution(&wanted, result, None),
            Passage::Stored(resolved, peer) => {
                return Resolution {
                    peers: swarm_peer::remembered(&stations.options, peer),
                    ..resolution(&wanted, Ok(resolved), None)
                };
            }
            Passage::Open(admitted) => admitted,
        };
        let wanted = Arc::new(wanted);
        stations.remember_trackers(&wanted).await;
        let mut asked = HashSet::new();
        let retries = wanted.retries.unwrap_or(stations.options.retries);
        let mut delays = backon::ExponentialBuilder::default()
            .with_jitter()
            .with_max_times(usize::try_from(retries).unwrap_or(usize::MAX))
            .build();
        let (mut tries, mut tries_lost) = (0, 0);
        loop {
            let waits = stations.options.waits_for_network;
            if waits && (self.until_stopped(stations.network_is_back()).await).is_none() {
                return stopped_while_away(&wanted);
            }
            let trackers = stations.trackers_for(&wanted, &asked);
            asked.extend(trackers.iter().cloned());
            let began = Instant::now();
            let mut ended = attempt::run(stations, &wanted, trackers, tries, &admitted)
                .instrument(observe::traced!("attempt"))
                .await;
            if ended.may_be_the_networks() {
                let answers = if waits {
                    self.until_stopped(stations.network_answers()).await
                } else {
                    Some(true)
                };
                let was_away = stations.was_away_since(began);
                if was_away || answers != Some(true) {
                    ended.blame_the_network();
                }
                if answers.is_none() {
                    record::record(stations, &wanted, &ended, admitted.failures).await;
                    return stopped_while_away(&wanted);
                }
                if was_away && waits && tries_lost < TRIES_LOST {
                    tries_lost += 1;
                    record::record(stations, &wanted, &ended, admitted.failures).await;
                    asked.clear();
                    stations.forget_lookup(&wanted);
                    continue;
                }
            }
            // A try that is followed by another is no failure of the hash yet.
            let delay = ended.retry().then(|| delays.next()).flatten();
            ended.says_nothing |= delay.is_some();
            let recorded = record::record(stations, &wanted, &ended, admitted.failures).await;
            if let Some(delay) = delay
                && self.until_stopped(sleep(delay)).await.is_some()
            {
                stations.forget_lookup(&wanted);
                tries += 1;
                continue;
            }
            // It is recorded: what is waited for is only its line.
            let scrape = ended.scrape(&stations.stop).await;
            let result = match ended.result {
                Ok(fetched) => Ok(Arc::new(Resolved {
                    info: fetched.info,
                    raw: fetched.raw,
                    trackers: wanted.trackers.clone(),
                    origin: Origin::Peer(fetched.arm, fetched.peer),
                })),
                Err(failure) => Err(Arc::new(Unresolved {
                    attempts: choose::funnel(ended.attempts.iter().filter_map(|a| a.outcome)),
                    retry_at_ms: recorded.retry_at_ms,
                    says_nothing: ended.says_nothing
                        || failure.reason.category() == Category::Local,
                    failure,
                })),
            };
            return Resolution {
                peers: ended.peers,
                scrape,
                store_refused: recorded.is_refused,
                ..resolution(&wanted, result, recorded.error)
            };
        }
    }

    /// Ends all work: what is in flight ends as `cancelled`, and nothing new begins.
    pub fn stop(&self) {
        self.stations.stop.cancel();
    }

    /// Stops, waits for the tasks to end, closes the session and the store.
    pub async fn shutdown(self) {
        self.stop();
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(libtorrent) = &self.stations.libtorrent {
            libtorrent.shutdown().await;
        }
        if let Some(store) = &self.stations.store {
            store.clone().close().await;
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// The future's output, or `None` once the engine stops.
    async fn until_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        self.stations.stop.run_until_cancelled(future).await
    }
}

fn resolution(
    wanted: &Wanted,
    result: Result<Arc<Resolved>, Arc<Unresolved>>,
    store_error: Option<String>,
) -> Resolution {
    Resolution {
        infohash: wanted.infohash,
        result,
        elapsed: Duration::ZERO,
        store_error,
        store_refused: false,
        peers: Vec::new(),
        scrape: Scrape::default(),
    }
}

fn stopped_while_away(wanted: &Wanted) -> Resolution {
    let detail = "stopped before it was known whether the network was there";
    let unresolved = Unresolved {
        failure: Failure::new(Reason::Cancelled, Phase::Lookup, detail),
        attempts: [].into(),
        retry_at_ms: None,
        says_nothing: true,
    };
    resolution(wanted, Err(Arc::new(unresolved)), None)
}

impl Resolution {
    /// A hash that is not tried any more before `retry_at_ms`; with the error by which that is not stored.
    pub(crate) fn given_up(
        infohash: Infohash,
        failure: Failure,
        retry_at_ms: i64,
        error: Option<crate::store::StoreError>,
    ) -> Self {
        let unresolved = Unresolved {
            failure,
            attempts: [].into(),
            retry_at_ms: Some(retry_at_ms),
            says_nothing: false,
        };
        let store_refused = error
            .as_ref()
            .is_some_and(crate::store::StoreError::is_refusal);
        let error = error.map(|error| error.to_string());
        Self {
            store_refused,
            ..resolution(&infohash.into(), Err(Arc::new(unresolved)), error)
        }
    }

    /// A hash whose task has ended by a fault of this program.
    pub(crate) fn internal(infohash: Infohash, detail: impl Into<String>) -> Self {
        let unresolved = Unresolved {
            failure: Failure::new(Reason::Internal, Phase::Lookup, detail),
            attempts: [].into(),
            retry_at_ms: None,
            says_nothing: true,
        };
        resolution(&infohash.into(), Err(Arc::new(unresolved)), None)
    }
}
