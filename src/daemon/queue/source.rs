//! What the sources are told to do and how they are, each for itself.

use super::super::lane::Lane;
use super::super::source::{SourceName, SourceState};
use super::suspects::Suspects;
use super::{State, WAITING_PER_JOB};
use crate::config::Config;
use crate::discovery::crawl::Discovered;
use crate::engine::Backlog;

/// What a source has that waits.
#[derive(Debug)]
pub(super) enum Waiting {
    Lane(Lane),
    Crawl(Backlog),
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) enabled: bool,
    pub(super) paused: bool,
    /// Somebody paused or resumed it since the start: what an earlier process has left counts no more.
    pub(super) pause_is_told: bool,
    pub(super) weight: u32,
    pub(super) limit: usize,
    pub(super) problem: Option<String>,
    pub(super) waiting: Waiting,
    pub(super) in_work: usize,
    /// Its rows in the store.
    pub(super) rows: u64,
    pub(super) resolved: u64,
    pub(super) failed: u64,
}

impl Source {
    pub(super) fn waits(&self) -> usize {
        match &self.waiting {
            Waiting::Lane(lane) => lane.len(),
            Waiting::Crawl(backlog) => backlog.len(),
        }
    }

    pub(super) fn may_begin(&self, suspects: &Suspects) -> bool {
        let has_one = || match &self.waiting {
            Waiting::Lane(lane) if !suspects.is_empty() => {
                lane.has(|wanted| suspects.may_begin(&wanted.infohash.wire_id()))
            }
            _ => self.waits() > 0,
        };
        self.enabled && !self.paused && self.in_work < self.limit && has_one()
    }

    pub(super) fn lane(&mut self) -> Option<&mut Lane> {
        match &mut self.waiting {
            Waiting::Lane(lane) => Some(lane),
            Waiting::Crawl(_) => None,
        }
    }
}

impl State {
    /// Takes on what the configuration says of sources. What is in work goes on.
    pub(in crate::daemon) fn configure(&mut self, config: &Config) {
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
    pub(in crate::daemon) fn set_rows(&mut self, name: SourceName, rows: u64) {
        let going = self.removing.values().filter(|of| **of == name).count();
        let rows = rows.saturating_sub(u64::try_from(going).unwrap_or(u64::MAX));
        let source = self.source(name);
        source.rows = rows;
        source.enabled |= rows > 0;
    }

    pub(in crate::daemon) fn rows(&self, name: SourceName) -> u64 {
        self.source_ref(name).rows
    }

    /// Pauses or resumes; whether that is a change.
    pub(in crate::daemon) fn set_paused(&mut self, name: SourceName, paused: bool) -> bool {
        let source = self.source(name);
        source.pause_is_told = true;
        std::mem::replace(&mut source.paused, paused) != paused
    }

    /// Takes over from an earlier process whether a source is paused, unless somebody has said so since.
    pub(in crate::daemon) fn restore_paused(&mut self, name: SourceName, paused: bool) {
        let source = self.source(name);
        if !source.pause_is_told {
            source.paused = paused;
        }
    }

    pub(in crate::daemon) fn set_problem(&mut self, name: SourceName, problem: Option<String>) {
        self.source(name).problem = problem;
    }

    /// Whether a source may feed the queue: somebody works on what it has.
    pub(in crate::daemon) fn is_fed(&self, name: SourceName) -> bool {
        let source = self.source_ref(name);
        source.enabled && !source.paused && self.hold.is_none() && !self.is_stopping
    }

    /// How many hashes of a source wait in memory.
    pub(in crate::daemon) fn waits(&self, name: SourceName) -> usize {
        self.source_ref(name).waits()
    }

    /// Takes in what the crawl found.
    pub(in crate::daemon) fn discovered(&mut self, discovered: Discovered) {
        if let Waiting::Crawl(backlog) = &mut self.source(SourceName::Crawl).waiting {
            backlog.add(discovered);
        }
    }

    /// How much the crawl may find: 1 all it can, 0 nothing.
    pub(in crate::daemon) fn crawl_room(&self) -> f32 {
        match &self.source_ref(SourceName::Crawl).waiting {
            Waiting::Crawl(backlog) if self.is_fed(SourceName::Crawl) => backlog.room(),
            _ => 0.0,
        }
    }

    pub(in crate::daemon) fn states(&self) -> Vec<SourceState> {
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
}
