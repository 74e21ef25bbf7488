//! What ends the work on rows: marks and claims that are given back, those that wait in one statement.

use tokio::sync::{mpsc, oneshot};

use crate::store::{Holder, LegacyTables, StoreError};

/// How many are written at a time.
const AT_ONCE: usize = 500;

enum Mark {
    /// A row was tried in vain, by its `info_hash`; whoever says so is told when it is durable.
    TimedOut(String, oneshot::Sender<Result<(), String>>),
    /// A row is done with.
    Release(i64),
}

/// Marks rows. Clones are the same.
#[derive(Clone)]
pub(super) struct Marks(mpsc::Sender<Mark>);

impl Marks {
    /// Begins to mark, for this holder of claims. Ends when all clones are gone.
    pub(super) fn start(tables: LegacyTables, holder: Holder) -> Self {
        let (sender, mut marks) = mpsc::channel(AT_ONCE);
        tokio::spawn(async move {
            let mut some = Vec::new();
            while marks.recv_many(&mut some, AT_ONCE).await > 0 {
                write(&tables, &holder, std::mem::take(&mut some)).await;
            }
        });
        Self(sender)
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

    /// Gives a row back: this process is done with it.
    pub(super) async fn release(&self, id: i64) {
        // Nobody writes any more: the claim ends by itself.
        let _ = self.0.send(Mark::Release(id)).await;
    }
}

async fn write(tables: &LegacyTables, holder: &Holder, marks: Vec<Mark>) {
    let mut texts = Vec::new();
    let mut answers = Vec::new();
    let mut ids = Vec::new();
    for mark in marks {
        match mark {
            Mark::TimedOut(text, answer) => {
                texts.push(text);
                answers.push(answer);
            }
            Mark::Release(id) => ids.push(id),
        }
    }
    if !texts.is_empty() {
        let marked = tables.timed_out(texts).await;
        let told = marked.map(|_| ()).map_err(|error| error.to_string());
        for answer in answers {
            let _ = answer.send(told.clone());
        }
    }
    if !ids.is_empty()
        && let Err(error) = tables.release(holder, ids, false).await
    {
        tracing::warn!("claims were not given back, and end by themselves: {error}");
    }
}
