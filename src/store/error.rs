//! What can go wrong with the store, told apart so that each message says what to do.

use diesel::result::{ConnectionError, DatabaseErrorKind, Error as DieselError};

use super::url::StoreUrlError;

/// Why the store could not be opened, read or written. `database` is its path.
///
/// It is `Clone` since one failed commit answers every record of its batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL names no store.
    #[error(transparent)]
    Url(#[from] StoreUrlError),
    /// The path is a directory, a device or no text.
    #[error("`{database}` is no file: give the path of a file for the database")]
    NotAFile {
        /// The path.
        database: String,
    },
    /// The directory of the database is missing and could not be made.
    #[error(
        "cannot make the directory `{directory}` for the database ({detail}): \
         give another path, or make it yourself"
    )]
    CreateDirectory {
        /// The directory.
        directory: String,
        /// What the system said.
        detail: String,
    },
    /// The file could not be opened or made.
    #[error(
        "cannot open or make the database `{database}` ({detail}): \
         check that you may write to it and to its directory"
    )]
    CannotOpen {
        /// The path.
        database: String,
        /// What the database said.
        detail: String,
    },
    /// The file, its directory or its file system is read-only.
    #[error(
        "the database `{database}` is read-only: make the file and its directory writable, \
         or give another path"
    )]
    ReadOnly {
        /// The path.
        database: String,
    },
    /// Another process held the write lock until the timeout.
    #[error(
        "the database `{database}` is locked by another process: wait until that has ended, \
         or give this one a path of its own"
    )]
    Locked {
        /// The path.
        database: String,
    },
    /// The file is something else than a SQLite database.
    #[error("`{database}` is no SQLite database: give another path, or move that file away")]
    NotADatabase {
        /// The path.
        database: String,
    },
    /// The database has tables, but none of ours.
    #[error("`{database}` is the database of another program: give another path")]
    Foreign {
        /// The path.
        database: String,
    },
    /// The file is damaged.
    #[error(
        "the database `{database}` is damaged ({detail}): restore it from a copy, \
         or save what is left with `sqlite3 FILE .recover`"
    )]
    Corrupt {
        /// The path.
        database: String,
        /// What the database said.
        detail: String,
    },
    /// A migration was run that this program does not know.
    #[error(
        "the database `{database}` has schema version {version}, which is newer than this \
         program: use the newer program, or give another path"
    )]
    Newer {
        /// The path.
        database: String,
        /// The first unknown version.
        version: String,
    },
    /// The disk, the quota or [`StoreOptions::size_limit`](super::StoreOptions) is used up.
    #[error(
        "the disk is full, or the limit of the database: no room is left for `{database}`; free some"
    )]
    Full {
        /// The path.
        database: String,
    },
    /// The disk failed.
    #[error("cannot read or write the database `{database}` ({detail}): check the disk")]
    Io {
        /// The path.
        database: String,
        /// What the database said.
        detail: String,
    },
    /// A record that no column can hold, or a row that makes no sense.
    #[error("this cannot be stored or read back: {0}")]
    Value(String),
    /// A statement failed for another reason, such as a constraint.
    #[error("the database `{database}` refused a statement: {detail}")]
    Statement {
        /// The path.
        database: String,
        /// What the database said.
        detail: String,
    },
    /// No connection became free in time to read.
    #[error(
        "the database `{database}` is too busy to read ({detail}): try again, or run fewer jobs"
    )]
    Busy {
        /// The path.
        database: String,
        /// What the pool said.
        detail: String,
    },
    /// A journal of results that wait for the database can't be read.
    #[error("cannot read the journal `{journal}` ({detail}): check the disk")]
    Journal {
        /// The path.
        journal: String,
        /// What the system said.
        detail: String,
    },
    /// The store was closed, or its writer could not be started or has ended.
    #[error("the store is closed: nothing more can be written to it")]
    Closed,
}

impl StoreError {
    /// The error for what diesel says of `database`.
    pub(super) fn new(database: &str, error: &DieselError) -> Self {
        match error {
            DieselError::SerializationError(error) | DieselError::DeserializationError(error) => {
                Self::Value(error.to_string())
            }
            DieselError::DatabaseError(kind, information)
                if !matches!(kind, DatabaseErrorKind::Unknown) =>
            {
                Self::Statement {
                    database: database.to_owned(),
                    detail: information.message().to_owned(),
                }
            }
            error => Self::from_message(database, &error.to_string()),
        }
    }

    /// The error for a connection to `database` that could not be made.
    pub(super) fn from_connecting(database: &str, error: &ConnectionError) -> Self {
        match error {
            ConnectionError::CouldntSetupConfiguration(error) => Self::new(database, error),
            error => Self::from_message(database, &error.to_string()),
        }
    }

    /// The error for a message of SQLite. Diesel does not pass its result codes on, but the texts of
    /// `sqlite3_errstr` are as stable as the codes.
    pub(super) fn from_message(database: &str, message: &str) -> Self {
        let database = database.to_owned();
        let detail = message.to_owned();
        let says = |text: &str| message.contains(text);
        if says("is locked") {
            Self::Locked { database }
        } else if says("readonly database") {
            Self::ReadOnly { database }
        } else if says("file is not a database") {
            Self::NotADatabase { database }
        } else if says("malformed") {
            Self::Corrupt { database, detail }
        } else if says("disk is full") {
            Self::Full { database }
        } else if says("unable to open database") {
            Self::CannotOpen { database, detail }
        } else if says("disk I/O error") {
            Self::Io { database, detail }
        } else {
            Self::Statement { database, detail }
        }
    }

    /// Whether the database refused this record, and would take another one.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Statement { .. } | Self::Value(_))
    }

    /// Whether the same write may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Locked { .. }
                | Self::Full { .. }
                | Self::Io { .. }
                | Self::ReadOnly { .. }
                | Self::CannotOpen { .. }
                | Self::Busy { .. }
                | Self::Journal { .. }
        )
    }
}
