//! What can go wrong with the store, told apart so that each message says what to do.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::url::StoreUrlError;

/// Why the store could not be opened, read or written. `database` is its path,
/// or its URL without the password.
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
        "the database `{database}` is read-only: make the file and its directory (or the server) \
         writable, or give another one"
    )]
    ReadOnly {
        /// The path.
        database: String,
    },
    /// Another process held the write lock until the timeout.
    #[error(
        "the database `{database}` is locked by another process: wait until that has ended, \
         or give this one a database of its own"
    )]
    Locked {
        /// The path.
        database: String,
    },
    /// The server cannot be reached, or does not answer.
    #[error(
        "cannot reach the server of the database `{database}` ({detail}): \
         check that it runs, its host and its port"
    )]
    Unreachable {
        /// The database.
        database: String,
        /// What was said.
        detail: String,
    },
    /// The connection to the server broke.
    #[error("the connection to the database `{database}` was lost ({detail}): check the server")]
    ConnectionLost {
        /// The database.
        database: String,
        /// What was said.
        detail: String,
    },
    /// Wrong user or password, or missing privileges.
    #[error(
        "the server refuses access to the database `{database}` ({detail}): check user and password, \
         which METAFETCH_STORE_PASSWORD or `?password_file=PATH` may give, and the user's privileges"
    )]
    AccessDenied {
        /// The database.
        database: String,
        /// What the server said.
        detail: String,
    },
    /// The server has no database of this name.
    #[error(
        "there is no database `{database}` on the server: make it, as its administrator, by {command}"
    )]
    NoDatabase {
        /// The database.
        database: String,
        /// How to make one.
        command: String,
    },
    /// The connection could not be encrypted as it should be.
    #[error(
        "no encrypted connection to the database `{database}` ({detail}): give the authority that \
         signed the server's certificate with `tls_ca=PATH`, or another `tls=`"
    )]
    Tls {
        /// The database.
        database: String,
        /// What was said.
        detail: String,
    },
    /// The server is too old, or set in a way that it cannot be used.
    #[error("the server of the database `{database}` cannot be used: {detail}")]
    Unsuitable {
        /// The database.
        database: String,
        /// Why not, and what to do.
        detail: String,
    },
    /// No copy of the database was made.
    #[error("no copy of the database in `{file}`: {detail}")]
    Backup {
        /// Where to.
        file: String,
        /// Why not, and what to do.
        detail: String,
    },
    /// The file with the password cannot be read.
    #[error("cannot read the password file `{path}` ({detail}): check its path and permissions")]
    PasswordFile {
        /// The path.
        path: String,
        /// What the system said.
        detail: String,
    },
    /// The file is something else than a SQLite database.
    #[error("`{database}` is no SQLite database: give another path, or move that file away")]
    NotADatabase {
        /// The path.
        database: String,
    },
    /// The database has tables, but none of ours.
    #[error("`{database}` is the database of another program: give another one")]
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
         program: use the newer program, or give another database"
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
    /// The error for what diesel says of `database`; `said` is for what the database itself says.
    pub(super) fn new(
        database: &str,
        error: &DieselError,
        said: impl FnOnce(&str) -> Self,
    ) -> Self {
        match error {
            DieselError::SerializationError(error) | DieselError::DeserializationError(error) => {
                Self::Value(error.to_string())
            }
            DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => {
                Self::Locked {
                    database: database.to_owned(),
                }
            }
            DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => {
                Self::ReadOnly {
                    database: database.to_owned(),
                }
            }
            DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                information,
            ) => Self::ConnectionLost {
                database: database.to_owned(),
                detail: information.message().trim().to_owned(),
            },
            DieselError::DatabaseError(kind, information)
                if !matches!(kind, DatabaseErrorKind::Unknown) =>
            {
                Self::Statement {
                    database: database.to_owned(),
                    detail: information.message().to_owned(),
                }
            }
            error => said(&error.to_string()),
        }
    }

    /// Whether the database refused this record, and would take another one.
    pub(crate) fn is_refusal(&self) -> bool {
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
                | Self::Unreachable { .. }
                | Self::ConnectionLost { .. }
        )
    }
}
