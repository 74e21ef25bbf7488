//! The one writer: a thread that takes all records that wait, writes them in one transaction and
//! then acknowledges each.
//!
//! What was acknowledged is committed, and survives the death of the process. While the database is
//! locked or full the writer tries again for a while, and the bounded queue holds back the callers.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::connection::{Connection, Target, checkpoint, write_transaction};
use super::{
    FailedTorrent, ResolvedTorrent, StoreError, StoreOptions, failed_torrent, metadata_request,
    peer_group, peer_state, torrent_metadata, value,
};
use crate::history::Attempt;
use crate::torrent::Infohash;

/// The most records of a transaction.
const BATCH: usize = 1_000;
/// How many records may wait in the queue.
const QUEUE: usize = 4 * BATCH;
/// How many KiB of records may wait or be written at a time: dictionaries of 10 MiB are allowed, and
/// a full queue of them must not take the memory of the host.
const QUEUE_KIB: u32 = 64 * 1024;

/// The longest that the writer waits for the lock at once, so that it sees its own deadline.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// The first pause after a commit that failed; it doubles up to [`BUSY_TIMEOUT`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What became of one hash, with the attempts that led there.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The hash that was asked for.
    pub infohash: Infohash,
    /// How it ended.
    pub result: RecordResult,
    /// The attempts made.
    pub attempts: Vec<Attempt>,
    /// When it ended: UTC, milliseconds since 1970.
    pub at_ms: i64,
}

/// How the work on a hash ended.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordResult {
    /// Makes or replaces the torrent, and deletes what is stored of earlier failures.
    Resolved(Box<ResolvedTorrent>),
    /// Makes or replaces the failure; a torrent that is stored stays as it is.
    Failed(FailedTorrent),
    /// Only the attempts are stored.
    AttemptsOnly,
}

impl Record {
    /// Roughly the memory that it takes.
    fn kib(&self) -> u32 {
        let result = match &self.result {
            RecordResult::Resolved(torrent) => {
                let files = torrent.files.iter().map(|(path, _)| path.len() + 40);
                torrent.info.len() + files.sum::<usize>()
            }
            RecordResult::Failed(_) | RecordResult::AttemptsOnly => 0,
        };
        let attempts = self
            .attempts
            .iter()
            .map(|attempt| attempt.detail.len() + 200);
        let bytes = result + attempts.sum::<usize>();
        u32::try_from(bytes / 1024 + 1).map_or(QUEUE_KIB, |kib| kib.min(QUEUE_KIB))
    }
}

type Answer = Result<(), StoreError>;

struct Job {
    record: Record,
    answer: oneshot::Sender<Answer>,
    /// Given back when the job is dropped.
    _memory: tokio::sync::OwnedSemaphorePermit,
}

enum Command {
    Write(Job),
    Close,
}

/// The way to the writer's thread.
#[derive(Clone)]
pub(super) struct Writer {
    commands: mpsc::Sender<Command>,
    memory: Arc<Semaphore>,
    thread: Arc<std::sync::Mutex<Option<JoinHandle<()>>>>,
}

impl Writer {
    /// Starts the thread on a connection that was migrated.
    pub(super) fn start(target: &Target, options: &StoreOptions) -> Result<Self, StoreError> {
        let database = target.database.clone();
        let target = target.with_busy_timeout(options.retry_for.min(BUSY_TIMEOUT));
        let mut worker = Worker {
            connection: Some(target.connect()?),
            target,
            retry_for: options.retry_for,
        };
        let (commands, received) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || worker.run(received))
            .map_err(|error| StoreError::Io {
                database,
                detail: format!("no thread to write with: {error}"),
            })?;
        Ok(Self {
            commands,
            memory: Arc::new(Semaphore::new(QUEUE_KIB as usize)),
            thread: Arc::new(std::sync::Mutex::new(Some(thread))),
        })
    }

    /// Returns when the record is committed, or can't be.
    pub(super) async fn record(&self, record: Record) -> Answer {
        if let RecordResult::Resolved(torrent) = &record.result {
            torrent.check()?;
        }
        let memory = Arc::clone(&self.memory).acquire_many_owned(record.kib());
        let (answer, answered) = oneshot::channel();
        let job = Job {
            record,
            answer,
            _memory: memory.await.map_err(|_| StoreError::Closed)?,
        };
        let sent = self.commands.send(Command::Write(job)).await;
        sent.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Returns when all that was queued is written and the thread has ended.
    pub(super) async fn close(self) {
        // An error means that the thread has ended already.
        let _ = self.commands.send(Command::Close).await;
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        self.commands.closed().await;
    }
}

struct Worker {
    target: Target,
    /// `None` after an error: a transaction that failed may have left it in any state.
    connection: Option<Connection>,
    retry_for: Duration,
}

impl Worker {
    fn run(&mut self, mut commands: mpsc::Receiver<Command>) {
        let mut batch = Vec::new();
        while let Some(command) = commands.blocking_recv() {
            let mut next = Some(command);
            while let Some(command) = next.take() {
                match command {
                    Command::Write(job) => batch.push(job),
                    // What was sent before still comes.
                    Command::Close => commands.close(),
                }
                if batch.len() < BATCH {
                    next = commands.try_recv().ok();
                }
            }
            self.write_and_answer(&mut batch);
        }
        if let Some(Err(error)) = self.connection.as_mut().map(checkpoint) {
            tracing::debug!(%error, "the log of the database was left for the next start");
        }
    }

    fn write_and_answer(&mut self, batch: &mut Vec<Job>) {
        let records: Vec<&Record> = batch.iter().map(|job| &job.record).collect();
        let answers = self.write(&records);
        for (job, answer) in batch.drain(..).zip(answers) {
            // Whoever waited may have been cancelled; the record is stored all the same.
            let _ = job.answer.send(answer);
        }
    }

    /// One answer for each record.
    fn write(&mut self, records: &[&Record]) -> Vec<Answer> {
        let deadline = Instant::now() + self.retry_for;
        match self.write_until(records, deadline) {
            Err(error) if !error.is_transient() && records.len() > 1 => {
                self.write_one_by_one(records, deadline)
            }
            answer => vec![answer; records.len()],
        }
    }

    /// After a batch failed for one of its records: the others must not fail with it.
    fn write_one_by_one(&mut self, records: &[&Record], deadline: Instant) -> Vec<Answer> {
        let mut outage = None;
        let write = |record: &&Record| {
            if let Some(error) = &outage {
                return Err(StoreError::clone(error));
            }
            let answer = self.write_until(std::slice::from_ref(record), deadline);
            // It would come to the same for each that follows, at a second each.
            outage = answer.clone().err().filter(StoreError::is_transient);
            answer
        };
        records.iter().map(write).collect()
    }

    /// Tries until it succeeds, fails for good, or the deadline passes.
    fn write_until(&mut self, records: &[&Record], deadline: Instant) -> Answer {
        let mut pause = FIRST_PAUSE;
        loop {
            let Err(error) = self.try_write(records) else {
                return Ok(());
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if !error.is_transient() || left.is_zero() {
                tracing::debug!(%error, records = records.len(), "records could not be stored");
                return Err(error);
            }
            tracing::debug!(%error, records = records.len(), "trying to store again");
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(BUSY_TIMEOUT);
        }
    }

    fn try_write(&mut self, records: &[&Record]) -> Answer {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.target.connect()?,
        };
        // The first error is kept aside: where SQLite has rolled back by itself, diesel's own attempt
        // to do so fails, and it reports that instead.
        let mut first = None;
        let result = write_transaction(&mut connection, |connection| {
            write_all(connection, records).map_err(|error| {
                first = Some(self.target.error(&error));
                diesel::result::Error::RollbackTransaction
            })
        });
        match result {
            Ok(()) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) => Err(first.unwrap_or_else(|| self.target.error(&error))),
        }
    }
}

/// Writes all records; the caller has begun the transaction.
pub(super) fn write_all(
    connection: &mut Connection,
    records: &[&Record],
) -> diesel::QueryResult<()> {
    for record in records {
        match &record.result {
            RecordResult::Resolved(torrent) => {
                let starts = record.attempts.iter().map(|attempt| attempt.started_at_ms);
                let discovered_at = starts.fold(record.at_ms, i64::min);
                let identity =
                    torrent_metadata::put(connection, torrent, discovered_at, record.at_ms)?;
                failed_torrent::delete(connection, &value::keys(&identity))?;
                failed_torrent::delete(connection, &value::keys(&record.infohash))?;
            }
            RecordResult::Failed(failed) => {
                failed_torrent::put(connection, &record.infohash, failed)?;
            }
            RecordResult::AttemptsOnly => {}
        }
        metadata_request::insert(connection, &record.infohash, &record.attempts)?;
    }
    let attempts = records.iter().flat_map(|record| &record.attempts);
    peer_state::add(connection, attempts.clone())?;
    peer_group::add(connection, attempts)
}
