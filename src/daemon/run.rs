//! The life of the service: from the configuration to a service that works, and its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::deaths::{Deaths, Suspects};
use super::lock::{Lock, LockError};
use super::reload::{Apply, Load, Reloader};
use super::service::Service;
use super::sources::{backlog, crawl, directory};
use super::supervise::supervise;
use super::{backup, quota};
use crate::config::Config;
use crate::discovery::crawl::CrawlCounters;
use crate::engine::crawling::{FEW_NODES, Memory};
use crate::engine::{Engine, EngineError, Options};
use crate::proxy::Proxy;
use crate::store::journal::file_beside;
use crate::store::{Kept, Store, StoreError, StoreOptions, StoreUrl};

/// Connections to read with that the API leaves to the service.
const OWN_READERS: u32 = 4;

/// Everything that a service is made of.
pub struct Parts {
    /// The configuration, with what flags say.
    pub config: Config,
    /// What everything goes through, where there is one.
    pub proxy: Option<Proxy>,
    /// Where everything is kept.
    pub store: StoreUrl,
    /// Reads the configuration again.
    pub load: Load,
    /// Takes on a configuration that was read again, outside of the service.
    pub apply: Apply,
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another one works on the same store.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No arm can work.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The file of our DHT node can't be opened.
    #[error("{0}")]
    DhtState(String),
}

/// A service that works.
pub struct Daemon {
    service: Service,
    crawl: JoinHandle<()>,
    crawled: watch::Receiver<Option<CrawlCounters>>,
    sources: JoinSet<()>,
    _lock: Lock,
}

/// What a service has done, for the row of its run.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Hashes that were begun.
    pub begun: u64,
    /// Those that were resolved.
    pub resolved: u64,
    /// Those that the store had.
    pub from_store: u64,
    /// Those that failed.
    pub failed: u64,
    /// Results that could not be stored.
    pub store_errors: u64,
    /// The last reason for that.
    pub last_error: String,
    /// What the crawl did.
    pub crawl: Option<CrawlCounters>,
}

impl Daemon {
    /// Opens all, and begins. Where the DHT can't be used, it goes on without.
    ///
    /// # Errors
    /// Without a store of its own, or any arm, there is no service.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts {
            config,
            proxy,
            store: url,
            load,
            apply,
        } = parts;
        let lock = Lock::take(&url)?;
        let at = url.clone();
        let options = StoreOptions {
            readers: OWN_READERS + super::api::CONNECTIONS,
            ..StoreOptions::default()
        };
        let opened = tokio::task::spawn_blocking(move || Store::open_with(&at, &options)).await;
        let store = opened.unwrap_or(Err(StoreError::Closed))?;
        let (memory, engine, nodes) = match engine(&config, proxy, &url, &store).await {
            Ok(engine) => engine,
            Err(error) => {
                store.close().await;
                return Err(error);
            }
        };
        let (sender, configs) = watch::channel(Arc::new(config));
        let (service, not_found) = Service::start(engine, store, configs, deaths(&url).await);
        service.set_reloader(Reloader::new(load, apply, sender));
        let (counters, crawled) = watch::channel(None);
        let parts = crawl::Parts {
            memory,
            nodes,
            not_found,
            counters,
        };
        let crawl = tokio::spawn(crawled_on(service.clone(), Mutex::new(parts)));
        let mut sources = JoinSet::new();
        let stop = || service.inner().stop.clone();
        let of = |service: &Service| {
            let service = service.clone();
            move || service.clone()
        };
        let on = of(&service);
        sources.spawn(supervise(stop(), "backlog", move || backlog::run(on())));
        let on = of(&service);
        sources.spawn(supervise(stop(), "directories", move || {
            directory::run(on())
        }));
        let on = of(&service);
        sources.spawn(supervise(stop(), "limits", move || quota::run(on())));
        let on = of(&service);
        sources.spawn(supervise(stop(), "copies", move || {
            backup::run(on(), url.clone())
        }));
        let on = of(&service);
        sources.spawn(supervise(stop(), "pruning", move || prune(on())));
        Ok(Self {
            service,
            crawl,
            crawled,
            sources,
            _lock: lock,
        })
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// What was done so far.
    #[must_use]
    pub fn done(&self) -> Done {
        let totals = self.service.totals();
        Done {
            begun: totals.begun,
            resolved: totals.resolved,
            from_store: totals.from_store,
            failed: totals.failed,
            store_errors: totals.store_errors,
            last_error: totals.last_error,
            crawl: self.crawled.borrow().clone(),
        }
    }

    /// Lets what is in work end for at most half of this time, puts the rest back and saves what the crawl
    /// knows. How many hashes were put back. [`close`](Self::close) comes next.
    pub async fn drain(&mut self, within: Duration) -> usize {
        let put_back = self.service.drain(within / 2).await;
        let saved = timeout(within / 4, &mut self.crawl).await;
        if saved.is_err() {
            tracing::warn!("the DHT nodes of the crawl were not saved in time");
        }
        let _ = timeout(within / 4, async {
            while self.sources.join_next().await.is_some() {}
        })
        .await;
        put_back
    }

    /// Closes the engine and the store.
    pub async fn close(self) {
        let engine = self.service.engine().clone();
        drop(self.sources);
        engine.shutdown().await;
    }
}

type Started = (Memory, Engine, Vec<crate::discovery::crawl::NodeRecord>);

async fn engine(
    config: &Config,
    proxy: Option<Proxy>,
    url: &StoreUrl,
    store: &Store,
) -> Result<Started, StartError> {
    let opened = Memory::open(Some(store.clone()), Some(url), None, config.crawl.nodes);
    let mut memory = opened.map_err(StartError::DhtState)?;
    let nodes = memory.nodes().await;
    let dht = config.dht.enabled.then(|| {
        let mut dht = config.dht_node(memory.dht_state());
        dht.remembered = nodes.iter().map(|node| node.addr).take(FEW_NODES).collect();
        dht
    });
    let options = Options {
        waits_for_network: true,
        trackers: config.engine.trackers,
        ..config.engine_options(dht, proxy)
    };
    let engine = Engine::start(options, Some(store.clone()))?;
    Ok((memory, engine, nodes))
}

/// Crawls until the service stops.
async fn crawled_on(service: Service, parts: Mutex<crawl::Parts>) {
    let stop = service.inner().stop.clone();
    let crawl = || async { crawl::run(service.clone(), &mut *parts.lock().await).await };
    supervise(stop, "crawl", crawl).await;
}

/// What was in work when an earlier process died.
async fn deaths(url: &StoreUrl) -> (Deaths, Suspects) {
    let path = file_beside(url, ".in-work");
    let opened = tokio::task::spawn_blocking(move || Deaths::open(&path)).await;
    let (deaths, suspects) = opened.unwrap_or_default();
    if !suspects.is_empty() {
        tracing::warn!(
            "an earlier process has died at work: {} hashes that it worked on are tried few at a time",
            suspects.len()
        );
    }
    (deaths, suspects)
}

/// Deletes what is too old.
async fn prune(service: Service) {
    let longest = service.engine().options().cooldowns.longest();
    let kept = || {
        let config = service.config();
        let mut kept = Kept {
            attempts: config.store.keep_attempts.0,
            failed: config.store.keep_failed.0,
        };
        kept.at_least(longest);
        kept
    };
    let stop = &service.inner().stop;
    stop.run_until_cancelled(service.store().prune_on(kept))
        .await;
}
