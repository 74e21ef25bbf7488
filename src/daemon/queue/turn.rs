//! What begins, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::source::SourceName;
use super::source::{Source, Waiting};
use super::{End, Id, State, TRIED, TRIES, Task};
use crate::engine::{Origin, Resolution, Wanted};
use crate::torrent::Reason;

/// A hash that is in work.
#[derive(Debug)]
pub(super) struct InWork {
    /// Who wanted it first.
    pub(super) source: SourceName,
    /// How many work on it, or wait for that.
    pub(super) works: u32,
    /// How many of these have its row in the store.
    pub(super) stored: u32,
}

impl State {
    pub(super) fn begin(&mut self) -> Option<Task> {
        if self.is_stopping || self.hold.is_some() {
            return None;
        }
        loop {
            if self.begun >= self.jobs {
                return None;
            }
            let [api, directory, backlog, crawl] = &self.sources;
            let may = |source: &Source| source.may_begin(&self.suspects);
            let may = [api, directory, backlog, crawl].map(may);
            let (index, turn) = self.fair.next(may)?;
            let name = *SourceName::ALL.get(index)?;
            let Some(wanted) = self.take(name) else {
                self.fair.ended(turn, Duration::ZERO);
                continue;
            };
            let source = self.source(name);
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
            let is_given_up = self.suspects.is_given_up(&id);
            if in_work.works == 1 {
                self.suspects.begins(&id);
            }
            return Some(Task {
                source: name,
                wanted,
                is_given_up,
                turn,
            });
        }
    }

    /// The next one of a source that may begin.
    fn take(&mut self, name: SourceName) -> Option<Wanted> {
        let suspects = std::mem::take(&mut self.suspects);
        let may_begin = |wanted: &Wanted| suspects.may_begin(&wanted.infohash.wire_id());
        let wanted = match &mut self.source(name).waiting {
            Waiting::Lane(lane) if suspects.is_empty() => lane.take().map(|(_, wanted)| wanted),
            Waiting::Lane(lane) => lane.take_first(may_begin),
            // What the crawl has found may be found again.
            Waiting::Crawl(backlog) => std::iter::from_fn(|| backlog.take()).find(may_begin),
        };
        self.suspects = suspects;
        wanted
    }

    /// What came of a task.
    pub(in crate::daemon) fn ended(
        &mut self,
        task: &Task,
        resolution: &Arc<Resolution>,
        now: Instant,
    ) -> End {
        let id = task.wanted.infohash.wire_id();
        self.fair.ended(task.turn, resolution.elapsed);
        self.begun = self.begun.saturating_sub(1);
        if let Some(in_work) = self.in_work.get_mut(&id) {
            in_work.works = in_work.works.saturating_sub(1);
            let stored = u32::from(task.source.is_stored());
            in_work.stored = in_work.stored.saturating_sub(stored);
            if in_work.works == 0 {
                self.in_work.remove(&id);
                self.suspects.ends(&id, task.has_ended(resolution));
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
        let end = if task.is_given_up && task.has_ended(resolution) {
            End::Answered
        } else {
            self.end(id, resolution)
        };
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
    pub(super) fn end(&mut self, id: Id, resolution: &Resolution) -> End {
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
    pub(super) fn tried(&mut self, id: Id) -> End {
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

    pub(super) fn answered(&mut self, task: &Task, resolution: &Resolution) {
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

    pub(super) fn count(&mut self, name: SourceName, resolution: &Resolution) {
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
}
