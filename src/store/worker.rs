//! The writer's thread: takes all records that wait, writes them in one transaction, and then
//! acknowledges each. It does not wait for a batch to fill: under load the next batch fills while one
//! is written, and waiting 1 to 20 ms was measured to add that much to each write and to the throughput
//! nothing that could be told from noise.
//!
//! While the database is away, it tries again with growing pauses. After a while it appends what
//! comes to a journal, and acknowledges that; and when the database is back, it reads the journal
//! into it before anything newer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::BackoffBuilder as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::applied_batch::BatchId;
use super::batch::Database;
use super::connection::Target;
use super::journal::{Spill, SpillError};
use super::writer::{Answer, BATCH, Command, Job, Save, StoreHealth};
use super::{Record, StoreError, StoreOptions, StoreUrl};
use crate::telemetry::catalogue as the;

/// The longest that the writer waits for the lock at once, so that it sees its own deadline.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// The first pause after a write that failed; it doubles, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause, before jitter.
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// For how long a journal is read before those who wait get their turn.
const SLICE: Duration = Duration::from_millis(200);
/// For how long nothing has to come before torrents are indexed that are not yet.
const IDLE: Duration = Duration::from_millis(50);
/// How many of them at a time: those who come meanwhile wait for so many.
const INDEXED_AT_ONCE: i64 = 100;

/// The database can't be written to.
struct Outage {
    error: StoreError,
    pauses: backon::ExponentialBackoff,
    next_try: Instant,
}

pub(super) struct Worker {
    database: Database,
    spill: Spill,
    name: String,
    retry_for: Duration,
    spill_after: Duration,
    outage: Option<Outage>,
    /// Whether the present outage, a full journal or one that can't be written was said.
    said: Said,
    /// Records read out of journals since they were empty.
    replayed: u64,
    /// Entries that are read one by one, after a group of them could not be written at once.
    singly: usize,
    closing: CancellationToken,
    /// Whether there may be torrents that are still to be indexed.
    is_indexing: bool,
    /// When the writer has to have ended, once it is closing.
    end_by: Option<Instant>,
    runtime: tokio::runtime::Runtime,
    health: Arc<Mutex<StoreHealth>>,
}

#[derive(Default)]
struct Said {
    away: bool,
    full: bool,
    unwritable: bool,
}

impl Worker {
    pub(super) fn new(
        target: &Target,
        url: &StoreUrl,
        options: &StoreOptions,
        runtime: tokio::runtime::Runtime,
        closing: CancellationToken,
        health: Arc<Mutex<StoreHealth>>,
    ) -> Result<Self, StoreError> {
        let name = target.database.clone();
        let target = target.with_busy_timeout(options.retry_for.min(BUSY_TIMEOUT));
        let mut database = Database::connect(target)?;
        Ok(Self {
            is_indexing: database.is_indexing(),
            database,
            spill: Spill::open(url, options),
            name,
            retry_for: options.retry_for,
            spill_after: options.spill_after.min(options.retry_for),
            outage: None,
            said: Said::default(),
            replayed: 0,
            singly: 0,
            closing,
            end_by: None,
            runtime,
            health,
        })
    }

    pub(super) fn run(&mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some((jobs, saves)) = self.collect(&mut commands) {
            if !jobs.is_empty() {
                self.settle(jobs);
            }
            for save in saves {
                self.save(save);
            }
            self.replay(|| !commands.is_empty());
            self.index(|| !commands.is_empty());
            self.tell_health();
        }
        self.finish();
    }

    /// All that waits: records, and what else is to be saved. Empty where nothing came before the
    /// journal is to be read again; `None` after the last one.
    fn collect(&self, commands: &mut mpsc::Receiver<Command>) -> Option<(Vec<Job>, Vec<Save>)> {
        let first = if self.spill.is_empty() && !self.is_indexing {
            commands.blocking_recv()
        } else {
            let next_try = self.outage.as_ref().map(|outage| outage.next_try);
            let wait = next_try.map_or(Duration::ZERO, |next_try| {
                next_try.saturating_duration_since(Instant::now())
            });
            let wait = if self.spill.is_empty() {
                wait.max(IDLE)
            } else {
                wait
            };
            let received = self
                .runtime
                .block_on(async { tokio::time::timeout(wait, commands.recv()).await });
            match received {
                Ok(received) => received,
                Err(_) => return Some((Vec::new(), Vec::new())),
            }
        };
        let (mut jobs, mut saves) = (Vec::new(), Vec::new());
        let mut next = Some(first?);
        while let Some(command) = next.take() {
            match command {
                Command::Write(job) => jobs.push(job),
                Command::Save(save) => saves.push(save),
                // What was sent before still comes.
                Command::Close => commands.close(),
            }
            if jobs.len() < BATCH {
                next = commands.try_recv().ok();
            }
        }
        Some((jobs, saves))
    }

    /// Tries once; what comes of an outage is the business of those who write results.
    fn save(&mut self, mut save: Save) {
        let outage = self.outage.as_ref().filter(|_| !self.is_due());
        let answer = match outage {
            Some(outage) => Err(outage.error.clone()),
            None => self.database.save(&mut save.work),
        };
        let _ = save.answer.send(answer);
    }

    /// Indexes torrents from before there was a search, until there are none left or somebody `is_waiting`.
    fn index(&mut self, is_waiting: impl Fn() -> bool) {
        while self.is_indexing
            && self.spill.is_empty()
            && self.is_due()
            && !is_waiting()
            && !self.closing.is_cancelled()
        {
            match self.database.index(INDEXED_AT_ONCE) {
                Ok(more) => {
                    self.outage = None;
                    self.is_indexing = more;
                }
                Err(error) if error.is_transient() => self.is_away(error),
                Err(error) => {
                    tracing::warn!(
                        "older torrents of the database `{}` can't be searched: {error}",
                        self.name
                    );
                    self.is_indexing = false;
                }
            }
        }
    }

    /// Gets a batch into the database or into the journal, and answers it.
    fn settle(&mut self, jobs: Vec<Job>) {
        let batch_id = BatchId::random();
        let began = Instant::now();
        loop {
            let records: Vec<&Record> = jobs.iter().map(|job| &job.record).collect();
            if self.spill.is_empty() && self.is_due() {
                let timer = the::STORE_BATCH_TIME.starts();
                let written = self.database.write(batch_id, &records);
                timer.ends([if written.is_ok() { "ok" } else { "error" }]);
                match written {
                    Ok(answers) => {
                        the::STORE_BATCH_RECORDS.observe([], f64::from(small(records.len())));
                        let stored = answers.iter().filter(|answer| answer.is_ok()).count();
                        the::STORE_RECORDS.add(["database"], u64::from(small(stored)));
                        self.is_back();
                        return answer(jobs, answers);
                    }
                    Err(error) if error.is_transient() => self.is_away(error),
                    Err(error) => return answer_all(jobs, &Err(error)),
                }
            }
            let waited = began.elapsed();
            let has_to_end = self.has_to_end();
            if !self.spill.is_empty() || waited >= self.spill_after || has_to_end {
                match self.append(batch_id, &records) {
                    Ok(answers) => return answer(jobs, answers),
                    Err(SpillError::Full) if !has_to_end => {}
                    Err(_) if waited < self.retry_for && !has_to_end => {}
                    Err(_) => {
                        let error = self.outage.as_ref().map(|outage| outage.error.clone());
                        return answer_all(jobs, &Err(error.unwrap_or(StoreError::Closed)));
                    }
                }
            }
            self.tell_health();
            let left = if waited < self.spill_after {
                self.spill_after
            } else {
                self.retry_for
            };
            self.pause(left.saturating_sub(waited));
            self.replay(|| true);
        }
    }

    /// Appends a batch to the journal; those records that the database has refused are not.
    fn append(
        &mut self,
        batch_id: BatchId,
        records: &[&Record],
    ) -> Result<Vec<Answer>, SpillError> {
        let answers = self.database.answers(batch_id, records);
        let taken: Vec<&Record> = records
            .iter()
            .zip(&answers)
            .filter_map(|(record, answer)| answer.is_ok().then_some(*record))
            .collect();
        let appended = self.spill.append(batch_id, &taken);
        match &appended {
            Ok(()) => {
                the::STORE_RECORDS.add(["journal"], u64::from(small(taken.len())));
                self.said.full = false;
                self.said.unwritable = false;
                self.say_away();
                self.tell_health();
            }
            Err(SpillError::Full) => {
                if !std::mem::replace(&mut self.said.full, true) {
                    tracing::warn!(
                        "the database `{}` is away, and its journal has reached its limit of \
                         bytes: results wait until it is back",
                        self.name
                    );
                }
            }
            Err(SpillError::Io(error)) => {
                if !std::mem::replace(&mut self.said.unwritable, true) {
                    tracing::warn!(
                        "the database `{}` is away, and no journal can be written: {error}",
                        self.name
                    );
                }
            }
        }
        appended.map(|()| answers)
    }

    fn say_away(&mut self) {
        if !std::mem::replace(&mut self.said.away, true)
            && let (Some(outage), Some(path)) = (&self.outage, self.spill.path())
        {
            tracing::warn!(
                "the database is away, spilling to {}: {}",
                path.display(),
                outage.error
            );
        }
    }

    /// Reads journals into the database, if it is time to try, until they are empty, the database is
    /// away again, or a while has passed and somebody `is_waiting`.
    pub(super) fn replay(&mut self, is_waiting: impl Fn() -> bool) {
        if self.spill.is_empty() || !self.is_due() {
            return;
        }
        let until = Instant::now() + SLICE;
        loop {
            match self.replay_group() {
                Ok(true) => {}
                Ok(false) => return self.is_back(),
                Err(error) => return self.is_away(error),
            }
            self.outage = None;
            if Instant::now() >= until && (is_waiting() || self.has_to_end()) {
                return;
            }
        }
    }

    /// `false` where nothing was left.
    fn replay_group(&mut self) -> Result<bool, StoreError> {
        let most = if self.singly > 0 { 1 } else { BATCH };
        let read = self
            .spill
            .read(most)
            .map_err(|error| self.unreadable(&error))?;
        let Some(group) = read else {
            return Ok(false);
        };
        let batches: Vec<(BatchId, Vec<&Record>)> = group
            .entries
            .iter()
            .map(|entry| (entry.batch_id, entry.records.iter().collect()))
            .collect();
        let Some(answers) = self.database.replay(&batches)? else {
            self.singly = group.entries.len();
            return Ok(true);
        };
        self.singly = self.singly.saturating_sub(1);
        for (record, answer) in batches
            .iter()
            .flat_map(|(_, records)| records)
            .zip(&answers)
        {
            match answer {
                Ok(()) => self.replayed = self.replayed.saturating_add(1),
                Err(error) => self.spill.keep(&format!(
                    "the result of {} is refused: {error}",
                    record.infohash
                )),
            }
        }
        self.spill.advance(&group);
        if self.spill.is_at_end() {
            // The journal goes next, and the commits must be as durable as it was.
            self.database.checkpoint();
        }
        Ok(true)
    }

    fn unreadable(&self, error: &std::io::Error) -> StoreError {
        let journal = self.spill.path().unwrap_or(std::path::Path::new(""));
        StoreError::Journal {
            journal: journal.display().to_string(),
            detail: error.to_string(),
        }
    }

    fn is_due(&self) -> bool {
        self.outage
            .as_ref()
            .is_none_or(|outage| Instant::now() >= outage.next_try)
    }

    fn is_away(&mut self, error: StoreError) {
        tracing::debug!(%error, "the database can't be written to");
        let mut pauses = match self.outage.take() {
            Some(outage) => outage.pauses,
            None => backon::ExponentialBuilder::default()
                .with_min_delay(FIRST_PAUSE)
                .with_max_delay(LAST_PAUSE)
                .without_max_times()
                .with_jitter()
                .build(),
        };
        let pause = pauses.next().unwrap_or(LAST_PAUSE);
        self.outage = Some(Outage {
            error,
            pauses,
            next_try: Instant::now() + pause,
        });
        self.tell_health();
    }

    /// The database is there, and the journals are empty.
    fn is_back(&mut self) {
        self.outage = None;
        self.said = Said::default();
        let replayed = std::mem::take(&mut self.replayed);
        if replayed > 0 {
            tracing::warn!(
                "the database `{}` is back, {replayed} records replayed",
                self.name
            );
        }
    }

    /// Waits until the database is to be tried again, but no longer than `at_most`, where that is
    /// not over. Ends at once when the store is closed.
    fn pause(&self, at_most: Duration) {
        let next_try = self.outage.as_ref().map_or(Duration::ZERO, |outage| {
            outage.next_try.saturating_duration_since(Instant::now())
        });
        let pause = if at_most.is_zero() {
            next_try
        } else {
            next_try.min(at_most)
        };
        if self.closing.is_cancelled() {
            std::thread::sleep(pause);
        } else {
            self.runtime.block_on(async {
                let _ = tokio::time::timeout(pause, self.closing.cancelled()).await;
            });
        }
    }

    /// Whether the store was closed so long ago that nothing is tried again.
    fn has_to_end(&mut self) -> bool {
        if self.end_by.is_none() && self.closing.is_cancelled() {
            self.end_by = Some(Instant::now() + self.retry_for);
        }
        self.end_by.is_some_and(|end_by| Instant::now() >= end_by)
    }

    fn finish(&mut self) {
        self.closing.cancel();
        while !self.spill.is_empty() && !self.has_to_end() {
            let left = self.end_by.map_or(Duration::ZERO, |end_by| {
                end_by.saturating_duration_since(Instant::now())
            });
            self.pause(left);
            self.replay(|| false);
        }
        if let Some(path) = self.spill.path() {
            tracing::warn!(
                "{} records wait in {} for the database `{}`: the next start with this store \
                 stores them",
                self.spill.records(),
                path.display(),
                self.name
            );
        }
        self.tell_health();
        self.database.checkpoint();
    }

    fn tell_health(&self) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        *health = StoreHealth {
            queued: 0,
            journal_records: self.spill.records(),
            journal_bytes: self.spill.bytes(),
            journal: self.spill.path().map(Into::into),
            last_error: self.outage.as_ref().map(|outage| outage.error.clone()),
        };
    }
}

/// The size of a batch.
fn small(records: usize) -> u32 {
    u32::try_from(records).unwrap_or(u32::MAX)
}

/// Whoever waited may have been cancelled; the record is stored all the same.
fn answer(jobs: Vec<Job>, answers: Vec<Answer>) {
    for (job, answer) in jobs.into_iter().zip(answers) {
        let _ = job.answer.send(answer);
    }
}

fn answer_all(jobs: Vec<Job>, answer: &Answer) {
    for job in jobs {
        let _ = job.answer.send(answer.clone());
    }
}
