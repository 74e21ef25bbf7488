//! The way to the one writer: a bounded queue, and a thread at its end (`worker`).
//!
//! A record is acknowledged once it is durable: committed, or in a [journal](super::journal) while
//! the database is away. A full queue holds back the callers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use diesel::QueryResult;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Target};
use super::worker::Worker;
use super::{Record, RecordResult, StoreError, StoreOptions, StoreUrl};
use crate::telemetry::catalogue::STORE_RECORD_TIME;

/// The most records of a transaction.
pub(super) const BATCH: usize = 1_000;
/// How many records may wait in the queue.
const QUEUE: usize = 4 * BATCH;
/// How many KiB of records may wait or be written at a time: dictionaries of 10 MiB are allowed, and
/// a full queue of them must not take the memory of the host.
const QUEUE_KIB: u32 = 64 * 1024;

pub(super) type Answer = Result<(), StoreError>;

/// A record on its way.
pub(super) struct Job {
    pub(super) record: Record,
    pub(super) answer: oneshot::Sender<Answer>,
    /// Given back when the job is dropped.
    _memory: OwnedSemaphorePermit,
}

/// Statements that are run in one transaction, each time from the start.
pub(super) type Work = Box<dyn FnMut(&mut Connection) -> QueryResult<()> + Send>;

/// What this process saves of its own state, now and then: it is tried once, since the next time it is
/// saved anew, and goes into no journal.
pub(super) struct Save {
    pub(super) work: Work,
    pub(super) answer: oneshot::Sender<Answer>,
}

pub(super) enum Command {
    Write(Job),
    Save(Save),
    Close,
}

/// How the writer is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// Records that wait in memory for the writer.
    pub queued: usize,
    /// Records that wait in journals for the database.
    pub journal_records: u64,
    /// Bytes of those journals.
    pub journal_bytes: u64,
    /// The journal that is written to, or read.
    pub journal: Option<PathBuf>,
    /// Why the database can't be written to at present.
    pub last_error: Option<StoreError>,
}

/// The way to the writer's thread.
#[derive(Clone)]
pub(super) struct Writer {
    commands: mpsc::Sender<Command>,
    memory: Arc<Semaphore>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    closing: CancellationToken,
    health: Arc<Mutex<StoreHealth>>,
}

impl Writer {
    /// Stores what journals of earlier processes hold, and starts the thread. The database was
    /// migrated.
    pub(super) fn start(
        target: &Target,
        url: &StoreUrl,
        options: &StoreOptions,
    ) -> Result<Self, StoreError> {
        let no_thread = |error: std::io::Error| StoreError::Io {
            database: target.database.clone(),
            detail: format!("no thread to write with: {error}"),
        };
        let (commands, received) = mpsc::channel(QUEUE);
        let closing = CancellationToken::new();
        let health = Arc::new(Mutex::new(StoreHealth::default()));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(no_thread)?;
        let mut worker = Worker::new(
            target,
            url,
            options,
            runtime,
            closing.clone(),
            Arc::clone(&health),
        )?;
        worker.replay(|| false);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || worker.run(received))
            .map_err(no_thread)?;
        Ok(Self {
            commands,
            memory: Arc::new(Semaphore::new(QUEUE_KIB as usize)),
            thread: Arc::new(Mutex::new(Some(thread))),
            closing,
            health,
        })
    }

    /// Returns when the record is durable, or can't be.
    pub(super) async fn record(&self, record: Record) -> Answer {
        if let RecordResult::Resolved(torrent) = &record.result {
            torrent.check()?;
        }
        let timer = STORE_RECORD_TIME.starts();
        let memory = Arc::clone(&self.memory).acquire_many_owned(kib(&record));
        let (answer, answered) = oneshot::channel();
        let job = Job {
            record,
            answer,
            _memory: memory.await.map_err(|_| StoreError::Closed)?,
        };
        let sent = self.commands.send(Command::Write(job)).await;
        sent.map_err(|_| StoreError::Closed)?;
        let answer = answered.await.map_err(|_| StoreError::Closed)?;
        timer.ends([]);
        answer
    }

    /// Returns when the work is committed, or was not done.
    pub(super) async fn save(&self, work: Work) -> Answer {
        let (answer, answered) = oneshot::channel();
        let sent = self
            .commands
            .send(Command::Save(Save { work, answer }))
            .await;
        sent.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Returns when all that was queued is durable, or was refused, and the thread has ended.
    pub(super) async fn close(self) {
        self.closing.cancel();
        // An error means that the thread has ended already.
        let _ = self.commands.send(Command::Close).await;
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        self.commands.closed().await;
    }

    pub(super) fn health(&self) -> StoreHealth {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        StoreHealth {
            queued: self.commands.max_capacity() - self.commands.capacity(),
            ..health.clone()
        }
    }
}

/// Roughly the memory that a record takes.
fn kib(record: &Record) -> u32 {
    u32::try_from(record.bytes() / 1024 + 1).map_or(QUEUE_KIB, |kib| kib.min(QUEUE_KIB))
}
