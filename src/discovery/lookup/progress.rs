//! What a lookup and those who wait for it share.

use std::sync::Mutex;

use tokio::sync::watch;

use super::findings::Findings;
use super::{Ranked, Summary, lock};

#[derive(Debug)]
pub(super) struct Progress {
    state: Mutex<State>,
    /// Counts what happens.
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    findings: Findings,
    summary: Summary,
    begun: bool,
    ended: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Progress {
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What changed after `seen`, which is brought up to date, and whether the lookup has ended.
    pub(super) fn since(&self, seen: &mut u64) -> (Vec<Ranked>, bool) {
        let state = lock(&self.state);
        let (peers, version) = state.findings.since(*seen);
        *seen = version;
        (peers, state.ended)
    }

    /// It is its turn.
    pub(super) fn begin(&self) {
        lock(&self.state).begun = true;
        self.tell();
    }

    /// Whether its turn has come.
    pub(super) fn has_begun(&self) -> bool {
        let state = lock(&self.state);
        state.begun || state.ended
    }

    pub(super) fn summary(&self) -> Summary {
        let state = lock(&self.state);
        let (seeds, leeches) = state.findings.scrape();
        Summary {
            peers: u32::try_from(state.findings.len()).unwrap_or(u32::MAX),
            seeds,
            leeches,
            ..state.summary
        }
    }

    /// Changes what was found, and tells those who wait, if `change` says that it did.
    pub(super) fn find(&self, change: impl FnOnce(&mut Findings) -> bool) {
        if change(&mut lock(&self.state).findings) {
            self.tell();
        }
    }

    /// Replaces all of the summary but what follows from what was found.
    pub(super) fn sum_up(&self, summary: Summary) {
        lock(&self.state).summary = summary;
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// Whatever becomes of the lookup: those who wait are told.
pub(super) struct EndOnDrop<'a>(pub(super) &'a Progress);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).ended = true;
        self.0.tell();
    }
}
