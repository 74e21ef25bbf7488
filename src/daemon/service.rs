//! The service as the API and the dashboard see it: what is asked of it, and how it is.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Mutex, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::deaths::{Deaths, Suspects};
use super::event::Event;
use super::queue::{NAMED, Queue, Totals};
use super::reload::Reloader;
use super::rows::Rows;
use super::source::{SourceName, SourceState};
use super::supervise::essential;
use super::work::{self, NotFound, PAUSED, pause_key};
use crate::config::{Config, ConfigError};
use crate::engine::{self, Engine, RequestId, Resolution, Wanted};
use crate::store::{Store, StoreError, WantedTorrent};
use crate::torrent::Infohash;

/// Events that a slow listener may be behind before it misses some.
const EVENTS: usize = 4096;
/// Hashes that the crawl has still to be told of.
const NOT_FOUND: usize = 4096;

/// The service. Clones are the same one.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

/// What all clones share.
pub(super) struct Inner {
    pub(super) engine: Engine,
    pub(super) store: Store,
    config: watch::Receiver<Arc<Config>>,
    events: broadcast::Sender<Arc<Event>>,
    pub(super) queue: Queue,
    rows: Rows,
    pub(super) deaths: Deaths,
    /// Whoever reads the configuration anew, where somebody does.
    reloader: OnceLock<Reloader>,
    /// What is in work.
    pub(super) works: TaskTracker,
    /// Nothing begins any more.
    pub(super) stop: CancellationToken,
    pub(super) cannot_store: Condition,
    pub(super) not_found: mpsc::Sender<NotFound>,
    /// Held while the database is copied.
    pub(super) copying: Arc<Mutex<()>>,
}

/// A hash that was put into the queue, or was there already.
#[derive(Debug)]
pub struct Asked {
    /// `Some` once there is a result. Dropping this forgets nobody: the hash stays wanted. The sender is
    /// gone without a result where the service stops, and where the hash was forgotten.
    pub result: watch::Receiver<Option<Arc<Resolution>>>,
    /// Whether somebody wanted it before.
    pub joined: bool,
}

/// Where a hash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// It waits.
    Queued {
        /// Who wants it.
        source: SourceName,
    },
    /// It is being worked on.
    InWork {
        /// Who wants it.
        source: SourceName,
    },
}

/// Why a hash can't be queued.
#[derive(Debug, thiserror::Error)]
pub enum WantError {
    /// So many wait already.
    #[error("{0} hashes of this source wait already, which is the most: try again later")]
    Full(u64),
    /// The service ends.
    #[error("the service is stopping")]
    Stopping,
    /// It could not be made durable.
    #[error("it can't be put into the queue: {0}")]
    Store(#[from] StoreError),
}

/// What came of reading the configuration again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Reloaded {
    /// Keys (`section.key`) whose new values are in effect.
    pub applied: Vec<String>,
    /// Keys whose new values need a restart.
    pub needs_restart: Vec<String>,
}

impl Service {
    /// Starts to work on what is wanted, and on what an earlier service has left. Must be called inside a
    /// tokio runtime.
    #[must_use]
    pub fn new(engine: Engine, store: Store, config: watch::Receiver<Arc<Config>>) -> Self {
        Self::start(engine, store, config, Default::default()).0
    }

    /// As [`Service::new`], with what was in work when an earlier process died; and with what the crawl is
    /// told of.
    pub(super) fn start(
        engine: Engine,
        store: Store,
        config: watch::Receiver<Arc<Config>>,
        (deaths, suspects): (Deaths, Suspects),
    ) -> (Self, mpsc::Receiver<NotFound>) {
        let queue = Queue::new(&config.borrow());
        queue.change(|state| state.set_suspects(suspects));
        let (not_found, told) = mpsc::channel(NOT_FOUND);
        let inner = Arc::new(Inner {
            rows: Rows::start(queue.clone(), store.clone()),
            engine,
            store,
            config,
            events: broadcast::channel(EVENTS).0,
            queue,
            deaths,
            reloader: OnceLock::new(),
            works: TaskTracker::new(),
            stop: CancellationToken::new(),
            cannot_store: Condition::default(),
            not_found,
            copying: Arc::default(),
        });
        let stop = || inner.stop.clone();
        tokio::spawn(essential(stop(), "queue", work::begin(Arc::clone(&inner))));
        tokio::spawn(essential(stop(), "pages", work::page(Arc::clone(&inner))));
        (Self(inner), told)
    }

    /// The engine that all sources feed.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Where everything is kept.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The configuration as it is in effect.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.0.config()
    }

    /// The configuration as it is in effect, from now on.
    #[must_use]
    pub fn configs(&self) -> watch::Receiver<Arc<Config>> {
        self.0.config.clone()
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.0.events.subscribe()
    }

    /// Puts a hash into the queue of a source. Returns once that is durable. Those with a higher `priority`
    /// go first within their source; 0 is usual. Only [`SourceName::Api`] and [`SourceName::Directory`]
    /// have rows in the store: all others count as the former.
    ///
    /// # Errors
    /// The hash is not wanted then, unless it was before.
    pub async fn want(
        &self,
        wanted: Wanted,
        source: SourceName,
        priority: i16,
    ) -> Result<Asked, WantError> {
        let known = self.0.queue.look_mut(|state| {
            if state.is_stopping() {
                None
            } else {
                state.known(&wanted, priority)
            }
        });
        if let Some(asked) = known {
            return Ok(asked);
        }
        let asked = self.want_all(vec![wanted], source, priority).await?;
        asked.into_iter().next().ok_or(WantError::Stopping)
    }

    /// Puts hashes into the queue of a source, as [`want`](Self::want) does, all in one transaction or
    /// some. As many come back, in the same order.
    ///
    /// # Errors
    /// Some may be wanted all the same.
    pub async fn want_all(
        &self,
        wanted: Vec<Wanted>,
        source: SourceName,
        priority: i16,
    ) -> Result<Vec<Asked>, WantError> {
        let source = if source.is_stored() {
            source
        } else {
            SourceName::Api
        };
        let most = u64::from(self.config().sources.waiting);
        let (is_stopping, rows) =
            (self.0.queue).look(|state| (state.is_stopping(), state.rows(source)));
        if is_stopping {
            return Err(WantError::Stopping);
        }
        let count = u64::try_from(wanted.len()).unwrap_or(u64::MAX);
        if rows.saturating_add(count) > most {
            return Err(WantError::Full(rows));
        }
        let requested_at_ms = now_ms();
        let row = |wanted: &Wanted| WantedTorrent {
            infohash: wanted.infohash,
            source: source.as_str().to_owned(),
            priority,
            trackers: wanted.trackers.clone(),
            peers: wanted.peers.clone(),
            requested_at_ms,
        };
        let infohashes: Vec<_> = wanted.iter().map(|wanted| wanted.infohash).collect();
        let wants = wanted
            .into_iter()
            .map(|mut wanted| {
                wanted.peers.truncate(NAMED);
                wanted.trackers.truncate(NAMED);
                wanted.id = Some(RequestId::of(&wanted.infohash, requested_at_ms));
                engine::wanted(&mut wanted, source.as_str());
                (row(&wanted), wanted)
            })
            .collect();
        let asked = match self.0.rows.write(wants, source).await {
            Err(StoreError::Closed) if self.0.stop.is_cancelled() => {
                return Err(WantError::Stopping);
            }
            asked => asked?,
        };
        for (asked, infohash) in asked.iter().zip(infohashes) {
            if !asked.joined {
                self.0.tell(|| Event::Queued {
                    infohash: infohash.to_string(),
                    source,
                });
            }
        }
        Ok(asked)
    }

    /// Takes a hash that waits out of the queue; one that is in work goes on. Whether it waited.
    ///
    /// # Errors
    /// It may come back after a restart.
    pub async fn forget(&self, infohash: &Infohash) -> Result<bool, WantError> {
        let (waited, in_work) = self.0.queue.change(|state| {
            // The row of one that only the crawl works on is nobody's then.
            let in_work = state.is_stored_in_work(&infohash.wire_id());
            (state.forget(infohash), in_work)
        });
        if in_work {
            return Ok(waited);
        }
        let removed = self.0.store.unwant(&[*infohash]).await?;
        Ok(waited || removed > 0)
    }

    /// Where a hash is; `None` where nobody wants it now. One that waits behind some thousands of others is
    /// only in the store: see [`Store::wanted_torrent`].
    #[must_use]
    pub fn standing(&self, infohash: &Infohash) -> Option<Standing> {
        self.0.queue.look(|state| state.standing(infohash))
    }

    /// How the sources are.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceState> {
        self.0.queue.look(super::queue::State::states)
    }

    /// Pauses or resumes a source. What is in work goes on. Survives a restart.
    ///
    /// # Errors
    /// It is so from now on, but the store could not be told: not after a restart.
    pub async fn set_paused(&self, source: SourceName, paused: bool) -> Result<(), WantError> {
        let is_change = (self.0.queue).change(|state| state.set_paused(source, paused));
        if is_change {
            self.0.tell(|| Event::Source { source, paused });
        }
        let value = paused.then_some(PAUSED);
        let store = &self.0.store;
        Ok(store.set_daemon_state(&pause_key(source), value).await?)
    }

    /// Reads the configuration again, and applies what can change at run time.
    ///
    /// # Errors
    /// The configuration is wrong: nothing changes.
    pub async fn reload(&self) -> Result<Reloaded, ConfigError> {
        let Some(reloader) = self.0.reloader.get() else {
            return Ok(Reloaded::default());
        };
        let done = reloader.reload(&self.0.queue).await?;
        self.0.tell(|| Event::Reloaded {
            applied: done.applied.clone(),
            needs_restart: done.needs_restart.clone(),
        });
        Ok(done)
    }

    /// Copies the SQLite database while all goes on.
    ///
    /// # Errors
    /// The database is no SQLite file, or the copy can't be written.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.0.store.backup(to).await
    }

    /// Ends the service, as SIGTERM does: nothing begins any more.
    pub fn stop(&self) {
        self.0.queue.change(super::queue::State::stop);
        self.0.deaths.is_told_to_end();
        self.0.stop.cancel();
    }

    /// Returns once it was told to [stop](Self::stop).
    pub async fn stopped(&self) {
        self.0.stop.cancelled().await;
    }

    /// Lets what is in work end for so long, and puts back what has not ended by then. Returns with how much
    /// that was; nothing waits for the network any more, and rows of what has its result are gone.
    pub(super) async fn drain(&self, within: Duration) -> usize {
        self.stop();
        self.0.works.close();
        let ended = tokio::time::timeout(within, self.0.works.wait()).await;
        let left = self.0.queue.look(super::queue::State::in_work);
        self.0.engine.stop();
        if ended.is_err() {
            self.0.works.wait().await;
        }
        self.0.rows.remove().await;
        left
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// The turn to copy the database; `None` while somebody else does.
    pub(super) fn copy_turn(&self) -> Option<super::backup::Turn> {
        self.0.copying.clone().try_lock_owned().ok()
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    pub(super) fn totals(&self) -> Totals {
        self.0.queue.look(super::queue::State::totals)
    }

    /// Whom [`reload`](Self::reload) asks. The first one counts.
    pub(super) fn set_reloader(&self, reloader: Reloader) {
        let _ = self.0.reloader.set(reloader);
    }
}

impl Inner {
    pub(super) fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    /// Tells an event, where somebody listens.
    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        if self.events.receiver_count() > 0 {
            let _ = self.events.send(Arc::new(event()));
        }
    }
}

/// Now, in UTC unix milliseconds.
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Something that is told once when it begins, and once when it ends.
#[derive(Debug, Default)]
pub(super) struct Condition(AtomicBool);

impl Condition {
    /// It is so; whether it was not before.
    pub(super) fn begins(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// It is not so any more; whether it was before.
    pub(super) fn ends(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}
