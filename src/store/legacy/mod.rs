//! The four tables of the old crawler (`discovered_torrents`, `discovered_peers`, `torrent_files`, `log`),
//! written as it should have written them, so that whatever reads them goes on. `docs/drop-in.md` says what
//! stands in each column.
//!
//! One thread with one connection does all of it ([`worker`]); callers wait until their row is committed,
//! also where the database is away meanwhile. Our own tables may stand in the same database, beside
//! these.

mod backlog;
mod claims;
mod clean;
mod create;
mod files;
mod log;
mod login;
mod peers;
mod row;
mod session;
mod statement;
mod table;
mod torrents;
mod worker;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

pub use self::clean::{LegacyCleaner, LegacyRows};
pub use self::login::LegacyLogin;
pub use self::row::{
    BacklogRow, Claimed, DiscoveredRow, Holder, LegacyPeer, LogRow, ReceivedRow, Severity,
};
use self::worker::{Command, Controls, Worker};
pub use self::worker::{Holdback, TablesHealth};
use super::StoreError;

/// How many calls may wait in the queue; more wait before it.
const QUEUE: usize = 1_024;

/// Tables of the old crawler, opened. Clones share them.
#[derive(Clone)]
pub struct LegacyTables {
    commands: mpsc::Sender<Command>,
    controls: Controls,
    health: watch::Receiver<TablesHealth>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for LegacyTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LegacyTables").finish_non_exhaustive()
    }
}

impl LegacyTables {
    /// Connects, within 5 seconds, and makes the tables that are missing. Gives back the names of the
    /// tables, the four in the order in which they depend on each other and then the one for the claims,
    /// each with what went wrong: without the right to make one, the work goes on with what is there.
    pub async fn open(
        login: &LegacyLogin,
    ) -> Result<(Self, Vec<(&'static str, Option<String>)>), StoreError> {
        let (commands, received) = mpsc::channel(QUEUE);
        let (told, health) = watch::channel(TablesHealth::Connected);
        let controls = Controls::default();
        let mut worker = Worker::new(login.clone(), controls.clone(), told);
        let (sender, opened) = oneshot::channel();
        let run = move || {
            let created = worker.open();
            let is_open = created.is_ok();
            if sender.send(created).is_ok() && is_open {
                worker.run(received);
            }
        };
        let thread = std::thread::Builder::new()
            .name("legacy tables".to_owned())
            .spawn(run)
            .map_err(|_| StoreError::Closed)?;
        let created = opened.await.unwrap_or(Err(StoreError::Closed))?;
        let tables = Self {
            commands,
            controls,
            health,
            thread: Arc::new(Mutex::new(Some(thread))),
        };
        Ok((tables, created))
    }

    /// What a call does while the database is away: [`Holdback::Wait`] until it is said otherwise. It is
    /// told to those that wait, too.
    pub fn set_holdback(&self, holdback: Holdback) {
        let gives_up = holdback == Holdback::GiveUp;
        self.controls.gives_up.store(gives_up, Ordering::Relaxed);
    }

    /// Whether the database is there: changes when it goes, and when it is back.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<TablesHealth> {
        self.health.clone()
    }

    /// A hash that was seen: makes its row, or refreshes when it was seen last, and its peers. What is known
    /// of it stays.
    pub async fn discovered(&self, found: DiscoveredRow) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Discovered(found, answer)).await?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Metadata: completes the row or makes one, with its files and peers, in one transaction. It is no
    /// longer marked as timed out.
    pub async fn received(&self, row: impl Into<Arc<ReceivedRow>>) -> Result<(), StoreError> {
        let row = row.into();
        self.ask(move |worker| {
            worker
                .attempt(|session| session.transaction(|session| torrents::received(session, &row)))
        })
        .await
    }

    /// Marks these rows as timed out, by `info_hash` as it stands in the row or in another form of the
    /// hash; those that have their metadata are not. How many rows were found.
    pub async fn timed_out(&self, infohash_texts: Vec<String>) -> Result<u64, StoreError> {
        self.ask(move |worker| {
            worker.attempt(|session| {
                session.transaction(|session| torrents::timed_out(session, &infohash_texts))
            })
        })
        .await
    }

    /// Adds to the log, if that works: it is not waited for, and dropped where too much waits.
    #[expect(
        clippy::unused_async,
        reason = "that it does not wait is nothing that callers are to rely on"
    )]
    pub async fn log(&self, row: LogRow) {
        let work = move |worker: &mut Worker| {
            let _ = worker.once(|session| log::insert(session, &row));
        };
        let _ = self.commands.try_send(Command::Work(Box::new(work)));
    }

    /// How many rows wait for their metadata. Reads them all.
    pub async fn backlog_total(&self) -> Result<u64, StoreError> {
        self.ask(|worker| worker.attempt(backlog::total)).await
    }

    /// The next rows that wait for their metadata, up to `limit`: nobody else gets them until they are
    /// released, or until a minute after this process has died. Each is to be released, also where it is
    /// complete or marked as timed out by then.
    ///
    /// First those that were announced, then the others, then those with the source `DHT_ITEM`; each by id.
    /// A row that was released comes after those that were not given out yet.
    pub async fn claim(&self, holder: &Holder, limit: u32) -> Result<Claimed, StoreError> {
        loop {
            let holder = holder.clone();
            let step = self.ask(move |worker| worker.claim(&holder, limit)).await?;
            // Others get their turn between the steps through a long table.
            if let Some(claimed) = step {
                return Ok(claimed);
            }
        }
    }

    /// Gives these rows back, whatever became of them. With `again` this holder may get them once more, if
    /// they still wait for their metadata; without, only others may.
    pub async fn release(
        &self,
        holder: &Holder,
        ids: Vec<i64>,
        again: bool,
    ) -> Result<(), StoreError> {
        let holder = holder.clone();
        self.ask(move |worker| worker.release(&holder, &ids, again))
            .await
    }

    /// Ends what is queued, gives back what was claimed, and disconnects. While the database is away, what
    /// waits is given up after 5 seconds.
    pub async fn close(self) {
        // First, since the queue may be full of what waits for a database that is away.
        self.controls.closing.cancel();
        let _ = self.commands.send(Command::Close).await;
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Worker) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work = move |worker: &mut Worker| {
            let _ = answer.send(work(worker));
        };
        self.send(Command::Work(Box::new(work))).await?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn send(&self, command: Command) -> Result<(), StoreError> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| StoreError::Closed)
    }
}
