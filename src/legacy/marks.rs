//! What ends the work on rows: marks and claims that are given back, those that wait in one statement.

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::store::{Holder, LegacyTables, StoreError};

/// How many are written at a time.
const AT_ONCE: usize = 500;

enum Mark {
    /// A row was tried in vain, by its `info_hash`; whoever says so is told when it is durable.
    TimedOut(String, oneshot::Sender<Result<(), String>>),
    /// A row is done with, or to be taken once more.
    Release(i64, bool),
}

/// Marks rows. Clones are the same.
#[derive(Clone)]
pub(super) struct Marks(mpsc::Sender<Mark>);

impl Marks {
    /// Begins to mark, for this holder of claims. The task ends when all clones are gone.
    pub(super) fn start(tables: LegacyTables, holder: Holder) -> (Self, JoinHandle<()>) {
        let (sender, mut marks) = mpsc::channel(AT_ONCE);
        let task = tokio::spawn(async move {
            let mut some = Vec::new();
            while marks.recv_many(&mut some, AT_ONCE).await > 0 {
                write(&tables, &holder, std::mem::take(&mut some)).await;
            }
        });
        (Self(sender), task)
    }

    /// Marks a row as timed out; returns once that is durable.
    ///
    /// # Errors
    /// What the database said.
    pub(super) async fn timed_out(&self, info_hash: String) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let closed = || StoreError::Closed.to_string();
        let sent = self.0.send(Mark::TimedOut(info_hash, answer)).await;
        sent.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Gives a row back: this process is done with it, unless it may have it `again`.
    pub(super) async fn release(&self, id: i64, again: bool) {
        // Nobody writes any more: the claim ends by itself.
        let _ = self.0.send(Mark::Release(id, again)).await;
    }
}

async fn write(tables: &LegacyTables, holder: &Holder, marks: Vec<Mark>) {
    let mut texts = Vec::new();
    let mut answers = Vec::new();
    let (mut done, mut again) = (Vec::new(), Vec::new());
    for mark in marks {
        match mark {
            Mark::TimedOut(text, answer) => {
                texts.push(text);
                answers.push(answer);
            }
            Mark::Release(id, true) => again.push(id),
            Mark::Release(id, false) => done.push(id),
        }
    }
    if !texts.is_empty() {
        let marked = tables.timed_out(texts).await;
        let told = marked.map(|_| ()).map_err(|error| error.to_string());
        for answer in answers {
            let _ = answer.send(told.clone());
        }
    }
    for (ids, again) in [(done, false), (again, true)] {
        if !ids.is_empty()
            && let Err(error) = tables.release(holder, ids, again).await
        {
            tracing::warn!("claims were not given back, and end by themselves: {error}");
        }
    }
}
