//! The rows of what is wanted: written before anybody is told so, removed after the result is stored.
//!
//! One task does both, in batches and one after the other, so that a row that is wanted again is not removed
//! by what came before.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::heartbeat;
use super::queue::Queue;
use super::service::Asked;
use super::source::SourceName;
use crate::engine::Wanted;
use crate::store::{Store, StoreError, WantedTorrent};

/// Rows of one batch.
const BATCH: usize = 500;
/// Callers that may wait for their rows.
const CALLERS: usize = 1024;
/// How often rows are removed, so that many go at a time.
const EVERY: Duration = Duration::from_millis(200);
/// How often the rows are counted.
const COUNT_EVERY: Duration = Duration::from_secs(10 * 60);
/// The same where the store was away.
const PAUSE: Duration = Duration::from_secs(5);
/// A loop that says nothing for so long is stuck: it waits for the store, which has deadlines of its own.
const STUCK: Duration = Duration::from_secs(180);

/// Hashes that somebody wants, as rows and for the engine.
pub(super) type Wants = Vec<(WantedTorrent, Wanted)>;

/// What is asked of the task.
#[derive(Debug)]
enum Asks {
    Write(Ask),
    /// To remove all rows that are to go, and to say so.
    Remove(oneshot::Sender<()>),
}

/// Rows to write, and who waits for that.
#[derive(Debug)]
struct Ask {
    wants: Wants,
    source: SourceName,
    answer: oneshot::Sender<Result<Vec<Asked>, StoreError>>,
}

/// The way to the task.
#[derive(Clone, Debug)]
pub(super) struct Rows(mpsc::Sender<Asks>);

impl Rows {
    pub(super) fn start(queue: Queue, store: Store) -> Self {
        let (sender, asks) = mpsc::channel(CALLERS);
        tokio::spawn(work(queue, store, asks));
        Self(sender)
    }

    /// Puts hashes into the queue, and returns once all their rows are committed.
    pub(super) async fn write(
        &self,
        wants: Wants,
        source: SourceName,
    ) -> Result<Vec<Asked>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            wants,
            source,
            answer,
        };
        let ask = Asks::Write(ask);
        self.0.send(ask).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Returns once all rows that are to go are gone, or can't be removed.
    pub(super) async fn remove(&self) {
        let (done, is_done) = oneshot::channel();
        if self.0.send(Asks::Remove(done)).await.is_ok() {
            let _ = is_done.await;
        }
    }
}

/// Ends when nobody can ask any more.
async fn work(queue: Queue, store: Store, mut asks: mpsc::Receiver<Asks>) {
    let alive = heartbeat::watch("rows", STUCK);
    let mut next_removal = Instant::now();
    let mut next_count = Instant::now() + COUNT_EVERY;
    loop {
        alive.beat();
        tokio::select! {
            biased;
            ask = asks.recv() => match ask {
                Some(Asks::Write(first)) => {
                    if let Some(done) = write(&queue, &store, first, &mut asks).await {
                        remove(&queue, &store).await;
                        let _ = done.send(());
                    }
                }
                Some(Asks::Remove(done)) => {
                    remove(&queue, &store).await;
                    let _ = done.send(());
                }
                None => return,
            },
            () = sleep_until(next_count) => {
                count(&queue, &store).await;
                next_count = Instant::now() + COUNT_EVERY;
            }
            () = removal_is_due(&queue, next_removal) => {
                let pause = if remove(&queue, &store).await { EVERY } else { PAUSE };
                next_removal = Instant::now() + pause;
            }
            // Nothing is to do: this only shows that the loop is alive.
            () = sleep(PAUSE) => {}
        }
    }
}

async fn removal_is_due(queue: &Queue, next: Instant) {
    while !queue.look(super::queue::State::has_to_remove) {
        queue.removals().await;
    }
    sleep_until(next).await;
}

/// Writes what one asks and what others ask meanwhile, in one batch. That they are in the queue does not
/// depend on whether they still wait for that. Who waits for a removal after that, where somebody does.
async fn write(
    queue: &Queue,
    store: &Store,
    first: Ask,
    asks: &mut mpsc::Receiver<Asks>,
) -> Option<oneshot::Sender<()>> {
    let mut then = None;
    let mut count = first.wants.len();
    let mut batch = vec![first];
    while count < BATCH
        && let Ok(ask) = asks.try_recv()
    {
        match ask {
            Asks::Write(ask) => {
                count = count.saturating_add(ask.wants.len());
                batch.push(ask);
            }
            Asks::Remove(done) => {
                then = Some(done);
                break;
            }
        }
    }
    let wants = batch.iter().flat_map(|ask| &ask.wants);
    let rows: Vec<WantedTorrent> = wants.map(|(row, _)| row.clone()).collect();
    let kept = queue.look_mut(|state| state.keep_rows(&rows));
    let mut stored = match store.want(rows).await {
        Ok(stored) => stored.into_iter(),
        Err(error) => {
            let sources: HashSet<SourceName> = batch.iter().map(|ask| ask.source).collect();
            queue.change(|state| state.not_written(kept, sources, Instant::now()));
            for ask in batch {
                let _ = ask.answer.send(Err(error.clone()));
            }
            return then;
        }
    };
    let answers = queue.change(|state| {
        let answer = |ask: Ask| {
            let wants = ask.wants.into_iter();
            let asked: Vec<Asked> = wants
                .zip(stored.by_ref())
                .map(|((_, wanted), kept)| state.wanted(&kept.row, wanted, kept.is_new))
                .collect();
            (ask.answer, asked)
        };
        batch.into_iter().map(answer).collect::<Vec<_>>()
    });
    for (answer, asked) in answers {
        let _ = answer.send(Ok(asked));
    }
    then
}

/// Counts the rows: others remove some too, and what is counted here one by one may be off by these.
async fn count(queue: &Queue, store: &Store) {
    let Ok(counts) = store.wanted_count().await else {
        return;
    };
    queue.look_mut(|state| {
        for name in SourceName::ALL.into_iter().filter(|name| name.is_stored()) {
            let rows = counts.get(name.as_str()).copied();
            state.set_rows(name, rows.unwrap_or_default());
        }
    });
}

/// Removes what has a result; whether the store could be written to.
async fn remove(queue: &Queue, store: &Store) -> bool {
    loop {
        let infohashes = queue.look_mut(|state| state.take_to_remove(BATCH));
        if infohashes.is_empty() {
            return true;
        }
        let done = store.unwant(&infohashes).await;
        queue.look_mut(|state| state.removed(&infohashes, done.is_ok()));
        if let Err(error) = done {
            // They are removed later; should this process end before, their results answer them.
            tracing::debug!(%error, "rows of hashes that have their results were not removed");
            return false;
        }
    }
}
