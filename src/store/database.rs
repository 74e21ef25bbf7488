//! A store that is opened for work on the data itself: checks, exports, deletions. One connection, all
//! in the caller's thread, beside whatever other processes do with it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::QueryResult;

use super::connection::{Connection, Target, write_transaction};
use super::{StoreError, StoreOptions, StoreUrl};

/// How long to wait for the lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a transaction is tried that a lock or a deadlock ended.
const TRIES: u32 = 5;
/// The first pause between such tries; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Why work on the data did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be written.
    #[error("cannot write `{file}`: {detail}")]
    Write {
        /// The file.
        file: String,
        /// What the system said.
        detail: String,
    },
    /// A file could not be read.
    #[error("cannot read `{file}`: {detail}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        detail: String,
    },
    /// Input that is not what it should be.
    #[error("{0}")]
    Input(String),
    /// The caller wanted no more.
    #[error("interrupted: what was done is kept")]
    Stopped,
}

impl DataError {
    pub(super) fn write(file: &Path, error: impl std::fmt::Display) -> Self {
        Self::Write {
            file: file.display().to_string(),
            detail: error.to_string(),
        }
    }

    pub(super) fn read(file: &Path, error: impl std::fmt::Display) -> Self {
        Self::Read {
            file: file.display().to_string(),
            detail: error.to_string(),
        }
    }
}

/// Follows a long piece of work, and ends it.
pub struct Watch<'a> {
    /// Set from outside where the work is to end soon.
    pub stop: &'a AtomicBool,
    /// Told what is done, and how many rows of it, now and then.
    pub progress: &'a mut dyn FnMut(&str, u64),
}

impl Watch<'_> {
    /// Says how far the work is; an error where it is to end.
    pub fn step(&mut self, what: &str, rows: u64) -> Result<(), DataError> {
        (self.progress)(what, rows);
        if self.stop.load(Ordering::Relaxed) {
            return Err(DataError::Stopped);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// A database whose schema is up to date.
pub struct Database {
    pub(super) target: Target,
    pub(super) connection: Connection,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("database", &self.target.database)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the database as [`Store::open`](super::Store::open) does: makes it where it is missing, and
    /// brings its schema up to date. Blocks.
    pub fn open(url: &StoreUrl) -> Result<Self, StoreError> {
        let options = StoreOptions {
            busy_timeout: BUSY_TIMEOUT,
            ..StoreOptions::default()
        };
        let target = Target::prepare(url, &options)?;
        let connection = target.migrate()?;
        Ok(Self { target, connection })
    }

    /// The database for messages, without a password.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.target.database
    }

    /// Runs a query.
    pub(super) fn read<T>(
        &mut self,
        query: impl FnOnce(&mut Connection) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        query(&mut self.connection).map_err(|error| self.target.error(&error))
    }

    /// Runs `work` in a transaction that writes; again where another process was in the way.
    pub(super) fn write<T>(
        &mut self,
        mut work: impl FnMut(&mut Connection) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match self.try_write(&mut work) {
                Err(error) if error.is_transient() => std::thread::sleep(pause),
                done => return done,
            }
            pause *= 2;
        }
        self.try_write(&mut work)
    }

    fn try_write<T>(
        &mut self,
        work: &mut impl FnMut(&mut Connection) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        let target = &self.target;
        // Where the database has rolled back by itself, diesel's own attempt fails and hides why.
        let mut first = None;
        let done = write_transaction(&mut self.connection, |connection| {
            work(connection).inspect_err(|error| first = Some(target.error(error)))
        });
        match done {
            Ok(done) => Ok(done),
            Err(error) => {
                let error = first.unwrap_or_else(|| target.error(&error));
                if !matches!(error, StoreError::Statement { .. } | StoreError::Value(_)) {
                    // It may be in any state.
                    self.connection = target.connect()?;
                }
                Err(error)
            }
        }
    }

    /// Like [`Database::write`], and then leaves the lock to others for as long as it was held.
    pub(super) fn write_politely<T>(
        &mut self,
        work: impl FnMut(&mut Connection) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let done = self.write(work)?;
        std::thread::sleep(began.elapsed().min(FIRST_PAUSE));
        Ok(done)
    }
}
