//! The row of this run in the store, from its start to its end.

use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::rate::Minute;
use super::{time, usage};
use crate::store::{CrawlSession, HEARTBEAT, SessionStatus, Store, StoreError};

/// How often the end is written, where another process is in the way.
const TRIES: u32 = 3;

/// A run. Nothing of it waits for the store, but its end.
pub(super) struct Session {
    store: Option<Store>,
    /// How far it is.
    pub(super) row: CrawlSession,
    resolved: Minute,
    queries: Minute,
    beats: Interval,
    saving: Option<JoinHandle<()>>,
}

impl Session {
    /// Begins; without a store there is no row.
    pub(super) fn start(command: &str, store: Option<&Store>) -> Self {
        let mut beats = interval(HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            store: store.cloned(),
            row: CrawlSession::start(command, time::now_ms()),
            resolved: Minute::default(),
            queries: Minute::default(),
            beats,
            saving: None,
        }
    }

    /// Waits until the row is to be written; the first time that is at once.
    pub(super) async fn due(&mut self) {
        self.beats.tick().await;
    }

    /// Takes the counts of the row into its peaks: about once a second, or less often.
    pub(super) fn note_rates(&mut self) {
        let now = Instant::now();
        self.resolved.note(now, self.row.resolved);
        self.queries.note(now, self.row.queries);
        self.row.peak_resolved_per_minute = self.resolved.peak();
        self.row.peak_queries_per_minute = self.queries.peak();
    }

    /// Writes the row, unless the last time is not over yet.
    pub(super) fn beat(&mut self) {
        self.refresh();
        let is_saving = self.saving.as_ref().is_some_and(|task| !task.is_finished());
        if let Some(store) = self.store.clone().filter(|_| !is_saving) {
            let row = self.row.clone();
            self.saving = Some(tokio::spawn(async move {
                if let Err(error) = store.save_session(&row).await {
                    log(&error);
                }
            }));
        }
    }

    /// Writes how it ended. Results come first: where the database is away, this gives up.
    pub(super) async fn end(mut self, status: SessionStatus) {
        self.refresh();
        self.row.status = status;
        self.row.ended_at_ms = Some(self.row.heartbeat_at_ms);
        let Some(store) = self.store else { return };
        if let Some(saving) = self.saving {
            let _ = saving.await;
        }
        for _ in 0..TRIES {
            match store.save_session(&self.row).await {
                Ok(()) => return,
                Err(error) => log(&error),
            }
        }
    }

    /// Ends before it really began.
    pub(super) async fn fail(mut self, why: String) {
        self.row.errors += 1;
        self.row.error_message = why;
        self.end(SessionStatus::Failed).await;
    }

    fn refresh(&mut self) {
        self.note_rates();
        self.row.heartbeat_at_ms = time::now_ms();
        self.row.peak_memory_kib = usage::peak_memory_kib();
        self.row.cpu_ms = usage::cpu_ms();
    }
}

/// The counts of a run are no result: that they are late or lost is no reason to complain.
fn log(error: &StoreError) {
    tracing::debug!(%error, "the row of this run was not written");
}
