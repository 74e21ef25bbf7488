//! What waits and what is in work, of all sources. No I/O.
//!
//! Hashes of the API and of directories are rows in the store before they are in here, and their rows go
//! when their result is stored: what happens to this process costs none of them.
//!
//! | file | what lives there |
//! |---|---|
//! | `source` | what a source is told to do, and how it is |
//! | `wanted` | what comes into the queue, and where it is then |
//! | `turn` | what begins, and what comes of it |
//! | `suspects` | hashes that were in work when the process died |
//! | `rows` | rows of the store that come into memory, and those that go |

mod rows;
mod source;
mod suspects;
mod turn;
mod wanted;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use self::source::{Source, Waiting};
use self::suspects::Suspects;
use self::turn::InWork;
use super::fair::{Fair, SOURCES, Turn};
use super::lane::{Key, Lane};
use super::source::SourceName;
use crate::config::Config;
use crate::engine::{Backlog, Resolution, Wanted};
use crate::torrent::{Infohash, Reason};

/// How often a hash is tried whose failures say nothing of it, before it is given up until it is asked for
/// again.
const TRIES: u32 = 3;
/// Hashes of which it is known how often they were tried.
const TRIED: usize = 10_000;
/// Hashes of the crawl that wait, for each place of the engine: what waits there is lost when the process
/// ends, and found again.
const WAITING_PER_JOB: usize = 4;
/// Peers, and as many trackers, that are kept of those that were named one after the other.
pub(super) const NAMED: usize = 100;
/// With so many listeners to results, those are looked for that have gone.
const LISTENERS: usize = 1024;

type Id = [u8; 20];
type Results = watch::Sender<Option<Arc<Resolution>>>;

/// A hash on its way through the engine.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) source: SourceName,
    pub(super) wanted: Wanted,
    /// The process has died too often while it was in work: it is not tried.
    pub(super) is_given_up: bool,
    turn: Turn,
}

impl Task {
    /// Whether this says what came of the hash: it does not crash the service, or that is stored.
    pub(super) fn has_ended(&self, resolution: &Resolution) -> bool {
        match &resolution.result {
            Err(unresolved) if unresolved.failure.reason == Reason::Cancelled => false,
            _ => !self.is_given_up || resolution.store_error.is_none(),
        }
    }
}

/// What was done since the start, for the row of this run.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) begun: u64,
    pub(super) resolved: u64,
    pub(super) from_store: u64,
    pub(super) failed: u64,
    pub(super) store_errors: u64,
    pub(super) last_error: String,
}

/// What came of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has its answer.
    Answered,
    /// It is still wanted, and waits.
    Kept,
}

/// The queue. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something may begin.
    work: Notify,
    /// Rows are to be read.
    pages: Notify,
    /// Rows are to be removed.
    removals: Notify,
}

impl Queue {
    pub(super) fn new(config: &Config) -> Self {
        let mut state = State::new();
        state.configure(config);
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            work: Notify::new(),
            pages: Notify::new(),
            removals: Notify::new(),
        }))
    }

    /// Changes something, and wakes whoever may have something to do now.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let done = change(&mut self.lock());
        self.0.work.notify_one();
        self.0.pages.notify_one();
        self.0.removals.notify_one();
        done
    }

    /// Changes something that lets nobody begin anything.
    pub(super) fn look_mut<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.lock())
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Begins something, where something may begin.
    pub(super) fn begin(&self) -> Option<Task> {
        let task = self.lock().begin();
        if task.is_some() {
            self.0.pages.notify_one();
        }
        task
    }

    pub(super) async fn work(&self) {
        self.0.work.notified().await;
    }

    pub(super) async fn pages(&self) {
        self.0.pages.notified().await;
    }

    pub(super) async fn removals(&self) {
        self.0.removals.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = &self.0.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of it.
#[derive(Debug)]
pub(super) struct State {
    fair: Fair,
    jobs: usize,
    sources: [Source; SOURCES],
    /// Where those are that wait in lanes.
    places: HashMap<Id, (SourceName, Key)>,
    in_work: HashMap<Id, InWork>,
    /// Hashes in work for which somebody has named peers meanwhile: tried with these, should it fail.
    next: HashMap<Id, (SourceName, Key, Wanted)>,
    begun: usize,
    results: HashMap<Id, Results>,
    listeners_at_most: usize,
    /// Rows to remove, and those of them that are being removed.
    to_remove: Vec<Infohash>,
    removing: HashMap<Id, SourceName>,
    tries: HashMap<Id, u32>,
    suspects: Suspects,
    /// Why nothing begins.
    hold: Option<String>,
    is_stopping: bool,
    totals: Totals,
}

impl State {
    fn new() -> Self {
        let source = |name: SourceName| Source {
            enabled: false,
            paused: false,
            pause_is_told: false,
            weight: 1,
            limit: usize::MAX,
            problem: None,
            waiting: match name {
                SourceName::Crawl => Waiting::Crawl(Backlog::new(0)),
                SourceName::Backlog => Waiting::Lane(Lane::in_memory()),
                SourceName::Api | SourceName::Directory => Waiting::Lane(Lane::stored()),
            },
            in_work: 0,
            rows: 0,
            resolved: 0,
            failed: 0,
        };
        Self {
            fair: Fair::new([1; SOURCES]),
            jobs: 1,
            sources: SourceName::ALL.map(source),
            places: HashMap::new(),
            in_work: HashMap::new(),
            next: HashMap::new(),
            begun: 0,
            results: HashMap::new(),
            listeners_at_most: LISTENERS,
            to_remove: Vec::new(),
            removing: HashMap::new(),
            tries: HashMap::new(),
            suspects: Suspects::default(),
            hold: None,
            is_stopping: false,
            totals: Totals::default(),
        }
    }

    fn source(&mut self, name: SourceName) -> &mut Source {
        let [api, directory, backlog, crawl] = &mut self.sources;
        match name {
            SourceName::Api => api,
            SourceName::Directory => directory,
            SourceName::Backlog => backlog,
            SourceName::Crawl => crawl,
        }
    }

    fn source_ref(&self, name: SourceName) -> &Source {
        let [api, directory, backlog, crawl] = &self.sources;
        match name {
            SourceName::Api => api,
            SourceName::Directory => directory,
            SourceName::Backlog => backlog,
            SourceName::Crawl => crawl,
        }
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals.clone()
    }

    pub(super) fn in_work(&self) -> usize {
        self.begun
    }

    /// Those that were in work when an earlier process died.
    /// How many hashes are suspected: that many may wait without being able to begin.
    pub(super) fn suspected(&self) -> usize {
        self.suspects.len()
    }

    pub(super) fn set_suspects(&mut self, known: super::deaths::Suspects) {
        self.suspects = Suspects::new(known);
    }

    /// Lets nothing begin for this reason, or all again.
    pub(super) fn set_hold(&mut self, why: Option<String>) {
        self.hold = why;
    }

    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping
    }
}

#[cfg(test)]
mod tests;
