//! What waits and what is in work, of all sources. No I/O.
//!
//! Hashes of the API and of directories are rows in the store before they are in here, and their rows go
//! when their result is stored: what happens to this process costs none of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::fair::{Fair, SOURCES, Turn};
use super::lane::{Added, Key, Lane, Page, entry};
use super::service::{Asked, Standing};
use super::source::{SourceName, SourceState};
use crate::config::Config;
use crate::discovery::crawl::Discovered;
use crate::engine::{Backlog, Origin, Resolution, Wanted};
use crate::store::WantedTorrent;
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
    turn: Turn,
}

/// What a source has that waits.
#[derive(Debug)]
enum Waiting {
    Lane(Lane),
    Crawl(Backlog),
}

#[derive(Debug)]
struct Source {
    enabled: bool,
    paused: bool,
    /// Somebody paused or resumed it since the start: what an earlier process has left counts no more.
    pause_is_told: bool,
    weight: u32,
    limit: usize,
    problem: Option<String>,
    waiting: Waiting,
    in_work: usize,
    /// Its rows in the store.
    rows: u64,
    resolved: u64,
    failed: u64,
}

impl Source {
    fn waits(&self) -> usize {
        match &self.waiting {
            Waiting::Lane(lane) => lane.len(),
            Waiting::Crawl(backlog) => backlog.len(),
        }
    }

    fn may_begin(&self) -> bool {
        self.enabled && !self.paused && self.in_work < self.limit && self.waits() > 0
    }

    fn lane(&mut self) -> Option<&mut Lane> {
        match &mut self.waiting {
            Waiting::Lane(lane) => Some(lane),
            Waiting::Crawl(_) => None,
        }
    }
}

/// A hash that is in work.
#[derive(Debug)]
struct InWork {
    /// Who wanted it first.
    source: SourceName,
    /// How many work on it, or wait for that.
    works: u32,
    /// How many of these have its row in the store.
    stored: u32,
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

    /// Takes on what the configuration says of sources. What is in work goes on.
    pub(super) fn configure(&mut self, config: &Config) {
        let keys = &config.sources;
        self.jobs = usize::from(config.engine.jobs).max(1);
        let all = [
            (true, keys.api_weight, keys.api_limit),
            (
                !keys.directories.is_empty(),
                keys.directory_weight,
                keys.directory_limit,
            ),
            (keys.backlog, keys.backlog_weight, keys.backlog_limit),
            (keys.crawl, keys.crawl_weight, keys.crawl_limit),
        ];
        for (source, (enabled, weight, limit)) in self.sources.iter_mut().zip(all) {
            source.enabled = enabled;
            source.weight = weight.into();
            source.limit = match limit {
                0 => usize::MAX,
                limit => limit.into(),
            };
            if let Waiting::Crawl(backlog) = &mut source.waiting {
                backlog.set_capacity(self.jobs.saturating_mul(WAITING_PER_JOB));
            }
        }
        // Rows of directories that are not watched any more are wanted all the same.
        let has_rows = self.source(SourceName::Directory).rows > 0;
        self.source(SourceName::Directory).enabled |= has_rows;
        let weights = [
            keys.api_weight,
            keys.directory_weight,
            keys.backlog_weight,
            keys.crawl_weight,
        ];
        self.fair.set_weights(weights.map(u32::from));
    }

    /// How many rows of a source there are in the store, with those that are to be removed.
    pub(super) fn set_rows(&mut self, name: SourceName, rows: u64) {
        let going = self.removing.values().filter(|of| **of == name).count();
        let rows = rows.saturating_sub(u64::try_from(going).unwrap_or(u64::MAX));
        let source = self.source(name);
        source.rows = rows;
        source.enabled |= rows > 0;
    }

    pub(super) fn rows(&self, name: SourceName) -> u64 {
        self.source_ref(name).rows
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals.clone()
    }

    pub(super) fn in_work(&self) -> usize {
        self.begun
    }

    /// Pauses or resumes; whether that is a change.
    pub(super) fn set_paused(&mut self, name: SourceName, paused: bool) -> bool {
        let source = self.source(name);
        source.pause_is_told = true;
        std::mem::replace(&mut source.paused, paused) != paused
    }

    /// Takes over from an earlier process whether a source is paused, unless somebody has said so since.
    pub(super) fn restore_paused(&mut self, name: SourceName, paused: bool) {
        let source = self.source(name);
        if !source.pause_is_told {
            source.paused = paused;
        }
    }

    pub(super) fn set_problem(&mut self, name: SourceName, problem: Option<String>) {
        self.source(name).problem = problem;
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

    /// Whether a source may feed the queue: somebody works on what it has.
    pub(super) fn is_fed(&self, name: SourceName) -> bool {
        let source = self.source_ref(name);
        source.enabled && !source.paused && self.hold.is_none() && !self.is_stopping
    }

    /// Of a hash that is stored and waits, or is in work, its result, where what is new about it is nothing
    /// that has to be stored.
    pub(super) fn known(&mut self, wanted: &Wanted, priority: i16) -> Option<Asked> {
        let id = wanted.infohash.wire_id();
        let joins = |result| Asked {
            result,
            joined: true,
        };
        if wanted.peers.is_empty() && self.is_stored_in_work(&id) {
            return Some(joins(self.listen(id)));
        }
        let (source, key) = self.places.get(&id)?.clone();
        let waiting = self.source(source).lane()?.get_mut(&key)?;
        let adds_nothing = wanted.peers.iter().all(|peer| waiting.peers.contains(peer))
            && (wanted.trackers.iter()).all(|tracker| waiting.trackers.contains(tracker));
        if !source.is_stored() || !adds_nothing || key.priority() < priority {
            return None;
        }
        Some(joins(self.listen(id)))
    }

    /// Whether somebody works on the row of this hash.
    pub(super) fn is_stored_in_work(&self, id: &Id) -> bool {
        self.in_work.get(id).is_some_and(|work| work.stored > 0)
    }

    /// Whoever listens to the result of this hash.
    fn listen(&mut self, id: Id) -> watch::Receiver<Option<Arc<Resolution>>> {
        if self.results.len() >= self.listeners_at_most {
            self.results
                .retain(|_, results| results.receiver_count() > 0);
            self.listeners_at_most = LISTENERS.max(2 * self.results.len());
        }
        let results = self.results.entry(id);
        results
            .or_insert_with(|| watch::channel(None).0)
            .subscribe()
    }

    /// Lets the rows of these hashes stay: they are wanted again. Those that were to go.
    pub(super) fn keep_rows(&mut self, rows: &[WantedTorrent]) -> Vec<(Infohash, SourceName)> {
        let mut kept = Vec::new();
        for row in rows {
            if let Some(name) = self.removing.remove(&row.infohash.wire_id()) {
                let rows = &mut self.source(name).rows;
                *rows = rows.saturating_add(1);
                kept.push((row.infohash, name));
            }
        }
        kept
    }

    /// Rows could not be written: those that were kept for that go all the same, and what was written
    /// nevertheless is read.
    pub(super) fn not_written(
        &mut self,
        kept: Vec<(Infohash, SourceName)>,
        sources: impl IntoIterator<Item = SourceName>,
        now: Instant,
    ) {
        for (infohash, name) in kept {
            self.remove_row(infohash, name);
        }
        for name in sources {
            if let Some(lane) = self.source(name).lane() {
                lane.comes_again(now);
            }
        }
    }

    /// Takes in a hash whose row is in the store; `is_new` where there was none. `wanted` is what was asked
    /// now. Whether somebody wanted it before.
    pub(super) fn wanted(&mut self, row: &WantedTorrent, wanted: Wanted, is_new: bool) -> Asked {
        let id = row.infohash.wire_id();
        // Who asked first has the row, and its place is that of the row.
        let source = SourceName::of(&row.source)
            .filter(|name| name.is_stored())
            .unwrap_or(SourceName::Api);
        let (key, stored) = entry(row);
        let is_in_work = self.in_work.contains_key(&id);
        let names_peers = !wanted.peers.is_empty();
        // It had its answer while this was written.
        self.keep_rows(std::slice::from_ref(row));
        if is_new {
            let rows = &mut self.source(source).rows;
            *rows = rows.saturating_add(1);
        }
        let mut wanted = Wanted {
            infohash: row.infohash,
            ..wanted
        };
        let mut joined = !is_new || is_in_work;
        let mut was_here = false;
        // It may have waited under one of its hashes alone.
        for id in [Some(id), row.infohash.v2().map(wire_id_of_v2)]
            .into_iter()
            .flatten()
        {
            if let Some((at, old)) = self.places.remove(&id) {
                joined = true;
                if let Some(before) = self.source(at).lane().and_then(|lane| lane.remove(&old)) {
                    was_here |= at == source;
                    add_named(&mut wanted, before);
                }
            }
        }
        let result = self.listen(id);
        let asked = Asked { result, joined };
        if is_in_work && (names_peers || self.next.contains_key(&id)) {
            if let Some((_, _, before)) = self.next.remove(&id) {
                add_named(&mut wanted, before);
            }
            self.next.insert(id, (source, key, wanted));
            return asked;
        }
        // Its row goes, or comes again, with what comes of that.
        if self.is_stored_in_work(&id) {
            return asked;
        }
        add_named(&mut wanted, stored);
        let lane = self.source(source).lane();
        match lane.map(|lane| lane.add(key.clone(), wanted, was_here)) {
            Some(Added::InMemory) => {
                self.places.insert(id, (source, key));
            }
            Some(Added::Anew(gone)) => self.left_memory(&gone),
            Some(Added::Left) | None => {}
        }
        asked
    }

    fn left_memory(&mut self, gone: &[Infohash]) {
        for infohash in gone {
            self.places.remove(&infohash.wire_id());
        }
    }

    /// Takes in hashes of the backlog, which are in the store anyway.
    pub(super) fn add_backlog(&mut self, wanted: Vec<(Wanted, i64)>) {
        for (wanted, turn) in wanted {
            let id = wanted.infohash.wire_id();
            if self.places.contains_key(&id) || self.in_work.contains_key(&id) {
                continue;
            }
            let key = Key::new(&wanted.infohash, 0, turn);
            if let Some(lane) = self.source(SourceName::Backlog).lane() {
                lane.put(key.clone(), wanted);
                self.places.insert(id, (SourceName::Backlog, key));
            }
        }
    }

    /// How many hashes of a source wait in memory.
    pub(super) fn waits(&self, name: SourceName) -> usize {
        self.source_ref(name).waits()
    }

    /// Takes in what the crawl found.
    pub(super) fn discovered(&mut self, discovered: Discovered) {
        if let Waiting::Crawl(backlog) = &mut self.source(SourceName::Crawl).waiting {
            backlog.add(discovered);
        }
    }

    /// How much the crawl may find: 1 all it can, 0 nothing.
    pub(super) fn crawl_room(&self) -> f32 {
        match &self.source_ref(SourceName::Crawl).waiting {
            Waiting::Crawl(backlog) if self.is_fed(SourceName::Crawl) => backlog.room(),
            _ => 0.0,
        }
    }

    fn begin(&mut self) -> Option<Task> {
        if self.is_stopping || self.hold.is_some() {
            return None;
        }
        loop {
            if self.begun >= self.jobs {
                return None;
            }
            let [api, directory, backlog, crawl] = &self.sources;
            let may = [api, directory, backlog, crawl].map(Source::may_begin);
            let (index, turn) = self.fair.next(may)?;
            let name = *SourceName::ALL.get(index)?;
            let source = self.source(name);
            let wanted = match &mut source.waiting {
                Waiting::Lane(lane) => lane.take().map(|(_, wanted)| wanted),
                Waiting::Crawl(backlog) => backlog.take(),
            };
            let Some(wanted) = wanted else {
                self.fair.ended(turn, Duration::ZERO);
                continue;
            };
            source.in_work += 1;
            self.begun += 1;
            self.totals.begun += 1;
            let id = wanted.infohash.wire_id();
            if self.places.get(&id).is_some_and(|(at, _)| *at == name) {
                self.places.remove(&id);
            }
            let in_work = self.in_work.entry(id).or_insert(InWork {
                source: name,
                works: 0,
                stored: 0,
            });
            in_work.works += 1;
            in_work.stored += u32::from(name.is_stored());
            return Some(Task {
                source: name,
                wanted,
                turn,
            });
        }
    }

    /// What came of a task.
    pub(super) fn ended(&mut self, task: &Task, resolution: &Arc<Resolution>, now: Instant) -> End {
        let id = task.wanted.infohash.wire_id();
        self.fair.ended(task.turn, resolution.elapsed);
        self.begun = self.begun.saturating_sub(1);
        if let Some(in_work) = self.in_work.get_mut(&id) {
            in_work.works = in_work.works.saturating_sub(1);
            let stored = u32::from(task.source.is_stored());
            in_work.stored = in_work.stored.saturating_sub(stored);
            if in_work.works == 0 {
                self.in_work.remove(&id);
            }
        }
        self.count(task.source, resolution);
        let reason = resolution
            .result
            .as_ref()
            .err()
            .map(|unresolved| unresolved.failure.reason);
        let source = self.source(task.source);
        source.in_work = source.in_work.saturating_sub(1);
        if !self.in_work.contains_key(&id)
            && let Some((name, key, wanted)) = self.next.remove(&id)
            && let Some(lane) = self.source(name).lane()
        {
            lane.put(key.clone(), wanted);
            self.places.insert(id, (name, key));
        }
        let end = self.end(id, resolution);
        match end {
            End::Answered => self.answered(task, resolution),
            End::Kept if task.source.is_stored() => {
                if let Some(lane) = self.source(task.source).lane() {
                    lane.comes_again(now);
                }
            }
            End::Kept => {}
        }
        // Who stops gives no answer: the hash is still wanted.
        if reason == Some(Reason::Cancelled) {
            if !self.in_work.contains_key(&id) {
                self.results.remove(&id);
            }
        } else if (resolution.result.is_ok()
            || task.source.is_stored() && !self.places.contains_key(&id))
            && let Some(results) = self.results.remove(&id)
        {
            results.send_replace(Some(Arc::clone(resolution)));
        }
        end
    }

    /// Whether what came of a hash is an answer, and will be there after a restart. What fails by itself,
    /// not since something is away, is given up after some tries.
    fn end(&mut self, id: Id, resolution: &Resolution) -> End {
        if resolution.store_refused {
            return self.tried(id);
        }
        if resolution.store_error.is_some() {
            return End::Kept;
        }
        if let Err(unresolved) = &resolution.result {
            match unresolved.failure.reason {
                Reason::Cancelled => return End::Kept,
                Reason::Cooldown | Reason::Blocked => return End::Answered,
                reason if unresolved.says_nothing || reason == Reason::Internal => {
                    return self.tried(id);
                }
                _ => {}
            }
        }
        self.tries.remove(&id);
        End::Answered
    }

    /// It was tried once more in vain.
    fn tried(&mut self, id: Id) -> End {
        if self.tries.len() >= TRIED {
            self.tries.clear();
        }
        let tries = self.tries.entry(id).or_insert(0);
        *tries += 1;
        if *tries < TRIES {
            return End::Kept;
        }
        self.tries.remove(&id);
        End::Answered
    }

    fn answered(&mut self, task: &Task, resolution: &Resolution) {
        let infohash = task.wanted.infohash;
        let id = infohash.wire_id();
        let mut row_of = task.source.is_stored().then_some(task.source);
        // Whoever else waits for it has it now.
        if resolution.result.is_ok()
            && let Some((source, key)) = self.places.remove(&id)
        {
            if let Some(lane) = self.source(source).lane() {
                lane.remove(&key);
            }
            row_of = row_of.or(source.is_stored().then_some(source));
        }
        // It was asked for again meanwhile, with something new.
        if self.places.contains_key(&id) {
            return;
        }
        if let Some(source) = row_of {
            self.remove_row(infohash, source);
        }
    }

    fn remove_row(&mut self, infohash: Infohash, source: SourceName) {
        let rows = &mut self.source(source).rows;
        *rows = rows.saturating_sub(1);
        self.to_remove.push(infohash);
        self.removing.insert(infohash.wire_id(), source);
    }

    fn count(&mut self, name: SourceName, resolution: &Resolution) {
        if let Some(error) = &resolution.store_error {
            self.totals.store_errors += 1;
            self.totals.last_error = format!("results can't be stored: {error}");
        }
        let source = self.source(name);
        match &resolution.result {
            Ok(resolved) if matches!(resolved.origin, Origin::Store) => {
                self.totals.from_store += 1;
            }
            Ok(_) => {
                source.resolved += 1;
                self.totals.resolved += 1;
            }
            Err(unresolved) if unresolved.failure.reason == Reason::Cancelled => {}
            Err(_) => {
                source.failed += 1;
                self.totals.failed += 1;
            }
        }
    }

    /// Takes a hash that waits out; `None` where none such is known here.
    pub(super) fn forget(&mut self, infohash: &Infohash) -> bool {
        let id = infohash.wire_id();
        self.next.remove(&id);
        let Some((name, key)) = self.places.remove(&id) else {
            return false;
        };
        let source = self.source(name);
        if name.is_stored() {
            source.rows = source.rows.saturating_sub(1);
        }
        let waited = source.lane().and_then(|lane| lane.remove(&key)).is_some();
        if !self.in_work.contains_key(&id) {
            self.results.remove(&id);
        }
        waited
    }

    pub(super) fn standing(&self, infohash: &Infohash) -> Option<Standing> {
        let id = infohash.wire_id();
        if let Some(InWork { source, .. }) = self.in_work.get(&id) {
            return Some(Standing::InWork { source: *source });
        }
        let (source, _) = self.places.get(&id)?;
        Some(Standing::Queued { source: *source })
    }

    pub(super) fn states(&self) -> Vec<SourceState> {
        let sources = SourceName::ALL.iter().zip(&self.sources);
        sources
            .map(|(name, source)| {
                let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
                let in_work = wide(source.in_work);
                let waits = wide(source.waits());
                SourceState {
                    name: *name,
                    enabled: source.enabled,
                    paused: source.paused,
                    weight: source.weight,
                    limit: wide(source.limit.min(self.jobs)),
                    waiting: if name.is_stored() {
                        source.rows.saturating_sub(in_work).max(waits)
                    } else {
                        waits
                    },
                    in_work,
                    resolved: source.resolved,
                    failed: source.failed,
                    problem: source.problem.clone().or_else(|| self.hold.clone()),
                }
            })
            .collect()
    }

    /// The pages to read.
    pub(super) fn pages(&mut self, now: Instant) -> Vec<(SourceName, Page)> {
        let mut pages = Vec::new();
        for name in SourceName::ALL {
            if !name.is_stored() {
                continue;
            }
            let lane = self.source(name).lane();
            let is_due = |lane: &Lane| lane.anew_at().is_some_and(|at| at <= now);
            let gone = lane.filter(|lane| is_due(lane)).map(Lane::begin_anew);
            self.left_memory(&gone.unwrap_or_default());
            if let Some(page) = self.source(name).lane().and_then(Lane::page) {
                pages.push((name, page));
            }
        }
        pages
    }

    /// When a lane is to begin anew.
    pub(super) fn anew_at(&self) -> Option<Instant> {
        let lanes = self
            .sources
            .iter()
            .filter_map(|source| match &source.waiting {
                Waiting::Lane(lane) => lane.anew_at(),
                Waiting::Crawl(_) => None,
            });
        lanes.min()
    }

    /// Takes in a page that was read; `None` where it could not be.
    pub(super) fn read(&mut self, name: SourceName, page: &Page, rows: Option<Vec<WantedTorrent>>) {
        let Some(lane) = self.source(name).lane() else {
            return;
        };
        let Some(rows) = rows else {
            lane.was_not_read(page);
            return;
        };
        for row in lane.read(page, rows) {
            let (key, wanted) = entry(&row);
            let id = wanted.infohash.wire_id();
            // One that is in work for the crawl alone is not answered by what the crawl makes of it.
            let is_known = self.places.contains_key(&id)
                || self.is_stored_in_work(&id)
                || self.removing.contains_key(&id);
            if is_known {
                continue;
            }
            if let Some(lane) = self.source(name).lane() {
                lane.put(key.clone(), wanted);
                self.places.insert(id, (name, key));
            }
        }
    }

    pub(super) fn has_to_remove(&self) -> bool {
        !self.to_remove.is_empty()
    }

    /// Up to `most` rows to remove.
    pub(super) fn take_to_remove(&mut self, most: usize) -> Vec<Infohash> {
        let (mut remove, mut taken) = (Vec::new(), HashSet::new());
        while remove.len() < most
            && let Some(infohash) = self.to_remove.pop()
        {
            let id = infohash.wire_id();
            // One that was asked for anew meanwhile stays; one that was so twice is here twice.
            if self.removing.contains_key(&id) && taken.insert(id) {
                remove.push(infohash);
            }
        }
        remove
    }

    /// These rows are gone, or could not be removed and are to be removed later.
    pub(super) fn removed(&mut self, infohashes: &[Infohash], are_gone: bool) {
        for infohash in infohashes {
            if are_gone {
                self.removing.remove(&infohash.wire_id());
            } else {
                self.to_remove.push(*infohash);
            }
        }
    }
}

/// As the DHT has a v2 hash.
fn wire_id_of_v2(v2: &[u8; 32]) -> Id {
    Infohash::V2(*v2).wire_id()
}

/// Adds the trackers and peers of `other`, as many as are kept.
fn add_named(wanted: &mut Wanted, other: Wanted) {
    for peer in other.peers {
        if wanted.peers.len() < NAMED && !wanted.peers.contains(&peer) {
            wanted.peers.push(peer);
        }
    }
    for tracker in other.trackers {
        if wanted.trackers.len() < NAMED && !wanted.trackers.contains(&tracker) {
            wanted.trackers.push(tracker);
        }
    }
}

#[cfg(test)]
mod tests;
