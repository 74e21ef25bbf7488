//! Table `applied_batch`: which of the writer's batches the database has.
//!
//! | column | meaning |
//! |---|---|
//! | `batch_id` | 16 random bytes |
//! | `applied_at` | when, by the clock of the writer |
//!
//! A row is written in the transaction of its batch. Where the answer to a commit was lost, trying the
//! batch again finds the row, and nothing is stored twice. It goes with the next batch, once the
//! writer has seen its commit succeed; what a killed process or an outage leaves goes by age.

use std::time::Duration;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use serde::{Deserialize, Serialize};

use super::connection::Connection;
use super::schema::applied_batch as table;

/// For how long the ids are kept of batches that may be tried again by another process.
pub(super) const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// What a batch of records is known by: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId([u8; 16]);

impl BatchId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

/// Marks the batch as applied; `false` where it was before, and the transaction is to be rolled back.
/// Waits for another transaction that is about to do the same, so that of two only one succeeds.
pub(super) fn insert(
    connection: &mut Connection,
    batch_id: BatchId,
    applied_at: i64,
) -> QueryResult<bool> {
    let inserted = diesel::insert_into(table::table)
        .values((
            table::batch_id.eq(batch_id.0.as_slice()),
            table::applied_at.eq(applied_at),
        ))
        .execute(connection);
    match inserted {
        Ok(_) => Ok(true),
        Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Forgets a batch that nobody will try again.
pub(super) fn delete(connection: &mut Connection, batch_id: BatchId) -> QueryResult<()> {
    diesel::delete(table::table.find(batch_id.0.as_slice()))
        .execute(connection)
        .map(|_| ())
}

/// Forgets the batches that were applied before that time.
pub(super) fn delete_before(connection: &mut Connection, applied_at: i64) -> QueryResult<()> {
    diesel::delete(table::table.filter(table::applied_at.lt(applied_at)))
        .execute(connection)
        .map(|_| ())
}
